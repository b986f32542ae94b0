"""A time limit that no task of the fleet can keep is refused before the run, and only then."""

from __future__ import annotations

from pathlib import Path

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.run.validation import check_study
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.uses import largest, smallest

MINDFLAYER = "{kind: mindflayer, allotted_seconds: 2}"
SLOW = "compute: {seconds_per_task: 5}"
QUICKER = "{factor: 0.5, fast_seconds: 9, slow_seconds: 9}"
LINKS = "{download: {latency: 0.5}, upload: {latency: 1, jitter: 2}}"
RARELY_SHORT = "{mixture: [{weight: 9, dist: 1}, {weight: 1, dist: 0.1}]}"


def groups(old: int, new: int) -> str:
    """Two halves of a fleet, whose tasks take so many seconds."""
    halves = {"old": old, "new": new}.items()
    parts = [f"{{name: {n}, share: 0.5, compute: {{seconds_per_task: {s}}}}}" for n, s in halves]
    return f"groups: [{', '.join(parts)}]"


def told(folder: Path, strategy: str, inside: str) -> str:
    """What is told of such a fleet; empty if it is accepted."""
    file = folder / "x.yaml"
    file.write_text(
        "model: logistic\ntraining: {steps: 1}\nstop: {versions: 2}\n"
        f"clients: {{count: 4, {inside}}}\nstrategy: {strategy}\n"
    )
    try:
        check_study(file)
    except ScenarioError as error:
        return str(error).removeprefix(f"{file}:")
    return ""


@pytest.mark.parametrize(
    ("inside", "least"),
    [
        (SLOW, "5"),
        ("compute: {seconds_per_task: {values: [5, 4, 3, 9]}}", "3"),
        ("compute: {seconds_per_task: {values: [5, 4, 3, 9], shuffle: true}}", "3"),
        ("compute: {seconds_per_step: 6, jitter: {sequence: [1, 0.5, 2]}}", "3"),
        ("compute: {seconds_per_task: {dist: uniform, loc: 2.5, scale: 1}}", "2.5"),
        ("compute: {seconds_per_task: 1, jitter_seconds: 1.5}", "2.5"),
        (f"compute: {{seconds_per_task: 6, slowdowns: {QUICKER}}}", "3"),
        ("compute: {seconds_per_task: 9, hours: {speed: [1, 3]}}", "3"),
        ("compute: {seconds_per_task: 9, max_seconds: 3}", "3"),
        (f"compute: {{seconds_per_task: 1}}, network: {LINKS}", "3.5"),
        (groups(7, 4), "4"),
    ],
)
def test_the_shortest_task_is_a_sum_of_shortest_parts(
    tmp_path: Path, inside: str, least: str
) -> None:
    assert told(tmp_path, MINDFLAYER, inside) == (
        f"5: strategy.allotted_seconds: got 2 s, but a task takes {least} s at least, from the "
        "download to the end of the upload, so mindflayer would give up every one; expected at "
        f"least {least}"
    )
    assert not told(tmp_path, MINDFLAYER.replace("2", least), inside)  # to the microsecond


@pytest.mark.parametrize(
    "inside",
    [
        "compute: {seconds_per_task: {values: [5, 5, 5, 1]}}",
        "compute: {seconds_per_task: {dist: lognorm, s: 1, scale: 50}}",
        "compute: {seconds_per_sample: 5}",  # a client may hold few samples
        "compute: {flops_per_second: 1e3}",
        f"compute: {{seconds_per_task: 5, jitter: {RARELY_SHORT}}}",
        groups(7, 2),
    ],
)
def test_a_limit_that_some_task_may_keep_is_accepted(tmp_path: Path, inside: str) -> None:
    assert not told(tmp_path, MINDFLAYER, inside)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        ("", True),
        (", late: discard", True),
        (", partial: keep", False),
        (", warm_up_epochs: 1", False),
    ],
)
def test_a_round_that_ends_before_any_task_is_refused_unless_something_is_used(
    tmp_path: Path, more: str, refused: bool
) -> None:
    strategy = f"{{kind: fedavg, clients_per_round: 2, deadline: 4{more}}}"
    said = told(tmp_path, strategy, SLOW)
    assert bool(said) is refused
    if refused:
        assert said.startswith("5: strategy.deadline: got 4 s, but a task takes 5 s at least")
    assert not told(tmp_path, "{kind: fedprox, clients_per_round: 2, deadline: 4}", SLOW)


@pytest.mark.parametrize(
    ("form", "low", "high"),
    [
        (3.0, 3, 3),
        ({"values": [3, {"dist": "uniform", "loc": 1, "scale": 1}]}, 1, 3),
        ({"sequence": [5, 2, 9]}, 2, 9),
        ({"mixture": [{"weight": 1, "dist": 2.0}, {"weight": 3, "dist": "uniform"}]}, 0, 2),
    ],
)
def test_the_ends_of_a_distribution_are_those_of_its_parts(
    form: object, low: float, high: float
) -> None:
    law = Distribution(form)
    assert (smallest(law), largest(law)) == pytest.approx((low, high), abs=1e-12)
