"""Ringmaster ASGD: plain gradient steps, and nobody's delay ever reaches R."""

from __future__ import annotations

import pytest
from vectors import assert_is, models_after, moved, step, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import Ringmaster
from afl_sim.streams import Streams


def test_each_gradient_is_a_plain_step() -> None:
    # A gradient task's delta is -g:  (1, 1) - 0.1 (1, -2) = (0.9, 1.2), stale or not.
    strategy = Ringmaster(lr=0.1)
    assert_is(step(strategy, vec(1, 1), [moved(-1, 2)]), 0.9, 1.2)
    assert_is(step(strategy, vec(1, 1), [moved(-1, 2, tau=9)]), 0.9, 1.2)


def test_gradients_in_one_call_are_all_applied_in_full() -> None:
    # (1, 1) - 0.1 (1, -2) - 0.1 (2, 0) = (0.7, 1.2)
    assert_is(step(Ringmaster(lr=0.1), vec(1, 1), [moved(-1, 2), moved(-2, 0)]), 0.7, 1.2)


def test_a_step_begins_where_the_last_one_ended() -> None:
    # -0.5 (2, -4) from (1, 1) is (0, 3); -0.5 (-1, 6) from there is (0.5, 0).
    models = models_after(Ringmaster(lr=0.5), vec(1, 1), [moved(-2, 4)], [moved(1, -6, tau=1)])
    assert_is(models[0], 0, 3)
    assert_is(models[1], 0.5, 0)


def test_its_tasks_return_gradients() -> None:
    assert Ringmaster.gradient


def work(seconds: list, threshold: int, stops: bool = True, **stop: float) -> Outcome:
    strategy = {"kind": "ringmaster", "delay_threshold": threshold, "stops": stops}
    return run(scenario(seconds, strategy=strategy, stop=stop))


def test_a_worker_whose_delay_reaches_r_is_restarted_at_the_new_model() -> None:
    outcome = work([1, 100], 3, virtual_seconds=7)
    # Client 0 makes a version each second. Client 1, begun at version 0, has delay 3 at 3 s; its
    # second task, begun at version 3, has delay 3 at 6 s.
    assert outcome.story("cancelled") == [(3.0, "cancelled", 1), (6.0, "cancelled", 1)]
    assert [(e.time_us, e.base_version) for e in outcome.of("dispatched") if e.client == 1] == [
        (0, 0),
        (3_000_000, 3),
        (6_000_000, 6),
    ]


def test_a_delay_of_r_minus_one_is_still_applied() -> None:
    # Client 1 arrives at 2.5 s, when client 0 has made 2 versions: delay 2.
    outcome = work([1, 2.5], 3, updates=4)
    assert [(e.client, e.staleness) for e in outcome.of("aggregated")][:3] == [
        (0, 0),
        (0, 0),
        (1, 2),
    ]
    assert not outcome.of("cancelled", "discarded")


def test_an_arrival_that_grows_too_old_at_its_own_instant_is_not_applied() -> None:
    # R = 1: both are due at 2 s. The first makes version 1, and the second's delay is then 1.
    outcome = work([2, 2], 1, virtual_seconds=3)
    assert [e.staleness for e in outcome.of("aggregated")] == [0]
    assert [(e.time_us, e.kind) for e in outcome.of("discarded")] == [(2_000_000, "discarded")]
    # Both go on at once with version 1.
    assert [(e.time_us, e.version) for e in outcome.of("dispatched")][2:] == [(2_000_000, 1)] * 2


@pytest.mark.parametrize("threshold", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_delay_reaches_r_on_schedules_full_of_ties(threshold: int, seed: int) -> None:
    draws = Streams(seed).generator("test")
    seconds = [[int(s) for s in draws.integers(1, 6, size=30)] for _ in range(7)]
    outcome = work(seconds, threshold, virtual_seconds=60)
    applied = [e.staleness for e in outcome.of("aggregated")]
    assert max(applied) <= threshold - 1
    assert len(applied) > 40
    # Nor does a worker go on with a delay of R: replay who trains what between two instants.
    training: dict[int, int] = {}
    now = version = 0
    for event in outcome.events:
        if event.time_us > now:
            assert version - min(training.values()) <= threshold - 1
        now, version = event.time_us, event.version
        if event.kind == "dispatched":
            training[event.client] = event.base_version
        elif event.kind in ("arrived", "cancelled"):
            training.pop(event.client)


def test_without_stops_a_gradient_that_is_too_old_is_ignored_when_it_arrives() -> None:
    # Client 1 sends its gradient of version 0 at 4.5 s, when there are 4 versions: delay 4 >= 3.
    outcome = work([1, 4.5], 3, stops=False, virtual_seconds=8)
    assert outcome.story("discarded") == [(4.5, "discarded", 1)]
    assert not outcome.of("cancelled")
    # It goes on at once with the version of that moment.
    assert [e.base_version for e in outcome.of("dispatched") if e.client == 1] == [0, 4]


def test_without_stops_too_no_applied_delay_reaches_r() -> None:
    draws = Streams(4).generator("test")
    seconds = [[int(s) for s in draws.integers(1, 6, size=30)] for _ in range(7)]
    outcome = work(seconds, 4, stops=False, virtual_seconds=60)
    assert max(e.staleness for e in outcome.of("aggregated")) == 3
    assert outcome.of("discarded")


def test_check_finds_more_workers_than_clients() -> None:
    assert [path for path, _ in Ringmaster(concurrency=3).check(2)] == [("concurrency",)]
    assert not list(Ringmaster().check(2))
