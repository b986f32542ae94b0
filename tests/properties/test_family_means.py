"""Means near the border beyond which none exists, against what draws themselves say.

A law whose upper tail falls like ``x**(-1 / g)`` has draws that grow like ``(1 - u)**-g``, and a
mean where g < 1. Here g is measured far out in the tail, and the mean is an integral over draws,
with the measured power for what is beyond them.
"""

from __future__ import annotations

import math
from itertools import pairwise

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from afl_sim.scenario.distributions.families import Frozen, freeze

BORDER = st.floats(0.4, 2.5)
"""Factors on the shape at which the mean ceases to exist."""
SHAPE = st.floats(0.5, 3.0)

NEAR = {
    "betaprime": st.fixed_dictionaries({"a": SHAPE, "b": BORDER}),
    "burr": st.fixed_dictionaries({"c": BORDER, "d": SHAPE}),
    "burr12": st.builds(lambda c, r: {"c": c, "d": r / c}, SHAPE, BORDER),
    "dpareto_lognorm": st.fixed_dictionaries(
        {"u": st.just(0.0), "s": st.floats(0.1, 1.0), "a": BORDER, "b": SHAPE}
    ),
    "f": st.builds(lambda d, r: {"dfn": d, "dfd": 2 * r}, SHAPE, BORDER),
    "fisk": st.fixed_dictionaries({"c": BORDER}),
    "genextreme": BORDER.map(lambda r: {"c": -1 / r}),
    "gengamma": st.builds(lambda a, r: {"a": a, "c": -r / a}, SHAPE, BORDER),
    "genpareto": BORDER.map(lambda r: {"c": 1 / r}),
    "invgamma": st.fixed_dictionaries({"a": BORDER}),
    "invweibull": st.fixed_dictionaries({"c": BORDER}),
    "kappa3": st.fixed_dictionaries({"a": BORDER}),
    "kappa4": st.builds(lambda h, r: {"h": h, "k": -1 / r}, st.floats(-2, 2), BORDER),
    "loglaplace": st.fixed_dictionaries({"c": BORDER}),
    "lomax": st.fixed_dictionaries({"c": BORDER}),
    "mielke": st.fixed_dictionaries({"k": SHAPE, "s": BORDER}),
    "ncf": st.builds(lambda d, r, nc: {"dfn": d, "dfd": 2 * r, "nc": nc}, SHAPE, BORDER, SHAPE),
    "pareto": st.fixed_dictionaries({"b": BORDER}),
}

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(8)
_FAR = 40 * math.log(2)
_EDGES = [0.0, *(2.0**-k for k in range(24, 0, -2)), *np.linspace(1, _FAR, 16).tolist()]


def measured(law: Frozen) -> tuple[float, float, float]:
    """The power g, the mean, and what part of it comes from beyond the draws looked at."""
    total = 0.0
    for a, b in pairwise(_EDGES):
        ts = ((a + b) / 2 + (b - a) / 2 * _NODES).tolist()
        terms = [law.quantile(max(-math.expm1(-t), 2.0**-53)) * math.exp(-t) for t in ts]
        total += (b - a) / 2 * float(np.dot(_WEIGHTS, terms))
    first, last = law.quantile(1 - 2.0**-40), law.quantile(1 - 2.0**-50)
    g = math.log2(last / first) / 10
    tail = first * 2.0**-40 / (1 - g) if g < 1 else math.inf
    return g, total + tail, tail


@pytest.mark.parametrize("name", NEAR)
def test_a_mean_is_infinite_just_where_the_tail_is_too_heavy(name: str) -> None:
    @settings(max_examples=8 if name in ("dpareto_lognorm", "ncf") else 30, deadline=None)
    @given(shapes=NEAR[name])
    def check(shapes: dict[str, float]) -> None:
        law = freeze(name, shapes)
        g, mean, tail = measured(law)
        if abs(g - 1) > 0.03:
            assert math.isinf(law.mean) == (g > 1)
        if math.isfinite(law.mean) and g < 0.97:
            assert law.mean == pytest.approx(mean, rel=2e-4, abs=0.05 * tail)

    check()
