"""Controllers of the server: their formulas, worked out by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import own_rules
import pytest
from own_rules import Follows

from afl_sim import Decision, Observation, Scenario
from afl_sim.errors import OwnRuleError, ScenarioError
from afl_sim.scenario.sections.controllers import (
    CONTROLLERS,
    StalenessTarget,
    Utilisation,
    VersionInterval,
    decided_by,
)


def observed(staleness: Mapping[int, int] | None = None, **known: Any) -> Observation:
    return Observation(**{"clients": 100, "staleness": staleness or {}, **known})


@pytest.mark.parametrize(
    ("staleness", "x", "expected"),
    [
        ({21: 1}, 50, 38),  # r = 11/22: 50 (1 - 1/4) = 37.5, to even
        ({12: 1}, 50, 46),  # r = 11/13: 50 (1 - 1/13) = 46.15
        ({10: 1}, 50, 50),
        ({4: 1}, 50, 75),  # r = 11/5, but at most 2: 50 (1 + 1/2)
        ({0: 1}, 90, 100),  # no more than there are clients
        ({0: 95, 30: 5}, 50, 75),  # the nearest rank of 95 % is still 0
        ({0: 94, 30: 6}, 50, 38),  # r = 11/31, but at least 1/2
        ({11: 1}, 3, 2),  # r = 11/12: 3 (1 - 1/24) rounds to 3, so one less
    ],
)
def test_the_concurrency_follows_a_target_of_the_staleness(
    staleness: dict[int, int], x: int, expected: int
) -> None:
    rule = StalenessTarget(kind="staleness_target", p95=10)
    assert rule.decide(observed(staleness, concurrency=x)) == Decision(concurrency=expected)


def test_the_buffer_grows_where_updates_are_too_stale() -> None:
    rule = StalenessTarget(kind="staleness_target", mean=1, adjust="buffer_size", most=6)
    # The mean is 2, so r = 3/2.
    assert rule.decide(observed({0: 2, 3: 4}, buffer_size=4)) == Decision(buffer_size=5)
    assert rule.decide(observed({9: 1}, buffer_size=6)) == Decision(buffer_size=6)
    assert rule.decide(observed({0: 1}, buffer_size=4)) == Decision(buffer_size=3)  # r = 1/2


def test_the_whole_correction_is_made_with_a_gain_of_1() -> None:
    rule = StalenessTarget(kind="staleness_target", max=3, gain=1)
    assert rule.decide(observed({0: 9, 7: 1}, concurrency=10)) == Decision(concurrency=5)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({"aggregation": 0.1, "upload": 1.0}, 9),  # r = 0.8: 10 (1 - 0.1)
        ({"aggregation": 1.0, "upload": 0.4}, 9),
        ({"aggregation": 0.0}, 15),
    ],
)
def test_the_concurrency_follows_a_target_of_the_utilisation(
    shares: dict[str, float], expected: int
) -> None:
    rule = Utilisation(kind="utilisation", target=0.8)
    found = rule.decide(observed(concurrency=10, utilisation=shares))
    assert found == Decision(concurrency=expected)


def test_one_link_can_be_the_target() -> None:
    rule = Utilisation(kind="utilisation", target=0.5, of="upload", gain=1)
    shares = {"aggregation": 1.0, "upload": 0.4}
    found = rule.decide(observed(concurrency=8, utilisation=shares))
    assert found == Decision(concurrency=10)


def test_the_buffer_follows_a_target_of_the_time_between_versions() -> None:
    rule = VersionInterval(kind="version_interval", seconds=30)
    # 20 s a version, so r = 3/2: 10 (1 + 1/4) = 12.5, to even.
    found = rule.decide(observed(buffer_size=10, seconds=100.0, versions=5))
    assert found == Decision(buffer_size=12)
    at_once = rule.decide(observed(buffer_size=10, seconds=0.0))
    assert at_once == Decision(buffer_size=15)


def test_a_decision_is_completed_with_what_was_in_force() -> None:
    rule = CONTROLLERS.rule_of(own_rules.to_and_fro, high=5)
    assert decided_by(rule, observed(concurrency=2, buffer_size=7)) == Decision(5, 7)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (own_rules.no_decision, "decide returned a int; expected an afl_sim.Decision"),
        (own_rules.half_a_client, "concurrency=0.5; expected a whole number from 1 to 100"),
        (own_rules.a_crowd, "concurrency=1000000; expected a whole number from 1 to 100"),
        (own_rules.remembers_a_set, "memory that is not plain"),
    ],
)
def test_a_decision_that_cannot_be_is_refused(rule: Any, message: str) -> None:
    with pytest.raises((OwnRuleError, ScenarioError), match=message):
        decided_by(CONTROLLERS.rule_of(rule), observed(concurrency=2))


def test_a_setting_that_the_strategy_lacks_is_refused() -> None:
    with pytest.raises(OwnRuleError, match="buffer_size, which the strategy does not have"):
        decided_by(Follows(buffer_size=(3,)), observed(concurrency=2))


def built(adaptive: Any, strategy: Any = "fedbuff", **server: Any) -> Scenario:
    block = {"kind": strategy} if isinstance(strategy, str) else strategy
    return Scenario(
        clients={"count": 30},
        strategy=block,
        server={"adaptive": adaptive, **server},
        stop={"updates": 10},
    )


TARGET = {"kind": "staleness_target", "p95": 10}


@pytest.mark.parametrize(
    ("adaptive", "strategy", "message"),
    [
        ({"kind": "staleness_target"}, "fedbuff", "has no target; expected one of mean, p50, p95"),
        ({**TARGET, "mean": 2}, "fedbuff", "has mean and p95; expected one of"),
        ({**TARGET, "least": 9, "most": 5}, "fedbuff", "least is 9, more than most"),
        ({**TARGET, "p95": -1}, "fedbuff", "p95"),
        ({"kind": "staleness"}, "fedbuff", "unknown kind 'staleness'"),
        (TARGET, "fedavg", "strategy fedavg has no setting that can change"),
        (
            {**TARGET, "adjust": "buffer_size"},
            "fedasync",
            "server.adaptive.adjust: changes buffer_size, which strategy fedasync has not",
        ),
        (
            {"kind": "version_interval", "seconds": 3},
            "fedasync",
            "server.adaptive.kind: changes buffer_size",
        ),
        ({**TARGET, "most": 31}, "fedbuff", "most: 31 is more than there are clients"),
        ({**TARGET, "most": 10}, "fedbuff", "most: the run begins with strategy.concurrency 20"),
        ({**TARGET, "least": 21}, "fedbuff", "least: the run begins with strategy.concurrency 20"),
        (TARGET, "port", "least: with concurrency 1 the strategy cannot work: buffer_size: 10"),
        ({"kind": "version_interval"}, "fedbuff", r"seconds: missing; .*\(T\*: target of the time"),
        ({"kind": "utilisation"}, "fedbuff", "adaptive.of: nothing is ever busy"),
        (
            {"kind": "utilisation", "of": "upload"},
            "fedbuff",
            "the server's upload is never busy; expected server.upload of kind fifo or shared",
        ),
    ],
)
def test_a_controller_that_cannot_work_is_refused(
    adaptive: Any, strategy: str, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        built(adaptive, strategy)
    assert str(caught.value).count("\n") == 0


def test_an_upload_link_can_be_kept_busy() -> None:
    upload = {"kind": "fifo", "bandwidth": 1000}
    assert built({"kind": "utilisation", "of": "upload"}, upload=upload)


def test_port_takes_a_range_in_which_its_buffer_can_be_filled() -> None:
    assert built({**TARGET, "least": 10}, "port")


def test_a_scenario_without_a_controller_is_written_as_before() -> None:
    assert "adaptive" not in built(None).model_dump()["server"]
