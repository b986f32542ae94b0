"""Further steps for what a client keeps take time, and their samples count."""

from __future__ import annotations

from typing import Any

import pytest
from places import SMALLEST

from afl_sim.recording import Run
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario.sections.clients import Compute as ComputeSpec
from afl_sim.scenario.sections.personalization import Ditto, FedRep
from afl_sim.streams import Streams
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.task import Task
from afl_sim.world.tasks.workload import Workload

STEPS, EXTRA, BATCH, HELD = 4, 6, 10, 25
FIRST = FedRep(kind="fedrep", steps=EXTRA)
LAST = Ditto(kind="ditto", steps=EXTRA)


def compute(personal: Any = FIRST, **spec: Any) -> tuple[Compute, Task, Workload]:
    training = load_scenario(SMALLEST, [f"training={{steps: {STEPS}}}"]).training
    streams = Streams(1)
    workload = Workload(lambda _: HELD, BATCH, None, training.steps, False, streams, personal)
    steps, samples = workload.amount(0, 0)
    task = Task(0, 0, 0, steps, samples, 0)
    task.extra_steps = workload.extra_steps(0)
    return Compute(ComputeSpec.model_validate(spec), workload, streams), task, workload


def test_a_task_processes_the_samples_of_all_its_steps() -> None:
    _, task, _ = compute()
    assert (task.steps, task.extra_steps) == (STEPS, EXTRA)
    assert task.samples == (25 + 10) + (25 + 25)  # passes of 10, 10 and 5 samples
    _, task, _ = compute(FedRep(kind="fedrep", epochs=2))
    assert task.extra_steps == 6


@pytest.mark.parametrize(("unit", "seconds"), [("sample", 0.85), ("step", 0.1), ("task", 0.01)])
def test_further_steps_take_time_like_others(unit: str, seconds: float) -> None:
    made, task, _ = compute(**{f"seconds_per_{unit}": 0.01})
    assert made.microseconds(task, 0) == pytest.approx(1e6 * seconds)
    assert made.expected_seconds(0) == pytest.approx(seconds)
    assert made.usual_seconds(0) == pytest.approx(seconds)
    per_step = compute(**{f"seconds_per_{unit}": 0.01, "jitter_per": "step"})[0]
    assert per_step.microseconds(task, 0) == pytest.approx(1e6 * seconds)


@pytest.mark.parametrize(
    ("personal", "done", "parts"),
    [
        (FIRST, 0, (0, 0)),
        (FIRST, 4, (0, 4)),
        (FIRST, 7, (1, 6)),
        (FIRST, 10, (4, 6)),
        (LAST, 3, (3, 0)),
        (LAST, 7, (4, 3)),
        (None, 3, (3, 0)),
    ],
)
def test_a_task_that_is_cut_short_has_done_what_comes_first(
    personal: Any, done: int, parts: tuple[int, int]
) -> None:
    made, task, workload = compute(personal, seconds_per_step=1.0)
    task.computing_since_us, task.compute_us = 0, made.microseconds(task, 0)
    total = min(done, task.steps + task.extra_steps)
    assert made.steps_done(task, done * 1_000_000) == total
    assert workload.parted(done, task.steps, task.extra_steps) == parts


def cut_short(kind: str) -> Run:
    """A round ends after 7.5 of the 10 s that a task takes; its clients send what they have."""
    more = "model={kind: mlp, personal: ['5.*']}" if kind == "fedrep" else "model=mlp"
    return simulate(
        load_scenario(
            SMALLEST,
            [
                "data={client_test: 0.2, partition: {kind: iid, samples: 100}}",
                f"training={{steps: {STEPS}, batch_size: 10}}",
                f"training.personalization={{kind: {kind}, steps: {EXTRA}}}",
                more,
                "clients.compute={seconds_per_step: 1}",
                "strategy={kind: fedavg, clients_per_round: 2, deadline: 7.5, partial: keep}",
                "stop.updates=2",
                "evaluation.on=client_test",
            ],
        ),
        timing_only=True,
    )


def test_the_record_of_a_task_that_is_cut_short_is_honest() -> None:
    for kind, steps in (("fedrep", 1), ("ditto", 4)):
        run = cut_short(kind)
        rows = run.events[run.events.kind == "aggregated"]
        assert set(rows.steps) == {steps}
        assert set(rows.samples) == {7 * 10}
        assert run.summary["samples_trained"] == 2 * 70
