"""Ringleader ASGD and IA2SGD: tables of gradients, on the papers' schedules."""

from __future__ import annotations

import json

import pytest
from vectors import assert_is, models_after, moved, population, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import IA2SGD, Ringleader
from afl_sim.streams import Streams

PHASE_1, PHASE_2 = {"phase": 1}, {"phase": 2}


def test_the_first_step_is_the_mean_over_clients_of_their_means() -> None:
    # Client 0: (3, 0); client 1: (0, 6). (1/2) of their sum is (1.5, 3).
    batch = [moved(2, 0, client=0), moved(4, 0, client=0), moved(0, 6, client=1)]
    (model,) = models_after(Ringleader(lr=1.0), vec(0, 0), (batch, PHASE_1))
    assert_is(model, 1.5, 3)


def test_a_second_phase_gradient_is_folded_into_its_clients_mean() -> None:
    models = models_after(
        Ringleader(lr=1.0),
        vec(0, 0),
        ([moved(2, 0, client=0), moved(0, 6, client=1)], PHASE_1),
        ([moved(4, 2, client=0)], PHASE_2),
    )
    assert_is(models[0], 1, 3)
    # Client 0: ((2, 0) + (4, 2)) / 2 = (3, 1); client 1 still (0, 6): a step of (1.5, 3.5).
    assert_is(models[1], 2.5, 6.5)


def test_the_next_first_phase_begins_an_empty_table() -> None:
    models = models_after(
        Ringleader(lr=0.5),
        vec(0, 0),
        ([moved(100, 100, client=0), moved(100, 100, client=1)], PHASE_1),
        ([moved(2, 0, client=1), moved(0, 2, client=0)], PHASE_1),
    )
    # 0.5 ((2, 0) + (0, 2)) / 2 = (0.5, 0.5), whatever was there before.
    assert_is(models[1] - models[0], 0.5, 0.5)


def test_ia2sgd_replaces_a_clients_gradient_and_steps_by_the_mean_of_all() -> None:
    models = models_after(
        IA2SGD(lr=1.0),
        vec(0, 0),
        [moved(2, 0, client=0), moved(0, 4, client=1)],
        [moved(6, 2, client=0)],
    )
    assert_is(models[0], 1, 2)
    # ((6, 2) + (0, 4)) / 2 = (3, 3)
    assert_is(models[1], 4, 5)


def test_ia2sgd_counts_only_the_last_gradient_of_each_client() -> None:
    batch = [moved(9, 9, client=0), moved(2, 0, client=0), moved(0, 4, client=1)]
    (model,) = models_after(IA2SGD(lr=0.5), vec(0, 0), batch)
    assert_is(model, 0.5, 1)


def test_ia2sgd_divides_by_all_clients_whoever_arrives() -> None:
    first = [moved(0, 0, client=c) for c in range(4)]
    _, second = models_after(IA2SGD(lr=1.0), vec(0, 0), first, [moved(4, 8, client=2)])
    assert_is(second, 1, 2)


def work(seconds: list, kind: str = "ringleader", **stop: float) -> Outcome:
    return run(scenario(seconds, strategy={"kind": kind}, stop=stop))


def steps_of(outcome: Outcome) -> list[tuple[float, int, list[tuple[int, int]]]]:
    """(second, phase, [(client, task), ...]) of each step."""
    steps: dict[int, tuple[float, int, list[tuple[int, int]]]] = {}
    for e in outcome.of("aggregated"):
        phase = json.loads(e.context)["phase"] if e.context else 0
        step = steps.setdefault(e.version, (e.time_us / 1e6, phase, []))
        step[2].append((e.client, e.task))
    return list(steps.values())


def test_the_papers_two_phases() -> None:
    outcome = work([1, 2.25, 3.5], versions=6)
    assert steps_of(outcome) == [
        # Phase 1 ends with client 2's first gradient, and with it the first step is made.
        (3.5, 1, [(0, 0), (0, 1), (1, 0), (0, 2), (2, 0)]),
        (4.0, 2, [(0, 3)]),
        (4.5, 2, [(1, 1)]),
        # Client 0 sent one more at 5 and 6 s, client 1 at 6.75 s: they begin the next table, which
        # client 2 completes.
        (7.0, 1, [(0, 4), (0, 5), (1, 2), (2, 1)]),
        (7.0, 2, [(0, 6)]),
        (9.0, 2, [(1, 3)]),
    ]
    assert not outcome.of("cancelled", "discarded")


def test_every_table_makes_exactly_n_steps_one_for_each_client() -> None:
    outcome = work([1, 2, 4.5, 9.2], versions=24)
    steps = steps_of(outcome)
    for begin in range(0, 24, 4):
        table = steps[begin : begin + 4]
        assert [phase for _, phase, _ in table] == [1, 2, 2, 2]
        last = [clients[-1][0] for _, _, clients in table]
        assert sorted(last) == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_no_delay_exceeds_2n_minus_2_on_schedules_full_of_ties(seed: int) -> None:
    draws = Streams(seed).generator("test")
    seconds = [[int(s) for s in draws.integers(1, 9, size=40)] for _ in range(6)]
    outcome = work(seconds, virtual_seconds=100)
    delays = [e.staleness for e in outcome.of("aggregated")]
    assert max(delays) <= 2 * 6 - 2
    assert len(delays) > 80


@pytest.mark.parametrize("slowest", [4.0, 7.3])
def test_n_steps_take_at_most_twice_the_slowest_client(slowest: float) -> None:
    outcome = work([1, 2, 3, slowest], versions=40)
    ends = [seconds for seconds, _, _ in steps_of(outcome)][3::4]
    assert all(b - a <= 2 * slowest + 1e-6 for a, b in zip([0, *ends], ends, strict=False))


def test_ia2sgds_first_step_comes_with_the_arrival_after_the_slowest_clients() -> None:
    # Client 1 fills the table at 2.5 s. The next arrival is client 0's third, at 3 s.
    outcome = work([1, 2.5], kind="ia2sgd", versions=3)
    assert steps_of(outcome) == [
        (3.0, 0, [(0, 0), (0, 1), (1, 0), (0, 2)]),
        (4.0, 0, [(0, 3)]),
        (5.0, 0, [(1, 1)]),
    ]
    # The client that fills the table goes on at the initial model.
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")]
    assert sent[:5] == [(0, 0, 0), (0, 1, 0), (1, 0, 0), (2, 0, 0), (2.5, 1, 0)]


def test_ia2sgd_of_one_client_steps_from_the_second_gradient_on() -> None:
    assert steps_of(work([1], kind="ia2sgd", versions=2)) == [
        (2.0, 0, [(0, 0), (0, 1)]),
        (3.0, 0, [(0, 2)]),
    ]


def test_a_table_whose_gradients_are_all_refused_is_none_of_the_last_one_s() -> None:
    strategy = Ringleader(lr=1.0)
    start = strategy.initial_state(vec(1, 1), population(2))
    params, old = strategy.aggregate(
        vec(1, 1), start, [moved(5, 5), moved(7, 7, client=1)], {"phase": 1}
    )
    assert strategy.refused(params, old, {"phase": 2})[1] is old
    params, table = strategy.refused(vec(1, 1), old, {"phase": 1})
    assert_is(params, 1, 1)
    # The next one of phase 2 is alone in the new table: w + (2, 0) / 1.
    params, table = strategy.aggregate(params, table, [moved(2, 0)], {"phase": 2})
    assert_is(params, 3, 1)
    assert list(table["rows"]) == [0]
