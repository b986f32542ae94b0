"""Updates with wrong numbers, and a server that refuses them."""

from __future__ import annotations

import math

import pytest
import torch
from places import SMALLEST
from vectors import vec

from afl_sim.global_model.guard import Guard, corrupted
from afl_sim.recording import Run
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario import Scenario
from afl_sim.strategies import Update


def update(delta: list[float], params: list[float], loss: float = 0.5) -> Update:
    return Update(0, 0, 0, 10, 3, vec(*delta), vec(*params), loss)


def test_a_guard_refuses_what_is_not_finite_or_too_long() -> None:
    sound = update([3, 4], [5, 5])
    assert Guard().accepts(sound)
    assert Guard(5.0).accepts(sound)
    assert not Guard(4.9).accepts(sound)
    assert not Guard().accepts(update([math.nan, 0], [5, 5]))
    assert not Guard().accepts(update([0, 0], [math.inf, 5]))
    assert not Guard().accepts(update([0, 0], [5, 5], loss=math.nan))


def test_a_corrupted_update_starts_where_the_sound_one_did() -> None:
    wrong = corrupted(update([3, 4], [5, 6]), -10.0, gradient=False)
    assert torch.equal(wrong.delta, vec(-30, -40))
    assert torch.equal(wrong.params - wrong.delta, vec(2, 2))
    assert torch.isnan(corrupted(update([3, 4], [5, 6]), math.nan, gradient=False).params).all()


def test_a_corrupted_gradient_was_taken_at_the_same_model() -> None:
    wrong = corrupted(update([3, 4], [5, 6]), 2.0, gradient=True)
    assert torch.equal(wrong.delta, vec(6, 8))
    assert torch.equal(wrong.params, vec(5, 6))
    assert torch.isnan(corrupted(update([3, 4], [5, 6]), math.nan, gradient=True).params).all()


def small(*settings: str) -> Scenario:
    return load_scenario(SMALLEST, ["stop.updates=30", "evaluation.samples=100", *settings])


def used(run: Run, kind: str) -> int:
    """How many updates with such a row were aggregated."""
    events = run.events
    of_kind = events[events["kind"] == kind][["client", "task"]]
    aggregated = events[events["kind"] == "aggregated"][["client", "task"]]
    return len(of_kind.merge(aggregated))


@pytest.mark.parametrize("strategy", ["fedbuff, concurrency: 5, buffer_size: 3", "fedavg"])
@pytest.mark.parametrize(
    ("corruption", "guard"),
    [
        ("{probability: 0.3}", "{}"),
        ("{probability: 0.3, kind: scale, factor: 1.0e+6}", "{max_norm: 100}"),
    ],
)
def test_refused_updates_are_counted_and_the_schedule_does_not_change(
    strategy: str, corruption: str, guard: str
) -> None:
    settings = [f"strategy={{kind: {strategy}}}", f"clients.faults.corruption={corruption}"]
    guarded = simulate(small(*settings, f"server.guard={guard}"))
    assert guarded.summary["rejected"] == used(guarded, "corrupted") > 3
    assert guarded.summary["updates"]["aggregated"] >= 30
    assert guarded.summary["final"]["loss"] < 10
    for other in (
        simulate(small(*settings, f"server.guard={guard}"), timing_only=True),
        simulate(small(*settings), timing_only=True),
    ):
        assert other.summary["schedule_digest"] == guarded.summary["schedule_digest"]
        assert other.summary["rejected"] is None


def test_without_a_guard_what_is_not_finite_diverges() -> None:
    run = simulate(small("clients.faults.corruption={probability: 0.3}"))
    assert run.summary["status"] == "diverged"


def test_a_guard_that_refuses_nothing_changes_nothing() -> None:
    plain, guarded = simulate(small()), simulate(small("server.guard={}"))
    assert guarded.summary["rejected"] == 0
    assert guarded.summary["model_digest"] == plain.summary["model_digest"]


def test_a_version_of_which_all_updates_are_refused_is_the_one_before() -> None:
    run = simulate(small("server.guard={max_norm: 1.0e-9}"))
    assert run.summary["rejected"] == run.summary["updates"]["aggregated"]
    losses = run.metrics["loss"]
    assert losses.nunique() == 1
