"""Clients that think and then send over one link of the server: the machine-repair model.

n clients, each thinking for 1/l on average before it uses a link that serves mu transfers a second:
p_k = p_0 n!/(n-k)! (l/mu)^k are the probabilities that k are there, and mu (1 - p_0) updates a
second get through. For exponential transfers the discipline does not matter; where the link is
shared, their law does not matter either, while first come, first served depends on it.
"""

from __future__ import annotations

from math import factorial
from typing import Any

import pytest
from comparisons import Comparisons, interval
from timing import EXPONENTIAL, LAWS, Updates, replicated, updates_of
from world_runs import MODEL_BYTES

CLIENTS, THINKING, TRANSFER = 4, 10.0, 2.0
ALL = {"kind": "fedasync", "concurrency": "all"}


def throughput(n: int, rate: float, mu: float) -> float:
    """Updates a second, mu (1 - p_0); each of n clients begins ``rate`` a second when it thinks."""
    return mu * (
        1 - 1 / sum(factorial(n) / factorial(n - k) * (rate / mu) ** k for k in range(n + 1))
    )


def seconds_each(kind: str, law: str) -> list[float]:
    link = {"kind": kind, "bandwidth": MODEL_BYTES / TRANSFER, **LAWS[law]}
    compute = {"seconds_per_task": THINKING, **EXPONENTIAL}

    def one(seed: int) -> Updates:
        server: dict[str, Any] = {"upload": link}
        return updates_of(CLIENTS, ALL, compute, updates=2700, seed=seed, server=server)

    return [run.seconds_each for run in replicated(one, warm_up=200)]


def test_the_formula_by_hand() -> None:
    # One client alternates: 1 / (1/l + 1/mu). Ten: the published figure.
    assert throughput(1, 0.1, 0.5) == pytest.approx(1 / 12)
    assert throughput(10, 0.1, 0.5) == pytest.approx(0.49081, abs=5e-6)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        ("fifo", "exponential"),
        ("shared", "exponential"),
        ("shared", "constant"),
        ("shared", "lognormal"),
    ],
)
def test_a_link_lets_through_what_machine_repair_says(
    kind: str, law: str, compare: Comparisons
) -> None:
    exact = 1 / throughput(CLIENTS, 1 / THINKING, 1 / TRANSFER)
    without_contention = (THINKING + TRANSFER) / CLIENTS
    compare.mean(seconds_each(kind, law), exact, mistakes=[without_contention, TRANSFER])


def test_first_come_first_served_is_sensitive_to_the_law_of_transfers() -> None:
    # Constant transfers wait less for one another: the interval that the others meet is missed.
    exact = 1 / throughput(CLIENTS, 1 / THINKING, 1 / TRANSFER)
    found = interval(seconds_each("fifo", "constant"))
    assert exact not in found
    assert found.mean < exact
