"""TiFL: tiers drawn for each round, fixed or by how well they do."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from vectors import assert_is, step, trained, vec
from world_runs import MadeUpLosses, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario, read_study, simulate
from afl_sim.strategies import TiFL
from afl_sim.strategies.methods.tifl import by_tier, changed_probabilities, drawn, usable


def test_a_round_is_averaged_by_samples() -> None:
    # (1 (4, 0) + 3 (0, 8)) / 4 = (1, 6)
    assert_is(step(TiFL(), vec(9, 9), [trained(4, 0, n=1), trained(0, 8, n=3)], tier=0), 1, 6)


def test_the_least_accurate_tier_becomes_the_most_probable() -> None:
    # Ranks from the least accurate: 2, 0, 1; D = 3: (n - i) / D = 2/3, 1/3, 0.
    assert changed_probabilities([0.8, 0.9, 0.5], [math.inf] * 3) == pytest.approx(
        [1 / 3, 0, 2 / 3]
    )
    # Four: 3/6, 2/6, 1/6, 0.
    assert changed_probabilities([0.1, 0.2, 0.3, 0.4], [1] * 4) == pytest.approx(
        [3 / 6, 2 / 6, 1 / 6, 0]
    )


def test_the_most_accurate_tier_can_keep_a_probability() -> None:
    # As re-implementations have it: 3, 2, 1 over 6.
    found = changed_probabilities([0.8, 0.9, 0.5], [math.inf] * 3, "from_one")
    assert found == pytest.approx([2 / 6, 1 / 6, 3 / 6])
    assert changed_probabilities([0.1, 0.2], [0, 5], "from_one") == [0, 1]


def test_a_tiers_accuracy_is_the_mean_of_its_clients_that_have_one() -> None:
    accuracies = [0.5, 0.7, math.nan, 0.9, math.nan]
    assert by_tier(accuracies, [[0, 1], [2, 3], [4]]) == [pytest.approx(0.6), 0.9, -math.inf]


def tiers_drawn(accuracies: list[list[float]], **settings: object) -> list[int]:
    """The tiers of rounds of three clients, one to a tier, by the accuracies at each look."""
    looks = iter(accuracies)

    class Known(MadeUpLosses):
        def client_accuracies(self, time_us: int, version: int) -> list[float]:
            return next(looks)

    strategy = {
        "kind": "tifl",
        "tiers": 3,
        "clients_per_round": 1,
        "policy": "adaptive",
        "interval": 30,
        "accuracy": "test",
        **settings,
    }
    outcome = run(
        scenario(
            [1, 2, 3],
            strategy=strategy,
            data={"partition": "iid", "client_test": 0.2},
            evaluation={"per_client": True},
            stop={"versions": 30 * (len(accuracies) - 1) + 30},
        ),
        learner=Known(),
    )
    return [json.loads(e.context or "")["tier"] for e in outcome.of("aggregated")]


def test_the_tiers_test_accuracies_decide_who_is_drawn() -> None:
    # Nothing has risen at 30 rounds: the probabilities are 0, 1/3 and 2/3 for .9, .6 and .5.
    tiers = tiers_drawn([[0.9, 0.6, 0.5]] * 2)
    assert set(tiers[:30]) == {0, 1, 2}
    assert set(tiers[30:]) == {1, 2}
    # All have risen: nothing changes, unless a look always changes something.
    risen = [[0.1, 0.1, 0.1], [0.9, 0.6, 0.5]]
    assert set(tiers_drawn(risen)[30:]) == {0, 1, 2}
    assert set(tiers_drawn(risen, changes="always")[30:]) == {1, 2}
    # From one, the most accurate tier keeps 1/6.
    assert set(tiers_drawn(risen, changes="always", ranks="from_one")[30:]) == {0, 1, 2}


def test_accuracies_of_clients_that_are_not_tested_are_refused_before_a_run() -> None:
    adaptive = "{kind: tifl, tiers: 2, clients_per_round: 2, policy: adaptive, accuracy: test}"
    tested = ["data.client_test=0.2", "evaluation.per_client=true"]
    with pytest.raises(ScenarioError, match=r"per_client: got false, but tifl reads the accuracy"):
        load_scenario(SMALL, [f"strategy={adaptive}", "data.client_test=0.2"])
    assert load_scenario(SMALL, [f"strategy={adaptive}", *tested])


def test_adaptive_tifl_reads_accuracies_of_a_run_that_trains() -> None:
    adaptive = (
        "{kind: tifl, tiers: 2, clients_per_round: 2, policy: adaptive, accuracy: test, "
        "interval: 1, changes: always}"
    )
    settings = [
        f"strategy={adaptive}",
        "clients.compute={seconds_per_task: {values: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}",
        "data.client_test=0.2",
        "evaluation.per_client=true",
        "evaluation.every_versions=1",
        "stop={versions: 6}",
    ]
    run = simulate(load_scenario(SMALL, settings))
    rows = run.events[run.events.kind == "aggregated"].drop_duplicates("version")
    tiers = [json.loads(context)["tier"] for context in rows.context]
    # Of two tiers the less accurate one has probability 1; the first round's tier is drawn.
    accuracies = [list(each) for each in run.metrics["client_accuracy"]]
    means = [by_tier(each, [range(5), range(5, 10)]) for each in accuracies]
    assert tiers[1:] == [int(slow < fast) for fast, slow in means[1:6]]


def test_a_tier_without_credits_is_out() -> None:
    assert changed_probabilities([0.1, 0.2, 0.3], [0, 1, 1]) == pytest.approx([0, 1, 0])
    assert changed_probabilities([0.1, 0.2, 0.3], [0, 0, 1]) == pytest.approx([0, 0, 1])


def test_tiers_of_probability_0_have_their_turn_before_credits_are_renewed() -> None:
    assert usable([1, 0], [0, 3], [True, True]) == [0, 1]
    assert usable([1, 3], [2, 3], [True, True]) == [1, 3]
    assert usable([1, 3], [2, 3], [True, False]) == [1, 0]
    assert usable([1, 3], [2, 3], [False, False]) == [1, 3]


def test_a_tier_that_has_left_for_good_is_drawn_no_more() -> None:
    outcome = run(
        scenario(
            [1, 2, 3, 4],
            strategy={"kind": "tifl", "tiers": 2, "clients_per_round": 1},
            fleet={"availability": {"kind": "always", "leaves": {"values": [50, 50, 1e6, 1e6]}}},
            stop={"versions": 60},
        )
    )
    tiers = [json.loads(e.context or "")["tier"] for e in outcome.of("aggregated")]
    assert set(tiers[:15]) == {0, 1}
    assert set(tiers[-30:]) == {1}


@pytest.mark.parametrize(("u", "tier"), [(0.01, 0), (0.24, 0), (0.26, 2), (0.99, 2)])
def test_a_draw_falls_on_a_tier_as_its_weight_is_wide(u: float, tier: int) -> None:
    assert drawn([1, 0, 3], u) == tier


def test_tiers_are_drawn_with_the_probabilities_given() -> None:
    outcome = run(
        scenario(
            [1, 2, 3, 4, 50, 60],
            strategy={
                "kind": "tifl",
                "tiers": 3,
                "clients_per_round": 2,
                "probabilities": [0.5, 0.5, 0],
            },
            stop={"versions": 400},
        )
    )
    tiers = Counter(
        (json.loads(e.context or "")["tier"], e.client) for e in outcome.of("aggregated")
    )
    assert set(tiers) == {(0, 0), (0, 1), (1, 2), (1, 3)}
    # Binomial(400, 1/2): 200 +- 4 standard deviations of 10 (a false alarm in 15,000).
    assert abs(tiers[0, 0] - 200) <= 40


def test_a_round_lasts_as_long_as_its_tiers_slowest_client() -> None:
    outcome = run(
        scenario(
            [1, 2, 5, 7],
            strategy={"kind": "tifl", "tiers": 2, "clients_per_round": 2},
            stop={"versions": 6},
        )
    )
    ends: dict[int, int] = {}
    for e in outcome.of("aggregated"):
        ends[e.version] = e.time_us // 1_000_000
        assert e.staleness == 0
    lengths = [b - a for a, b in zip([0, *ends.values()], ends.values(), strict=False)]
    assert set(lengths) == {2, 7}


SMALL = "scenarios/smallest.yaml"


def test_adaptive_tifl_reads_losses_and_so_cannot_be_timed_alone() -> None:
    assert TiFL(policy="adaptive").reads_results
    assert not TiFL().reads_results
    chosen = load_scenario(
        SMALL, ["strategy={kind: tifl, tiers: 2, clients_per_round: 2, policy: adaptive}"]
    )
    with pytest.raises(ScenarioError, match="reads training results"):
        simulate(chosen, timing_only=True)


def test_adaptive_tifl_spreads_its_rounds_by_credits() -> None:
    chosen = load_scenario(
        SMALL,
        [
            "strategy={kind: tifl, tiers: 2, clients_per_round: 2, policy: adaptive, "
            "interval: 2, credits: 3}",
            "stop={versions: 6}",
        ],
    )
    run = simulate(chosen)
    rows = run.events[run.events.kind == "aggregated"].drop_duplicates("version")
    tiers = Counter(json.loads(context)["tier"] for context in rows.context)
    assert tiers == {0: 3, 1: 3}


def test_credits_that_run_out_at_a_look_are_renewed() -> None:
    settings = "tiers: 2, clients_per_round: 2, policy: adaptive, interval: 2, credits: 1"
    chosen = load_scenario(SMALL, [f"strategy={{kind: tifl, {settings}}}", "stop={versions: 6}"])
    run = simulate(chosen)
    rows = run.events[run.events.kind == "aggregated"].drop_duplicates("version")
    tiers = [json.loads(context)["tier"] for context in rows.context]
    assert [sorted(tiers[i : i + 2]) for i in (0, 2, 4)] == [[0, 1]] * 3


def test_check_finds_tiers_and_probabilities_that_do_not_fit() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in TiFL(**settings).check(10)]

    assert complaints(tiers=11, clients_per_round=1) == ["tiers"]
    assert complaints(tiers=5, clients_per_round=3) == ["clients_per_round"]
    assert complaints(tiers=2, clients_per_round=2, probabilities=[1.0]) == ["probabilities"]
    assert complaints(tiers=2, clients_per_round=2, probabilities=[0.0, 0.0]) == ["probabilities"]
    assert complaints(tiers=2, clients_per_round=2, probabilities=[0.9, 0.1]) == []
    assert complaints(tiers=2, clients_per_round=2, credits=1) == ["credits"]
    assert complaints(tiers=2, clients_per_round=2, credits=1, policy="adaptive") == []
    assert complaints(tiers=2, clients_per_round=2, accuracy="test") == ["accuracy"]
    assert complaints(tiers=2, clients_per_round=2, changes="always") == ["changes"]
    assert complaints(tiers=2, clients_per_round=2, ranks="from_one") == ["ranks"]


@pytest.mark.parametrize(
    ("strategy", "key", "found"),
    [
        ("{kind: flanp, threshold: 0.1}", "threshold", "got 0.1, with which flanp reads"),
        (
            "{kind: tifl, tiers: 2, clients_per_round: 2, policy: adaptive}",
            "policy",
            "got 'adaptive', with which tifl reads",
        ),
    ],
)
def test_what_reads_results_is_refused_with_its_line_where_nothing_is_trained(
    tmp_path: Path, strategy: str, key: str, found: str
) -> None:
    path = tmp_path / "timed.yaml"
    path.write_text(f"clients: {{count: 6}}\nstrategy: {strategy}\nstop: {{updates: 9}}\n")
    assert read_study(path).cases
    with pytest.raises(ScenarioError, match=rf"timed\.yaml:2: strategy\.{key}: {found}"):
        read_study(path, timing_only=True)
    plain = "strategy={kind: flanp}"
    assert read_study(path, [plain], timing_only=True).cases
