"""Checks that every strategy and every rule of your own must pass.

    import pytest
    from afl_sim.testing import CHECKS, Case
    from my_package import MyStrategy

    CASE = Case(MyStrategy(concurrency=4), lone={"concurrency": 1})

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_strategy(check):
        CHECKS[check](CASE)

Each check runs the strategy's schedule and its rule on a toy problem and raises `AssertionError`
where something is amiss. `check_strategy` runs them all.

Rules are client selections, staleness weights, controllers, attacks, compressors, metrics and
losses. `RULE_CHECKS` has the checks for them, and `check_rule` runs them all. `rule_of` makes a
rule as a scenario does, so that functions can be checked too:

    check_rule(rule_of("selection", "my_package:fastest", slack=2.0))

`check_figure` checks a figure. `judge` runs an aggregation rule from elsewhere beside a strategy.
The rule gets each update as a `Contribution`; the `Verdict` has the `Parting`, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

from afl_sim.errors import AflSimError
from afl_sim.scenario.own_rules import Rule
from afl_sim.testing.checks import CHECKS
from afl_sim.testing.figures import check_figure
from afl_sim.testing.referee import judge
from afl_sim.testing.rules import RULE_CHECKS, rule_of
from afl_sim.testing.toy import Case
from afl_sim.testing.verdict import Contribution, Parting, Verdict

__all__ = [
    "CHECKS",
    "RULE_CHECKS",
    "Case",
    "Contribution",
    "Parting",
    "Verdict",
    "check_figure",
    "check_rule",
    "check_strategy",
    "judge",
    "rule_of",
]

T = TypeVar("T")


def check_strategy(case: Case) -> None:
    """Run every check.

    Raises:
        AssertionError: naming each check that failed, and why.
    """
    _run_all(CHECKS, case, f"strategy {case.strategy.kind}")


def check_rule(rule: Rule) -> None:
    """Run every check of rules.

    Args:
        rule: a client selection, a staleness weight, a controller, an attack or a compressor.

    Raises:
        AssertionError: naming each check that failed, and why.
    """
    _run_all(RULE_CHECKS, rule, rule.kind)


def _run_all(checks: Mapping[str, Callable[[T], None]], subject: T, name: str) -> None:
    failed = []
    for title, check in checks.items():
        try:
            check(subject)
        except (AssertionError, AflSimError) as error:
            failed.append(f"{title}: {error}")
    if failed:
        raise AssertionError(f"{name}:\n" + "\n".join(failed))
