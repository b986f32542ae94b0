"""The base classes that strategies of one type share."""

from __future__ import annotations

from typing import Any

import pytest

from afl_sim.strategies import (
    ConcurrentStrategy,
    GradientStrategy,
    RoundStrategy,
    Strategy,
    strategies,
)


def test_concurrency_is_a_number_or_everybody_and_at_most_the_population() -> None:
    assert ConcurrentStrategy(concurrency="all").in_parallel(7) == 7
    assert ConcurrentStrategy(concurrency=3).in_parallel(7) == 3
    assert not list(ConcurrentStrategy(concurrency=7).check(7))
    ((path, message),) = ConcurrentStrategy(concurrency=8).check(7)
    assert path == ("concurrency",)
    assert "at most 7" in message


def test_clients_per_round_is_a_number_or_a_rounded_share() -> None:
    assert RoundStrategy(clients_per_round=3).cohort_size(7) == 3
    assert RoundStrategy(clients_per_round=0.5).cohort_size(7) == 4
    assert RoundStrategy(clients_per_round=1.0).cohort_size(7) == 7
    assert [path for path, _ in RoundStrategy(clients_per_round=8).check(7)] == [
        ("clients_per_round",)
    ]


@pytest.mark.parametrize("base", [ConcurrentStrategy, GradientStrategy, RoundStrategy])
def test_a_base_makes_no_task_depend_on_its_client(base: type[Strategy]) -> None:
    assert not base.uses_own()


def test_every_built_in_gradient_method_is_a_gradient_strategy() -> None:
    for kind in strategies().values():
        assert kind.gradient == issubclass(kind, GradientStrategy)


def test_two_bases_go_together() -> None:
    class Both(GradientStrategy, ConcurrentStrategy):
        def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
            return params, state

    assert Both.gradient
    assert [path for path, _ in Both(concurrency=8).check(7)] == [("concurrency",)]
