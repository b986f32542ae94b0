"""What a client selection of the user's own is told at each choice."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest
import world_runs
from world_runs import link, scenario

from afl_sim import Candidates, Selection
from afl_sim.errors import OwnRuleError, ScenarioError

SEEN: list[tuple[int, Candidates]] = []


class Watching(Selection):
    """Chooses the clients of the highest index, and remembers for the test what it was told."""

    def choose(self, n: int, candidates: Candidates, draws: np.random.Generator) -> Any:
        SEEN.append((n, candidates))
        for name in ("samples", "chosen", "expected_seconds", "seconds"):
            getattr(candidates, name)
        return candidates.clients[::-1][:n]


class Reading(Watching):
    reads_results: ClassVar[bool] = True

    def choose(self, n: int, candidates: Candidates, draws: np.random.Generator) -> Any:
        assert len(candidates.loss) == len(candidates)
        return super().choose(n, candidates, draws)


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    SEEN.clear()


def rounds(server: Any) -> Any:
    """Two rounds of two clients."""
    for _ in range(2):
        sent = server.dispatch_many(server.pick(2))
        arrived = yield server.wait(sent)
        yield server.aggregate(arrived)


def run(rule: Selection, **more: Any) -> world_runs.Outcome:
    built = scenario([1, 2, 3, 4], server={"selection": rule}, **more)
    return world_runs.run(built, rounds, samples_of=lambda client: 10 * (client + 1))


def test_it_is_told_of_the_idle_clients_and_of_what_happened_before() -> None:
    outcome = run(Watching())
    assert [event.client for event in outcome.of("dispatched")] == [3, 2, 3, 2]
    (n, first), (_, second) = SEEN
    assert (n, first.choice, second.choice) == (2, 0, 1)
    assert first.clients.tolist() == second.clients.tolist() == [0, 1, 2, 3]
    assert first.samples.tolist() == [10, 20, 30, 40]
    assert first.expected_seconds.tolist() == [1, 2, 3, 4]
    assert first.chosen.tolist() == [0, 0, 0, 0]
    assert second.chosen.tolist() == [0, 0, 1, 1]
    assert np.isnan(first.seconds).all()
    assert second.seconds.tolist()[2:] == [3, 4]
    assert np.isnan(second.seconds[:2]).all()


def test_losses_are_read_only_by_those_that_say_so() -> None:
    run(Reading())
    (_, first), (_, second) = SEEN
    assert np.isnan(first.loss).all()
    assert second.loss.tolist()[2:] == [1 + 14 % 5, 1 + 21 % 5]  # of `MadeUpLosses`
    SEEN.clear()
    run(Watching())
    with pytest.raises(OwnRuleError, match="reads losses"):
        _ = SEEN[0][1].loss


def test_what_it_is_told_cannot_be_changed() -> None:
    run(Watching())
    candidates = SEEN[1][1]
    for name in ("clients", "samples", "chosen", "seconds", "expected_seconds"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(candidates, name)[0] = 1


def test_it_is_not_asked_where_there_is_no_choice() -> None:
    def nobody(server: Any) -> Any:
        server.dispatch_many(server.pick(4))
        assert server.pick(2) == []
        yield server.arrival()

    world_runs.run(scenario([1, 2, 3, 4], server={"selection": Watching()}), nobody)
    assert [n for n, _ in SEEN] == [4]


def test_a_mean_round_trip_that_is_infinite_is_one_error() -> None:
    heavy = link({"latency": 1, "jitter": {"dist": "pareto", "b": 0.9, "allow_heavy_tail": True}})
    with pytest.raises(ScenarioError, match="client 0 have no finite mean duration"):
        run(Watching(), up=heavy)


def test_clients_that_queue_tasks_are_candidates_while_they_work() -> None:
    run(Watching(), fleet={"queue": "fifo"})
    assert [len(candidates) for _, candidates in SEEN] == [4, 4]
