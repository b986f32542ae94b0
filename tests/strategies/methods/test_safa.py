"""SAFA: its cache, its selection, and who gets the global model."""

from __future__ import annotations

import json
from typing import Any

from places import SMALLEST
from vectors import assert_is, models_after, population, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim import load_scenario, simulate
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Scenario, ValidationContext
from afl_sim.strategies import SAFA
from afl_sim.strategies.base import Client


def context(
    picked: list[int],
    deprecated: list[int] | None = None,
    going_on: dict[int, int] | None = None,
    version: int = 0,
) -> dict[str, Any]:
    return {
        "version": version,
        "picked": picked,
        "deprecated": deprecated or [],
        "going_on": going_on or {},
        "recent": sorted(set((going_on or {}).values())),
    }


def test_the_model_is_the_weighted_mean_of_a_cache_that_begins_at_the_initial_model() -> None:
    # n = (1, 3): 1/4 (8, 0) + 3/4 (0, 4) = (2, 3)
    entry = ([trained(8, 0, client=0)], context([0]))
    (model,) = models_after(SAFA(), vec(0, 4), entry, samples=[1, 3])
    assert_is(model, 2, 3)


def test_an_undrafted_model_counts_from_the_next_round_on() -> None:
    models = models_after(
        SAFA(),
        vec(0, 0),
        ([trained(4, 0, client=0), trained(0, 8, client=1)], context([0])),
        ([trained(2, 0, client=0)], context([0], version=1)),
    )
    # Uniform weights 1/2. Round 1: (4, 0)/2 + (0, 0)/2; round 2: (2, 0)/2 + (0, 8)/2.
    assert_is(models[0], 2, 0)
    assert_is(models[1], 1, 4)


def test_a_deprecated_clients_entry_becomes_the_global_model() -> None:
    models = models_after(
        SAFA(),
        vec(0, 0),
        ([trained(4, 0, client=0), trained(8, 0, client=1)], context([0, 1])),
        ([trained(2, 2, client=0)], context([0], deprecated=[1], version=1)),
    )
    assert_is(models[0], 6, 0)
    # (2, 2)/2 + the global (6, 0)/2, client 1's own (8, 0) forgotten
    assert_is(models[1], 4, 1)


def test_a_picked_client_that_was_deprecated_counts_with_its_new_model() -> None:
    models = models_after(
        SAFA(),
        vec(0, 0),
        ([trained(4, 4, client=0)], context([0])),
        ([trained(0, 8, client=1)], context([1], deprecated=[1], version=1)),
    )
    assert_is(models[1], 2, 6)


def test_a_client_goes_on_from_the_model_it_received_and_others_from_the_global_one() -> None:
    strategy, start = SAFA(), vec(1, 1)
    state = strategy.initial_state(start, population(3))
    assert_is(strategy.starting_point(start, state, Client(2, None)), 1, 1)
    updates = [trained(4, 4, client=0)]
    params, state = strategy.aggregate(start, state, updates, context([0], going_on={2: 0}))
    assert_is(params, 2, 2)
    assert_is(strategy.starting_point(params, state, Client(2, vec(9, 9))), 1, 1)
    assert_is(strategy.starting_point(params, state, Client(1, vec(9, 9))), 2, 2)
    # It still does so a version later, though it is two behind; then it is forgotten.
    later, state = strategy.aggregate(
        params, state, updates, context([0], going_on={2: 0}, version=1)
    )
    assert_is(strategy.starting_point(later, state, Client(2, None)), 1, 1)
    _, state = strategy.aggregate(later, state, updates, context([0], version=2))
    assert state["models"] == {}


def work(seconds: list, **settings: Any) -> Outcome:
    stop = settings.pop("stop", {"versions": 3})
    return run(scenario(seconds, strategy={"kind": "safa", **settings}, stop=stop))


def rounds(outcome: Outcome) -> list[tuple[float, list[int], list[int]]]:
    """(end in seconds, picked, all that arrived) of each round."""
    found: dict[int, tuple[float, list[int], list[int]]] = {}
    for e in outcome.of("aggregated"):
        picked = json.loads(e.context or "")["picked"]
        found.setdefault(e.version, (e.time_us / 1e6, picked, []))[2].append(e.client)
    return list(found.values())


def test_those_passed_over_go_first_in_the_next_round() -> None:
    # Two of four. Round 1 takes 0 and 1. In round 2, from 2 s, they are back at 3 and 4 s, but 2
    # and 3, still at their first task, arrive at 3 and 5 s and go first.
    outcome = work([1, 2, 3, 5], clients_per_round=2, stop={"versions": 2})
    assert rounds(outcome) == [(2.0, [0, 1], [0, 1]), (5.0, [2, 3], [2, 0, 1, 3])]


def test_a_round_that_nobody_is_left_for_is_filled_with_those_picked_before() -> None:
    # All of both clients, every round: none is fresh after the first.
    outcome = work([1, 2], clients_per_round=2, stop={"versions": 3})
    assert rounds(outcome) == [
        (2.0, [0, 1], [0, 1]),
        (4.0, [0, 1], [0, 1]),
        (6.0, [0, 1], [0, 1]),
    ]


def test_a_client_that_lags_beyond_the_tolerance_starts_anew() -> None:
    # One of three, tolerance 1: client 2's task of 100 s begins at version 0; when its lag is 2, at
    # the start of round 3, it is stopped and sent version 2.
    outcome = work([1, 1, 100], clients_per_round=1, lag_tolerance=1, stop={"versions": 3})
    assert outcome.story("cancelled") == [(2.0, "cancelled", 2)]
    sent = [
        (e.time_us // 1_000_000, e.base_version) for e in outcome.of("dispatched") if e.client == 2
    ]
    assert sent == [(0, 0), (2, 2)]
    deprecated = {
        e.version: json.loads(e.context or "")["deprecated"] for e in outcome.of("aggregated")
    }
    assert deprecated == {1: [], 2: [], 3: [2]}


def test_a_deadline_ends_a_round_with_what_has_arrived() -> None:
    outcome = work([1, 2, 30], clients_per_round=3, deadline=5.0, stop={"versions": 2})
    assert rounds(outcome)[0] == (5.0, [0, 1], [0, 1])
    # The third goes on undisturbed.
    assert [e.time_us for e in outcome.of("dispatched") if e.client == 2] == [0]


def test_a_round_is_not_a_microsecond_longer_than_its_deadline() -> None:
    # The second round begins at 3.2 s, and 5 - (8.2 - 3.2) is not 0 in floating point.
    outcome = work([3.2, 30], clients_per_round=1, deadline=5.0, stop={"versions": 3})
    assert [at for at, _, _ in rounds(outcome)] == [3.2, 8.2, 13.2]


def test_a_warm_up_makes_a_first_version_of_everybody() -> None:
    outcome = work([1, 2, 30], clients_per_round=1, warm_up_epochs=1, stop={"versions": 2})
    assert rounds(outcome) == [(30.0, [0, 1, 2], [0, 1, 2]), (31.0, [0], [0])]
    assert {e.base_version for e in outcome.of("dispatched") if e.time_us} == {1}


def test_a_warm_up_is_trained_and_aggregated_like_any_round() -> None:
    strategy = "strategy={kind: safa, clients_per_round: 3, warm_up_epochs: 1, round_ends: all}"
    settings = [strategy, "model=logistic", "stop.updates=40", "evaluation.samples=100"]
    trained_run = simulate(load_scenario(SMALLEST, settings))
    assert trained_run.summary["status"] == "complete"
    first = trained_run.events[trained_run.events["kind"] == "aggregated"]["client"][:10]
    assert sorted(first) == list(range(10))


def test_a_round_may_last_until_all_have_answered() -> None:
    # One of three is picked: the first, then the first of those passed over before.
    outcome = work([1, 2, 30], clients_per_round=1, round_ends="all", stop={"versions": 3})
    assert rounds(outcome) == [
        (30.0, [0], [0, 1, 2]),
        (60.0, [1], [0, 1, 2]),
        (90.0, [0], [0, 1, 2]),
    ]


def test_a_client_that_lost_its_work_goes_on_from_the_model_it_had() -> None:
    # Client 2, sent version 0, leaves at 2.5 s, in round 3, and is back at 3 s.
    built = scenario(
        [1, 1, 50],
        strategy={"kind": "safa", "clients_per_round": 1},
        stop={"versions": 5},
    ).model_dump(mode="json", by_alias=True)
    stays = {"values": [1000, 1000, {"sequence": [2.5, 1000]}]}
    built["clients"]["availability"] = {"kind": "on_off", "on": stays, "off": 0.5}
    outcome = run(Scenario.model_validate(built, context=ValidationContext(catalogue())))
    assert outcome.story("failed") == [(2.5, "failed", 2)]
    going_on = {
        e.version: json.loads(e.context or "")["going_on"] for e in outcome.of("aggregated")
    }
    assert going_on == {1: {}, 2: {}, 3: {"2": 0}, 4: {}, 5: {}}
    assert [e.time_us for e in outcome.of("dispatched") if e.client == 2] == [0, 3_000_000]
    # While it was at work, its model was kept for that.
    recent = [json.loads(e.context or "")["recent"] for e in outcome.of("aggregated")]
    assert all(0 in versions for versions in recent)


def test_a_version_whose_updates_are_all_refused_has_its_deprecated_and_its_going_on() -> None:
    strategy, start = SAFA(clients_per_round=1), vec(0, 0)
    state = strategy.initial_state(start, population(2))
    params, state = strategy.aggregate(start, state, [trained(4, 2, client=0)], context([0]))
    assert_is(params, 2, 1)
    refused = context([0], deprecated=[1], going_on={1: 1}, version=1)
    params, state = strategy.refused(params, state, refused)
    assert_is(params, 3, 1.5)  # client 0's from before, and client 1's is the global model
    assert_is(strategy.starting_point(params, state, Client(1, None)), 2, 1)


def test_check_finds_rounds_larger_than_the_population() -> None:
    assert [p for p, _ in SAFA(clients_per_round=3).check(2)] == [("clients_per_round",)]
    assert not list(SAFA().check(2))


def test_a_round_of_clients_that_take_no_time_is_over_at_once() -> None:
    strategy = {"kind": "safa", "clients_per_round": 2}
    outcome = run(scenario([0, 0, 0], strategy=strategy, stop={"versions": 3}))
    assert outcome.ending.time_us == 0
    assert [e.version for e in outcome.of("aggregated")] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
