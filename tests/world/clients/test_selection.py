"""Whom the server chooses among the idle clients, under any strategy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise, permutations
from typing import Any

import pytest
from places import SMALLEST
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario.sections.selection import Oort as OortSettings
from afl_sim.streams import Streams
from afl_sim.world.clients.selection import (
    Oort,
    PowerOfChoice,
    RoundRobin,
    Weighted,
    WithoutReplacement,
)

Schedule = Iterator[Any]


def world(durations: Any, selection: Any, **sections: Any) -> Any:
    return scenario(durations, server={"selection": selection}, **sections)


def close(found: float, p: float, trials: int) -> bool:
    """Within five standard errors: one false alarm in two million."""
    return abs(found - p) < 5 * (p * (1 - p) / trials) ** 0.5


# -- each way of choosing ------------------------------------------------------------------------


def test_weighted_draws_follow_each_other_by_the_weights_that_are_left() -> None:
    weights = {3: 1.0, 5: 2.0, 8: 5.0}
    selector = Weighted(weights.__getitem__, Streams(1))
    trials = 20_000
    found = Counter(tuple(selector.choose(2, [3, 5, 8])) for _ in range(trials))
    for first, second in permutations(weights, 2):
        p = weights[first] / 8 * weights[second] / (8 - weights[first])
        assert close(found[first, second] / trials, p, trials)


def test_a_client_of_no_weight_is_drawn_last() -> None:
    selector = Weighted(lambda client: float(client), Streams(1))
    assert {selector.choose(3, [0, 1, 2])[-1] for _ in range(50)} == {0}


def test_weights_of_no_bounds_are_drawn_among_by_chance_and_first() -> None:
    selector = Weighted(lambda client: float(client // 2), Streams(1), -1.0)
    found = Counter(tuple(selector.choose(2, [0, 1, 2, 3])) for _ in range(400))
    assert found.keys() == {(0, 1), (1, 0)}
    assert close(found[0, 1] / 400, 0.5, 400)


@pytest.mark.parametrize("exponent", [-1e300, -150, -1, 0, 0.5, 1, 150, 1e300])
def test_any_power_of_a_weight_is_one(exponent: float) -> None:
    weights = [600.0, 1.0, 1e-3, 601.0]
    selector = Weighted(weights.__getitem__, Streams(1), exponent)
    keys = Streams(1).uniforms("selection.weighted", range(4), 0)
    order = selector.choose(4, range(4))
    if abs(exponent) <= 1:  # the keys as they are written in the paper
        plain = [-math.log(u) / w**exponent for u, w in zip(keys, weights, strict=True)]
        assert order == sorted(range(4), key=plain.__getitem__)
    elif abs(exponent) == 150:  # 600 and 601 are near enough for a draw
        assert order in ([3, 0, 1, 2], [0, 3, 1, 2], [2, 1, 3, 0], [2, 1, 0, 3])
        assert (order[0] == 2) == (exponent < 0)
    else:
        assert sorted(order) == [0, 1, 2, 3]


HEAVY = {"dist": "pareto", "b": 0.9, "allow_heavy_tail": True}


def test_speeds_without_a_mean_cannot_be_weights() -> None:
    by_speed = {"kind": "weighted", "by": "speed"}
    slow = {"seconds_per_task": 1, "jitter": HEAVY}
    with pytest.raises(ScenarioError, match="the tasks of client 0 have no finite mean duration"):
        run(world(3, by_speed, compute=slow))
    # Where a client's speed is drawn, or cut off, the mean is there.
    for compute in ({"seconds_per_task": HEAVY}, {**slow, "max_seconds": 9}):
        assert run(world(3, by_speed, compute=compute)).server.version > 0
    assert run(world(3, {**by_speed, "exponent": 0}, compute=slow)).server.version > 0


def test_in_a_round_robin_everyone_has_a_turn() -> None:
    selector = RoundRobin()
    assert selector.choose(2, [0, 1, 2, 3, 4]) == [0, 1]
    assert selector.choose(2, [0, 1, 3, 4]) == [3, 4]  # 2 is busy: passed over
    assert selector.choose(3, [0, 1, 2, 3, 4]) == [0, 1, 2]
    assert selector.choose(9, [1, 2]) == [1, 2]
    assert selector.choose(1, []) == []


def test_without_replacement_nobody_serves_twice_before_all_have_served_once() -> None:
    selector = WithoutReplacement(Streams(2))
    chosen = [client for _ in range(30) for client in selector.choose(2, list(range(10)))]
    for start in range(0, 60, 10):
        assert sorted(chosen[start : start + 10]) == list(range(10))
    assert len({tuple(chosen[start : start + 10]) for start in range(0, 60, 10)}) == 6


def test_power_of_choice_takes_the_highest_losses_among_those_drawn() -> None:
    selector = PowerOfChoice(3, lambda client: 1.0, Streams(1))
    for client in range(9):
        selector.hear(client, float(client), 1.0)
    trials = 4000
    found = Counter(selector.choose(1, range(9))[0] for _ in range(trials))
    # The highest of 3 out of 9: at least 2, and 8 with probability 1/3.
    assert min(found) == 2
    assert close(found[8] / trials, 1 / 3, trials)
    assert selector.choose(1, [0, 8, 10]) == [10]  # nothing is known of client 10


def test_oort_takes_useful_clients_and_explores_others() -> None:
    samples = {0: 10.0, 1: 100.0, 2: 10.0, 3: 10.0}
    selector = Oort(
        OortSettings(kind="oort", exploration=0.25, preferred_seconds=4, penalty=2),
        lambda client: samples.get(client, 10.0),
        Streams(1),
    )
    for client, loss, seconds in ((0, 1.0, 4.0), (1, 1.0, 12.0), (2, 9.0, 1.0), (3, 9.0, 8.0)):
        selector.hear(client, loss, seconds)
    # Utilities 10, 100 / 9, 90 and 90 / 4, and hardly any bonus.
    chosen = selector.choose(4, list(range(8)))
    assert chosen[:3] == [2, 3, 1]
    assert chosen[3] >= 4
    assert selector.choose(4, [0, 1, 2, 3]) == [2, 3, 1, 0]
    assert len(selector.choose(4, [0, 4, 5, 6, 7])) == 4


def oort_that_knows(known: int, exploration: float, seed: int = 1) -> Oort:
    """A selector that has heard of clients 0, 1, ... so many."""
    selector = Oort(
        OortSettings(kind="oort", exploration=exploration), lambda client: 10.0, Streams(seed)
    )
    for client in range(known):
        selector.hear(client, 1.0, 1.0)
    return selector


@pytest.mark.parametrize("n", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("exploration", [0.1, 0.5, 0.85])
def test_oort_explores_its_share_however_many_it_chooses(n: int, exploration: float) -> None:
    selector = oort_that_knows(20, exploration)
    trials = 2000
    explored = [
        sum(client >= 20 for client in selector.choose(n, range(40))) for _ in range(trials)
    ]
    wanted = exploration * n
    below = math.floor(wanted)
    assert set(explored) <= {below, below + 1}
    # Each choice is a coin between two whole numbers: five standard errors.
    part = wanted - below
    error = 5 * math.sqrt(part * (1 - part) / trials)
    assert sum(explored) / trials == pytest.approx(wanted, rel=0, abs=error + 1e-12)


def test_oort_explores_never_always_or_exactly_where_that_is_what_the_share_says() -> None:
    for exploration, n, count in ((0.0, 1, 0), (1.0, 1, 1), (0.0, 6, 0), (1.0, 6, 6), (0.5, 6, 3)):
        selector = oort_that_knows(20, exploration)
        for _ in range(50):
            assert sum(client >= 20 for client in selector.choose(n, range(40))) == count


def test_oort_fills_up_from_the_other_kind_where_one_has_too_few() -> None:
    assert sorted(oort_that_knows(2, 0.0).choose(5, range(9)))[:2] == [0, 1]
    assert len(set(oort_that_knows(2, 0.0).choose(5, range(9)))) == 5
    assert sorted(oort_that_knows(8, 1.0).choose(5, range(9)))[-1] == 8
    assert len(set(oort_that_knows(8, 1.0).choose(5, range(9)))) == 5
    assert sorted(oort_that_knows(3, 0.5).choose(9, range(3))) == [0, 1, 2]
    assert oort_that_knows(3, 0.5).choose(9, []) == []


def test_the_number_that_oort_explores_is_drawn_at_the_address_of_the_choice() -> None:
    selector = oort_that_knows(20, 0.3, seed=5)
    found = [selector.choose(1, range(40))[0] >= 20 for _ in range(200)]
    assert found == [u < 0.3 for u in Streams(5).uniforms("selection.exploration", 0, range(200))]


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_client_that_diverges_is_not_sought_out(loss: float) -> None:
    chance = PowerOfChoice(4, lambda client: 1.0, Streams(1))
    oort = Oort(OortSettings(kind="oort", exploration=0.0), lambda client: 10.0, Streams(1))
    for selector in (chance, oort):
        for client, found in ((0, 0.5), (1, loss), (2, 0.1), (3, 2.0)):
            selector.hear(client, found, 1.0)
        assert selector.choose(4, [0, 1, 2, 3]) == [3, 0, 2, 1]


# -- in a run ------------------------------------------------------------------------------------


def order(outcome: Outcome) -> list[int]:
    return [event.client for event in outcome.of("dispatched")]


def test_selection_serves_pick_send_and_workers() -> None:
    def schedule(server: Any) -> Schedule:
        assert server.pick(2) == [0, 1]
        server.send(2)
        assert server.pick_one() == 4
        assert server.pick(9, among=[5, 0, 2]) == [5, 0]
        yield server.sleep(1)

    assert order(run(world([9] * 6, "round_robin"), schedule)) == [2, 3]


STRATEGIES = [
    {"kind": "fedavg", "clients_per_round": 4},
    {"kind": "fedasync", "concurrency": 4},
    {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2},
    {"kind": "fedat", "tiers": 2, "clients_per_round": 2},
    {"kind": "port", "concurrency": 4, "buffer_size": 2},
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda block: block["kind"])
@pytest.mark.parametrize(
    "selection",
    [
        "round_robin",
        "without_replacement",
        {"kind": "weighted", "by": "samples"},
        {"kind": "weighted", "by": "speed", "exponent": -1},
    ],
    ids=str,
)
def test_every_strategy_runs_with_every_selection(strategy: Any, selection: Any) -> None:
    stays = {"kind": "on_off", "on": {"dist": "expon", "scale": 9}, "off": {"dist": "expon"}}
    settings = world(
        12,
        selection,
        compute={"seconds_per_task": {"dist": "expon"}},
        fleet={"availability": stays},
        strategy=strategy,
        stop={"updates": 200},
    )
    outcome, again = run(settings), run(settings)
    assert outcome.schedule_digest == again.schedule_digest
    assert len(set(order(outcome))) >= (12 if isinstance(selection, str) else 6)


def test_a_round_robin_of_synchronous_rounds_goes_round() -> None:
    settings = world([1] * 7, "round_robin", strategy=STRATEGIES[0], stop={"updates": 40})
    assert all((b - a) % 7 == 1 for a, b in pairwise(order(run(settings))))


def test_clients_are_chosen_by_their_samples() -> None:
    settings = world(
        [1] * 4,
        {"kind": "weighted", "by": "samples"},
        strategy={"kind": "fedavg", "clients_per_round": 1},
        stop={"versions": 6000},
    )
    found = Counter(order(run(settings, samples_of=lambda client: 10 * (client + 1))))
    for client in range(4):
        assert close(found[client] / 6000, (client + 1) / 10, 6000)


# -- selections that read results ----------------------------------------------------------------


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedasync", "concurrency": 4},
        {"kind": "fedbuff", "concurrency": 8, "buffer_size": 3},
        {"kind": "fedavg", "clients_per_round": 3},
    ],
    ids=lambda block: block["kind"],
)
def test_oort_sends_its_share_of_tasks_to_clients_that_it_has_not_heard_of(strategy: Any) -> None:
    settings = world(
        400,
        {"kind": "oort", "exploration": 0.1},
        compute={"seconds_per_task": 1, "jitter": {"dist": "expon"}},
        strategy=strategy,
        stop={"updates": 800},
    )
    known: set[int] = set()
    firsts = []
    for event in run(settings).of("dispatched", "arrived"):
        if event.kind == "arrived":
            known.add(event.client)
        elif len(known) > 30:  # so many that there is always somebody known who is idle
            firsts.append(event.client not in known)
    assert len(known) < 200
    assert close(sum(firsts) / len(firsts), 0.1, len(firsts))


@pytest.mark.parametrize("selection", ["{kind: power_of_choice, candidates: 6}", "oort"])
@pytest.mark.parametrize("strategy", ["fedavg, clients_per_round: 3", "fedasync, concurrency: 3"])
def test_losses_guide_a_run_that_trains(selection: str, strategy: str) -> None:
    settings = [
        "stop.updates=30",
        "evaluation.samples=100",
        f"strategy={{kind: {strategy}}}",
    ]
    plain = simulate(load_scenario(SMALLEST, settings))
    chosen = load_scenario(SMALLEST, [*settings, f"server.selection={selection}"])
    guided, again = simulate(chosen), simulate(chosen)
    assert guided.summary["schedule_digest"] != plain.summary["schedule_digest"]
    assert guided.summary["schedule_digest"] == again.summary["schedule_digest"]
    assert guided.summary["model_digest"] == again.summary["model_digest"]
    with pytest.raises(ScenarioError, match=r"server\.selection: \w+ reads training results"):
        simulate(chosen, timing_only=True)
