"""Checks that every strategy must pass, built-in or your own.

    import pytest
    from afl_sim.testing import CHECKS, Case
    from my_package import MyStrategy

    CASE = Case(MyStrategy(concurrency=4), lone={"concurrency": 1})

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_strategy(check):
        CHECKS[check](CASE)

Each check runs the strategy's schedule and its rule on a toy problem and raises `AssertionError`
where something is amiss. `check_strategy` runs them all.
"""

from __future__ import annotations

from afl_sim.errors import AflSimError
from afl_sim.testing.checks import CHECKS
from afl_sim.testing.toy import Case

__all__ = ["CHECKS", "Case", "check_strategy"]


def check_strategy(case: Case) -> None:
    """Run every check.

    Raises:
        AssertionError: naming each check that failed, and why.
    """
    failed = []
    for name, check in CHECKS.items():
        try:
            check(case)
        except (AssertionError, AflSimError) as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise AssertionError(f"strategy {case.strategy.kind}:\n" + "\n".join(failed))
