"""Rennala MVR: the momentum by hand, the two gradients of a task, and its batches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_training import Held, Trainer, data, linear, sgd
from vectors import assert_is, models_after, moved, vec
from world_runs import Outcome, run, scenario

from afl_sim.execution.local.batched import BatchedExecutor
from afl_sim.execution.runner import TaskRunner, begin
from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.training.batched_training import BatchedTrainer
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.strategies import Rennala, RennalaMVR, Strategy
from afl_sim.strategies.base import Client
from afl_sim.strategies.purity import PurityCheck
from afl_sim.streams import Streams
from afl_sim.testing import Case
from afl_sim.testing.toy import executor_of, learner_of, turn

BATCHES = [[moved(-1, 2), moved(-3, 0)], [moved(-1, -1), moved(1, -3)]]


def test_the_momentum_is_corrected_by_the_gradients_at_both_models() -> None:
    strategy = RennalaMVR(batch_size=2, momentum=0.25, lr=0.5)
    models = models_after(strategy, vec(1, 1), *BATCHES)
    # v_0 = (2, -1). The second batch tells g_j(w_1) - 0.75 g_j(w_0), whose mean is (0, 2):
    # v_1 = (0, 2) + 0.75 (2, -1) = (1.5, 1.25).
    assert_is(models[0], 0, 1.5)
    assert_is(models[1], -0.75, 0.875)


def test_without_a_memory_it_is_rennala() -> None:
    mine = models_after(RennalaMVR(batch_size=2, momentum=1, lr=0.5), vec(1, 1), *BATCHES)
    other = models_after(Rennala(batch_size=2, lr=0.5), vec(1, 1), *BATCHES)
    for a, b in zip(mine, other, strict=True):
        assert torch.equal(a, b)


def test_the_second_point_is_the_model_before() -> None:
    strategy = RennalaMVR(batch_size=2, momentum=0.25, lr=0.5)
    state: Any = {"before": None, "v": vec(0, 0)}
    assert strategy.second_point(vec(1, 1), state, Client(0, None)) is None
    params, state = strategy.aggregate(vec(1, 1), state, BATCHES[0], {})
    point = strategy.second_point(params, state, Client(0, None))
    assert point is not None
    assert_is(point[0], 1, 1)
    assert point[1] == 0.75


def test_with_exact_gradients_of_one_worker_it_is_gradient_descent() -> None:
    # Then v_t = g(w_t) = w_t - t in every step, whatever a is: halving the way from (1, -2, 0.5)
    # to (3, 1, -1) three times.
    case = Case(
        RennalaMVR(batch_size=1, momentum=0.1, lr=0.5, concurrency=1), clients=1, versions=3
    )
    vector = turn(case, learner_of(case, executor_of(1, "same"))).vector
    assert vector is not None
    assert_is(vector, 2.75, 0.625, -0.8125)


def gradient_trainer(batched: bool = False) -> Trainer:
    settings = LocalSettings(sgd(), batch_size=4, gradient=True, batched=batched)
    return Trainer(linear(), *data(), Held(), Streams(11), settings)


def task(client: int, base: torch.Tensor, before: torch.Tensor | None) -> TrainingTask:
    strategy = RennalaMVR(momentum=0.25)
    state = {"before": before, "v": torch.zeros_like(base)}
    return TrainingTask(client, 2, 3, base, 1.0, (strategy, state))


def two_models() -> tuple[Trainer, torch.Tensor, torch.Tensor]:
    trainer = gradient_trainer()
    base = trainer.layout.read(trainer.model).clone()
    return trainer, base, base + torch.linspace(-1, 1, len(base))


def test_a_task_computes_both_gradients_over_the_same_samples() -> None:
    trainer, base, before = two_models()
    here = trainer.train(1, 2, 3, base, base, 1.0)
    there = trainer.train(1, 2, 3, before, before, 1.0)
    runner = TaskRunner(trainer, evaluator=None)  # type: ignore[arg-type]
    result = runner.train(task(1, base, before), None)
    assert torch.equal(result.delta, here.delta - 0.75 * there.delta)
    assert not torch.equal(result.delta, here.delta)
    assert torch.equal(result.vector, base)
    assert result.loss == here.loss
    assert torch.equal(runner.train(task(1, base, None), None).delta, here.delta)


def test_a_client_owes_what_compression_has_removed() -> None:
    trainer, base, before = two_models()
    owed = torch.ones(len(base))
    begun = begin(
        task(0, base, before),
        torch.cat([base, owed]),
        trainer.layout,
        None,
        PurityCheck(Strategy),
    )
    assert begun.owed is not None
    assert torch.equal(begun.owed, owed)
    assert begun.client is not None
    assert begun.client.state is None


def test_tasks_do_not_wait_for_those_before_them() -> None:
    assert RennalaMVR.uses_state()
    assert not RennalaMVR.uses_own()
    assert not Rennala.uses_state()


def test_batched_training_computes_both_gradients_too() -> None:
    trainer, base, before = two_models()
    runner = TaskRunner(trainer, evaluator=None)  # type: ignore[arg-type]
    expected = [runner.train(task(0, base, before), None), runner.train(task(1, base, None), None)]
    executor = BatchedExecutor(BatchedTrainer(gradient_trainer(True)), None, group=2)  # type: ignore[arg-type]
    futures = [
        executor.submit(task(0, base, before), 1),
        executor.submit(task(1, base, None), 2),
    ]
    for future, exact in zip(futures, expected, strict=True):
        torch.testing.assert_close(future.result().delta, exact.delta, atol=1e-6, rtol=1e-5)


def used(outcome: Outcome) -> list[tuple[float, int, int]]:
    """(second of its arrival, client, version) of the gradients used."""
    arrival = {(e.client, e.task): e.time_us / 1e6 for e in outcome.of("arrived")}
    return [(arrival[e.client, e.task], e.client, e.version) for e in outcome.of("aggregated")]


def test_batches_are_those_of_rennala_after_a_first_one_of_its_own_size() -> None:
    strategy = {"kind": "rennala_mvr", "batch_size": 2, "first_batch_size": 4}
    outcome = run(scenario([2, 3.5], strategy=strategy, stop={"versions": 2}))
    assert used(outcome) == [
        *((2, 0, 1), (3.5, 1, 1), (4, 0, 1), (6, 0, 1)),
        *((8, 0, 2), (9.5, 1, 2)),  # both begin anew at 6 s
    ]


@pytest.mark.parametrize(
    ("speed", "seconds"), [("seconds_per_step", 6), ("seconds_per_sample", 60)]
)
def test_a_step_takes_as_long_as_two(speed: str, seconds: float) -> None:
    strategy = {"kind": "rennala_mvr", "batch_size": 1}
    compute = {speed: 1}
    built = scenario(
        1, strategy=strategy, compute=compute, stop={"versions": 2}, training={"steps": 3}
    )
    outcome = run(built)
    assert [row[0] for row in used(outcome)] == [seconds, 2 * seconds]
    assert outcome.server.expected_seconds(0) == seconds


def test_a_time_that_is_given_for_a_task_holds_for_a_task() -> None:
    strategy = {"kind": "rennala_mvr", "batch_size": 1}
    built = scenario(1, strategy=strategy, compute={"seconds_per_task": 5}, stop={"versions": 1})
    assert [row[0] for row in used(run(built))] == [5]
