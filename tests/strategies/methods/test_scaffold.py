"""SCAFFOLD, FedDyn and FedGATE's tracking in FLANP: corrections and what clients keep."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from places import SMALLEST
from vectors import assert_is, moved, population, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.replay import ReplayingLearner
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.run.api import load_scenario
from afl_sim.strategies import FLANP, FedAvg, FedDyn, Scaffold, Strategy, Update
from afl_sim.strategies.base import Client, Work
from afl_sim.testing.quadratics import targets
from afl_sim.testing.toy import Case, calls_of, executor_of, learner_of, turn

START = vec(0, 0)


def keeping(update: Update, *numbers: float) -> Update:
    """The update with what its client keeps."""
    return replace(update, client_state=vec(*numbers))


def test_scaffold_corrects_by_the_difference_of_the_variates() -> None:
    strategy, state = Scaffold(), {"c": vec(1, 2), "clients": 4}
    fresh = strategy.correction(START, state, Client(0, None))
    assert_is(fresh, 1, 2)  # c - 0
    # A client that keeps c_i = (3, 0) and the change it told: c - c_i
    known = strategy.correction(START, state, Client(0, START, vec(3, 0, 9, 9)))
    assert_is(known, -2, 2)


def test_scaffolds_new_variate_is_option_ii() -> None:
    # c_i = (3, 0), c = (1, 2), K = 4, eta = 0.5, y - x = (-2, 4):
    # c_i+ = (3, 0) - (1, 2) + (2, -4)/2 = (3, -4); the change is (0, -4).
    strategy, state = Scaffold(), {"c": vec(1, 2), "clients": 4}
    client = Client(0, START, vec(3, 0, 9, 9))
    kept = strategy.client_state(START, state, client, Work(4, 0.5, vec(-2, 4)))
    assert_is(kept, 3, -4, 0, -4)
    first = strategy.client_state(START, state, Client(0, None), Work(1, 1.0, vec(0, 0)))
    assert_is(first, -1, -2, -1, -2)


def test_scaffold_moves_by_the_mean_and_c_by_the_changes_over_all_clients() -> None:
    strategy = Scaffold(server_lr=0.5)
    state = strategy.initial_state(START, population(4))
    updates = [keeping(moved(2, 0), 5, 5, 4, 0), keeping(moved(0, 4), 5, 5, 0, 8)]
    params, state = strategy.aggregate(START, state, updates, {})
    assert_is(params, 0.5, 1)
    assert_is(state["c"], 1, 2)  # (4, 8) / 4, though two clients took part
    # A task of no steps tells nothing new.
    idle = replace(updates[0], steps=0)
    assert_is(strategy.aggregate(params, state, [idle], {})[1]["c"], 1, 2)


def test_feddyn_carries_the_gradient_at_the_local_optimum() -> None:
    strategy = FedDyn(alpha=0.5)
    state = strategy.initial_state(START, population(2))
    assert strategy.proximal == 0.5
    assert strategy.proximal_factor(START, state, Client(0, None)) == 1
    assert strategy.correction(START, state, Client(0, None)) is None
    first = strategy.client_state(START, state, Client(0, None), Work(3, 0.1, vec(4, -2)))
    assert_is(first, -2, 1)  # 0 - 0.5 (4, -2)
    client = Client(0, START, first)
    assert_is(strategy.correction(START, state, client), 2, -1)
    assert_is(strategy.client_state(START, state, client, Work(3, 0.1, vec(0, 2))), -2, 0)


def test_feddyn_regularizes_a_client_of_many_samples_less() -> None:
    # n = 8 samples of N = 4 clients: 1, 3, 4 and 0 of them. n_k N / n = 1/2, 3/2, 2.
    strategy = FedDyn(alpha=0.6)
    state = strategy.initial_state(START, population(4, [1, 3, 4, 0]))
    factors = [strategy.proximal_factor(START, state, Client(k, None)) for k in range(4)]
    assert factors == pytest.approx([2, 2 / 3, 1 / 2, 1])
    # alpha_k = 1.2, 0.4, 0.3: lambda_1 = -0.4 (5, 10).
    kept = strategy.client_state(START, state, Client(1, None), Work(3, 0.1, vec(5, 10)))
    assert_is(kept, -2, -4)
    # The server's step does not depend on them: mean (1, 2) + (2, 4)/4.
    params, _ = strategy.aggregate(START, state, [trained(2, 0), trained(0, 4)], {})
    assert_is(params, 1.5, 3)
    alike = FedDyn(alpha=0.6, scaling="none")
    state = alike.initial_state(START, population(4, [1, 3, 4, 0]))
    assert [alike.proximal_factor(START, state, Client(k, None)) for k in range(4)] == [1] * 4


def test_feddyns_server_subtracts_the_mean_drift_of_all_clients() -> None:
    strategy = FedDyn(alpha=0.5)
    state = strategy.initial_state(START, population(4))
    first, state = strategy.aggregate(START, state, [trained(2, 0), trained(0, 4)], {})
    # h = -0.5 (2, 4)/4 = (-0.25, -0.5); mean (1, 2) - h / 0.5 = (1.5, 3)
    assert_is(state["h"], -0.25, -0.5)
    assert_is(first, 1.5, 3)
    # The same models again: drifts (0.5, -3) and (-1.5, 1), sum (-1, -2):
    # h = (-0.25, -0.5) + 0.5 (1, 2)/4 = (-0.125, -0.25); mean (1, 2) + (0.25, 0.5)
    second, _ = strategy.aggregate(first, state, [trained(2, 0), trained(0, 4)], {})
    assert_is(second, 1.25, 2.5)


def test_flanps_tracking_variable_moves_by_the_gap_to_the_mean_over_k() -> None:
    strategy = FLANP()
    # Delta of the last round that it was in; there was one without it since.
    state = {"rounds": 2, "last": {0: 0, 1: 1}, "means": {0: vec(1, 1), 1: vec(8, 8)}}
    # The client kept delta = (2, 0), Delta_i = (5, 1), K = 4: delta + ((5, 1) - (1, 1))/4 = (3, 0)
    client = Client(0, START, vec(2, 0, 5, 1, 4))
    assert_is(strategy.correction(START, state, client), -3, 0)
    kept = strategy.client_state(START, state, client, Work(2, 0.5, vec(-1, 2)))
    assert_is(kept, 3, 0, 2, -4, 2)  # Delta_i = -(-1, 2)/0.5
    assert strategy.correction(START, state, Client(0, None)) is None


def test_flanp_moves_by_the_mean_and_remembers_it_as_gradients() -> None:
    strategy = FLANP(gamma=0.5)
    state = strategy.initial_state(START, population(4))
    updates = [
        keeping(moved(2, 0), 0, 0, -4, 0, 1),
        keeping(moved(0, 4, client=1), 0, 0, 0, -8, 1),
    ]
    params, state = strategy.aggregate(START, state, updates, {})
    assert_is(params, 0.5, 1)
    assert state["last"] == {0: 0, 1: 0}
    assert_is(state["means"][0], -2, -4)
    # The next round is without client 1, for which the first one's mean is kept.
    _, state = strategy.aggregate(params, state, updates[:1], {})
    assert state["last"] == {0: 1, 1: 0}
    assert_is(state["means"][0], -2, -4)
    assert_is(state["means"][1], -4, 0)
    # And once it was in another, nobody needs that any more.
    _, state = strategy.aggregate(params, state, updates[1:], {})
    assert list(state["means"]) == [1, 2]


def test_feddyn_from_a_model_and_a_drift_that_are_not_zero() -> None:
    # Drifts from (1, 1): (2, 0) and (0, -4). h = (1, 0) - 1 (2, -4)/2 = (0, 2);
    # mean (2, -1) - h/1 = (2, -3).
    state = {"h": vec(1, 0), "clients": 2}
    updates = [trained(3, 1, base=(1, 1)), trained(1, -3, base=(1, 1))]
    params, state = FedDyn(alpha=1.0).aggregate(vec(1, 1), state, updates, {})
    assert_is(state["h"], 0, 2)
    assert_is(params, 2, -3)


def test_flanp_keeps_the_mean_of_those_who_did_a_step() -> None:
    # One of two did none: w moves by ((4, -2) + 0)/2, and Delta is the other's own.
    updates = [
        keeping(moved(4, -2), 0, 0, -8, 4, 1),
        replace(keeping(moved(0, 0, client=1), 0, 0, 7, 7, 1), steps=0),
    ]
    start = FLANP().initial_state(START, population(2))
    params, state = FLANP().aggregate(vec(1, 1), start, updates, {})
    assert_is(params, 3, 0)
    assert state["last"] == {0: 0}
    assert_is(state["means"][0], -8, 4)
    assert FLANP().aggregate(vec(1, 1), state, updates[1:], {})[1] is state


def rounds(strategy: dict[str, Any], seconds: list[float], versions: int) -> list[tuple[int, list]]:
    outcome: Outcome = run(scenario(seconds, strategy=strategy, stop={"versions": versions}))
    found: dict[int, tuple[int, list]] = {}
    for e in outcome.of("aggregated"):
        found.setdefault(e.version, (e.time_us // 1_000_000, []))[1].append(e.client)
        assert e.staleness == 0
    return list(found.values())


@pytest.mark.parametrize("kind", ["scaffold", "feddyn"])
def test_rounds_wait_for_the_whole_cohort(kind: str) -> None:
    found = rounds({"kind": kind, "clients_per_round": 1.0}, [1, 2, 3], 2)
    assert found == [(3, [0, 1, 2]), (6, [0, 1, 2])]


def test_flanp_lets_in_twice_as_many_clients_in_each_stage() -> None:
    found = rounds({"kind": "flanp", "stage_rounds": 2}, [4, 1, 3, 2, 5], 8)
    # By speed: 1, 3, 2, 0, 4. One for two rounds, two for two, four for two, then all five.
    assert [(t, sorted(clients)) for t, clients in found] == [
        (1, [1]),
        (2, [1]),
        (4, [1, 3]),
        (6, [1, 3]),
        (10, [0, 1, 2, 3]),
        (14, [0, 1, 2, 3]),
        (19, [0, 1, 2, 3, 4]),
        (24, [0, 1, 2, 3, 4]),
    ]


def test_flanps_threshold_ends_stages_by_the_size_of_the_update() -> None:
    strategy = FLANP(threshold=1e-3)
    assert strategy.reads_results
    assert not FLANP().reads_results
    case = Case(strategy, versions=30)
    active = [call.context["active"] for call in calls_of(case, "same")]
    assert active == sorted(active)
    assert active[0] == 1
    assert active[-1] == 6
    # m = 1 until the squared norm of an update is at most 1e-3; the toy's shrink by 0.7^4 a round.
    moves = [(INITIAL_GAP * (1 - 0.7**4)) ** 2 * 0.7 ** (8 * n) for n in range(10)]
    assert active.count(1) == next(n for n, move in enumerate(moves, 1) if move <= 1e-3)


INITIAL_GAP = float((targets(1, "same")[0] - torch.tensor([1.0, -2.0, 0.5])).norm())


def distance(strategy: Strategy, guard: Guard | None = None, availability: Any = "always") -> float:
    """Between the model after 200 rounds and the optimum of clients that differ."""
    case = Case(strategy, versions=200)
    learner = learner_of(case, executor_of(case.clients, "spread"), guard=guard)
    vector = turn(case, learner, availability=availability).vector
    assert vector is not None
    optima = targets(case.clients, "spread")
    weights = torch.ones(case.clients)
    if isinstance(strategy, FedDyn) and strategy.scaling == "samples":
        weights = torch.tensor([1.0, 3, 2, 5, 1, 3])  # the samples of the toy's six clients
    return float((vector - weights @ optima / weights.sum()).norm())


@pytest.mark.parametrize(
    "strategy",
    [
        Scaffold(clients_per_round=3),
        FedDyn(clients_per_round=3, alpha=0.5, scaling="none"),
        FedDyn(clients_per_round=3, alpha=0.5),
    ],
)
def test_corrected_rounds_of_half_the_clients_settle_at_the_optimum_of_all(
    strategy: Strategy,
) -> None:
    assert distance(strategy) < 1e-5
    # Averaging follows whichever half it has drawn.
    assert distance(FedAvg(clients_per_round=3, weighting="uniform")) > 0.1


def test_flanp_settles_at_the_optimum_of_all() -> None:
    assert distance(FLANP(stage_rounds=5)) < 1e-5


CORRECTED = [
    Scaffold(clients_per_round=3),
    FedDyn(clients_per_round=3, alpha=0.5, scaling="none"),
    FedDyn(clients_per_round=3, alpha=0.5),
    FLANP(initial_clients=6),
]


class RefusesEarly(Guard):
    """Refuses a third of the updates of the first ten versions."""

    def accepts(self, update: Update) -> bool:
        return update.base_version >= 10 or (update.base_version + update.client) % 3 > 0


@pytest.mark.parametrize("strategy", CORRECTED)
def test_updates_that_are_refused_leave_no_offset(strategy: Strategy) -> None:
    guard = RefusesEarly()
    assert distance(strategy, guard) < 1e-4


@pytest.mark.parametrize("strategy", CORRECTED)
def test_rounds_that_clients_miss_leave_no_offset(strategy: Strategy) -> None:
    away = {"kind": "on_off", "on": {"dist": "expon", "scale": 40}, "off": 20}
    assert distance(strategy, availability=away) < 1e-2


@pytest.mark.parametrize("strategy", CORRECTED)
def test_refused_updates_are_taken_back_in_a_resumed_run_as_well(strategy: Strategy) -> None:
    case = Case(strategy, versions=12)
    learner = learner_of(case, executor_of(case.clients, "spread"), guard=RefusesEarly())
    taken: list[Any] = []
    turn(case, learner, lambda version: taken.append(learner.snapshot(version).pack()))
    for version, (facts, arrays) in enumerate(taken[:-1], 1):
        fresh = learner_of(case, executor_of(case.clients, "spread"), guard=RefusesEarly())
        replay = ReplayingLearner(fresh, Snapshot.unpack(json.loads(json.dumps(facts)), arrays))
        turn(case, replay, lambda now, replay=replay: replay.attach(now, lambda: None))
        assert torch.equal(fresh.vector, learner.vector), version


def test_flanp_goes_on_without_the_fastest_once_they_have_left_for_good() -> None:
    outcome = run(
        scenario(
            [1, 2, 3],
            strategy={"kind": "flanp", "stage_rounds": 100},
            fleet={"availability": {"kind": "always", "leaves": {"values": [2.5, 1e6, 1e6]}}},
            stop={"versions": 5},
        )
    )
    assert [(e.version, e.client) for e in outcome.of("aggregated")] == [
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 1),
        (5, 1),
    ]


def test_with_a_threshold_no_number_of_rounds_ends_a_stage() -> None:
    away = {"kind": "on_off", "on": {"sequence": [1.5, 1e6]}, "off": 3}
    case = Case(FLANP(threshold=1e-30, stage_rounds=1), versions=6)
    learner = learner_of(case, executor_of(case.clients, "spread"))
    assert turn(case, learner, availability=away).counts.aggregated == 6  # one client throughout


def test_contexts_can_be_written_down() -> None:
    (context,) = {json.dumps(call.context) for call in calls_of(Case(FLANP(), versions=3))}
    assert context == '{"active": 1}'


# -- rules that take local work for plain SGD ------------------------------------------------------


@pytest.mark.parametrize("kind", ["scaffold", "flanp"])
@pytest.mark.parametrize(
    ("optimizer", "key", "found"),
    [
        ("{kind: Adam, lr: 0.01}", "kind", "got 'Adam'"),
        ("{kind: SGD, lr: 0.1, momentum: 0.9}", "momentum", "got 0.9"),
        ("{kind: SGD, lr: 0}", "lr", "got 0"),
    ],
)
def test_other_local_optimizers_are_refused(
    kind: str, optimizer: str, key: str, found: str
) -> None:
    settings = [f"strategy={{kind: {kind}}}", f"training.optimizer={optimizer}"]
    if kind == "scaffold":
        settings[0] = "strategy={kind: scaffold, clients_per_round: 3}"
    with pytest.raises(ScenarioError) as caught:
        load_scenario(SMALLEST, settings)
    assert f"training.optimizer.{key}: {found}, but the rule of {kind} assumes" in str(caught.value)
    assert "expected SGD without momentum, with a rate above 0" in str(caught.value)


@pytest.mark.parametrize("kind", ["scaffold", "flanp"])
def test_sgd_with_weight_decay_and_a_schedule_is_plain(kind: str) -> None:
    settings = ["strategy={kind: flanp}"] if kind == "flanp" else []
    optimizer = "training.optimizer={kind: SGD, lr: 0.1, weight_decay: 0.01}"
    load_scenario(SMALLEST, [*settings, optimizer, "training.lr_schedule={kind: inverse_sqrt}"])


def test_rules_that_count_models_or_updates_take_any_local_optimizer() -> None:
    for kind in ("feddyn", "mifa", "quafl", "asofed"):
        strategy = f"strategy={{kind: {kind}}}"
        if kind in ("feddyn", "quafl"):
            strategy = f"strategy={{kind: {kind}, clients_per_round: 3}}"
        load_scenario(SMALLEST, [strategy, "training.optimizer={kind: Adam, lr: 0.01}"])


def test_a_rate_that_a_schedule_has_made_vanish_teaches_nothing() -> None:
    # Else the change over the rate would be 0/0.
    work = Work(4, 1e-40, vec(0, 0))
    state = {"c": vec(1, 2), "clients": 4}
    kept = Scaffold().client_state(START, state, Client(0, START, vec(3, 0, 9, 9)), work)
    assert_is(kept, 3, 0, 0, 0)
    own = vec(2, 0, 5, 1, 4)
    tracked = {"rounds": 1, "last": {0: 0}, "means": {0: vec(1, 1)}}
    assert FLANP().client_state(START, tracked, Client(0, START, own), work) is own
    assert FLANP().client_state(START, tracked, Client(0, None), work) is None
