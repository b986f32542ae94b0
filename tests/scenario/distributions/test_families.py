"""Families of distributions: scipy's own quantiles, true means, and draws that never take long."""

from __future__ import annotations

import math
import time
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from family_draws import EXAMPLES, SLOW

from afl_sim.scenario.distributions.families import FAMILIES, Frozen, Impossible, freeze, unfit

MIDDLE = np.array([2.0**-16, 2.0**-7, 0.125, 0.375, 0.5, 0.75, 1 - 2.0**-7, 1 - 2.0**-16])
"""Places of a stream at which 1 - u has all its digits, and scipy's quadratures theirs."""

CASES = [(name, shapes) for name, examples in EXAMPLES.items() for shapes in examples]
BY_CASE = [f"{name}-{shapes}" for name, shapes in CASES]


def theirs(name: str, shapes: dict[str, float]) -> Any:
    import scipy.stats

    return getattr(scipy.stats, name)(**shapes)


def made(name: str, **shapes: float) -> Frozen:
    return freeze(name, {key: float(value) for key, value in shapes.items()})


@pytest.mark.parametrize(("name", "shapes"), CASES, ids=BY_CASE)
def test_quantiles_and_means_are_those_of_scipy(name: str, shapes: dict[str, float]) -> None:
    ours, other = made(name, **shapes), theirs(name, shapes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, mean, low = other.ppf(MIDDLE), float(other.mean()), float(other.support()[0])
    np.testing.assert_allclose(ours.quantiles(MIDDLE), expected, rtol=2e-8, atol=1e-11)
    assert ours.mean == pytest.approx(mean, rel=1e-8, abs=1e-12)
    assert ours.low == pytest.approx(low, rel=1e-12)
    assert ours.continuous == hasattr(other.dist, "pdf")


@pytest.mark.parametrize("name", FAMILIES)
def test_one_draw_and_many_draws_are_the_same_bits(name: str) -> None:
    ends = [2.0**-53, 2.0**-20, 0.5, 1 - 2.0**-53]
    us = np.concatenate([ends, np.linspace(0.003, 0.997, 5 if name in SLOW else 400)])
    shapes = EXAMPLES[name][0]
    for law in (made(name, **shapes), made(name, **shapes, loc=2)):
        assert law.quantiles(us).tolist() == [law.quantile(u) for u in us.tolist()]
    if law.continuous:
        law = made(name, **shapes, scale=0.37)
        assert law.quantiles(us).tolist() == [law.quantile(u) for u in us.tolist()]


@pytest.mark.parametrize(("name", "shapes"), CASES, ids=BY_CASE)
def test_draws_rise_within_the_support_up_to_the_ends_of_a_stream(
    name: str, shapes: dict[str, float]
) -> None:
    law = made(name, **shapes)
    steps = 2.0 ** -np.arange(53.0, 1.0, -4.0 if name in SLOW else -1.0)
    drawn = law.quantiles(np.concatenate([steps, 1 - steps[::-1]]))
    assert np.isfinite(drawn).all()
    assert (np.diff(drawn) >= -1e-12 * np.abs(drawn[1:])).all()
    assert drawn[0] >= law.low


def test_every_family_of_scipy_is_here_or_told_why_not() -> None:
    import scipy.stats as stats

    names = {
        name
        for name in dir(stats)
        if isinstance(getattr(stats, name), stats.rv_continuous | stats.rv_discrete)
    }
    assert names >= set(FAMILIES)
    assert not [name for name in names - set(FAMILIES) if unfit(name) is None]
    assert unfit("gama") is None
    assert "reaches below 0" in str(unfit("norm"))
    assert "such as ksone" in str(unfit("kstwo"))


@pytest.mark.parametrize(
    ("name", "shapes", "mean"),
    [
        ("alpha", {"a": 3.0}, math.inf),
        ("betaprime", {"a": 2.0, "b": 1.0}, math.inf),
        ("bradford", {"c": 1e-5}, 0.5 - 1e-5 / 12 + 1e-10 / 24),
        ("burr", {"c": 1.0, "d": 2.0}, math.inf),
        ("burr", {"c": 0.4, "d": 2.0}, math.inf),
        ("burr12", {"c": 0.5, "d": 2.0}, math.inf),
        ("betanbinom", {"n": 5, "a": 0.99, "b": 1e-9}, math.inf),
        ("dpareto_lognorm", {"u": 0.0, "s": 1.0, "a": 1.0, "b": 2.0}, math.inf),
        ("f", {"dfn": 5.0, "dfd": 2.0}, math.inf),
        ("fisk", {"c": 0.9}, math.inf),
        ("foldcauchy", {"c": 1.0}, math.inf),
        ("genextreme", {"c": -1.0}, math.inf),
        ("genextreme", {"c": -1.3}, math.inf),
        ("gengamma", {"a": 0.5, "c": -1.2}, math.inf),
        ("gengamma", {"a": 2.0, "c": -0.5}, math.inf),
        ("gengamma", {"a": 2.5, "c": -0.5}, 4 / 3),  # gamma(1/2) / gamma(5/2)
        ("genpareto", {"c": 1.0}, math.inf),
        ("halfcauchy", {}, math.inf),
        ("invgamma", {"a": 1.0}, math.inf),
        ("invweibull", {"c": 0.9}, math.inf),
        ("invweibull", {"c": 1.0}, math.inf),
        ("invweibull", {"c": 0.3}, math.inf),
        ("invweibull", {"c": 2.0}, math.sqrt(math.pi)),
        ("kappa3", {"a": 1.0}, math.inf),
        ("kappa4", {"h": 0.5, "k": -1.0}, math.inf),
        ("kappa4", {"h": -0.5, "k": -1.2}, math.inf),
        ("levy", {}, math.inf),
        ("loglaplace", {"c": 1.0}, math.inf),
        ("lomax", {"c": 1.0}, math.inf),
        ("mielke", {"k": 3.0, "s": 1.0}, math.inf),
        ("ncf", {"dfn": 5.0, "dfd": 2.0, "nc": 1.0}, math.inf),
        ("pareto", {"b": 0.9}, math.inf),
        ("truncweibull_min", {"c": 3.44, "a": 4.673, "b": 4.701}, 4.67929589411648),  # scipy: 0
        ("powerlognorm", {"c": 1.0, "s": 6.0}, math.exp(18.0)),  # scipy errs in the second digit
        ("yulesimon", {"alpha": 1.0}, math.inf),
        ("zipf", {"a": 2.0}, math.inf),
        ("zipf", {"a": 4.0}, 1.2020569031595942 / (math.pi**4 / 90)),
    ],
)
def test_means_are_true_where_scipy_errs_or_none_exists(
    name: str, shapes: dict[str, float], mean: float
) -> None:
    if name == "betanbinom":  # of which a draw needs too long a table
        assert FAMILIES[name].mean(*shapes.values()) == mean
    else:
        assert made(name, **shapes).mean == pytest.approx(mean, rel=1e-9)


HUGE: list[tuple[str, dict[str, float]]] = [
    ("zipf", {"a": 1.5}),
    ("zipf", {"a": 1.01}),
    ("zipfian", {"a": 0.0, "n": 2**53}),
    ("zipfian", {"a": 1.0, "n": 2**53}),
    ("logser", {"p": 1 - 1e-12}),
    ("betabinom", {"n": 2**50, "a": 2, "b": 3}),
    ("betanbinom", {"n": 2**50, "a": 0.1, "b": 3}),
    ("hypergeom", {"M": 2**52, "n": 2**51, "N": 2**50}),
    ("nchypergeom_fisher", {"M": 2**52, "n": 2**51, "N": 2**50, "odds": 1e-9}),
    ("nchypergeom_wallenius", {"M": 2**52, "n": 2**51, "N": 2**50, "odds": 2}),
    ("nhypergeom", {"M": 2**52, "n": 2**51, "r": 2**50}),
    ("binom", {"n": 1e18, "p": 0.3}),
    ("binom", {"n": 1e9, "p": 0.3}),
    ("nbinom", {"n": 1e18, "p": 1e-9}),
    ("poisson", {"mu": 1e300}),
    ("yulesimon", {"alpha": 1e-3}),
    ("irwinhall", {"n": 10**6}),
    ("ksone", {"n": 10**9}),
    ("ncf", {"dfn": 2, "dfd": 3, "nc": 1e18}),
    ("ncx2", {"df": 2, "nc": 1e18}),
    ("rice", {"b": 1e9}),
    ("gausshyper", {"a": 1e300, "b": 1e300, "c": 1, "z": 1}),
    ("geninvgauss", {"p": 1e300, "b": 1e-300}),
    ("vonmises_line", {"kappa": 1e300}),
    ("genexpon", {"a": 1e-300, "b": 1e300, "c": 1e300}),
    ("exponweib", {"a": 1e-300, "c": 1e300}),
    ("invgauss", {"mu": 1e300}),
    ("rel_breitwigner", {"rho": 1e-300}),
]


@pytest.mark.parametrize(("name", "shapes"), HUGE, ids=lambda value: str(value))
def test_no_law_takes_long_or_much_memory(name: str, shapes: dict[str, float]) -> None:
    made("nchypergeom_wallenius", M=4, n=2, N=2, odds=1.0)  # whatever there is to import
    tracemalloc.start()
    begin = time.process_time()
    try:
        law = made(name, **shapes)
        drawn = [law.quantile(u) for u in (2.0**-53, 0.1, 0.9, 1 - 2.0**-53)]
        assert all(map(math.isfinite, drawn))
    except Impossible:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 2**20
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("name", "shapes", "parameter", "said"),
    [
        ("beta", {"a": -1, "b": 2}, "a", "got -1; expected more than 0"),
        ("binom", {"n": 2.5, "p": 0.5}, "n", "expected a whole number from 0 to 1e+09"),
        ("binom", {"n": 2, "p": 1.5}, "p", "expected a number from 0 to 1"),
        ("gengamma", {"a": 1, "c": 0}, "c", "expected a number other than 0"),
        ("hypergeom", {"M": 5, "n": 6, "N": 1}, "n", "got 6; expected at most M"),
        ("loguniform", {"a": 2, "b": 1}, "b", "expected more than a"),
        ("trapezoid", {"c": 0.5, "d": 0.2}, "d", "expected c or more"),
        ("wrapcauchy", {"c": 1}, "c", "expected a number between 0 and 1"),
        ("zipf", {"a": 1}, "a", "got 1; expected more than 1"),
        ("logser", {"p": 1 - 1e-12}, None, "spreads over more than 65,536 numbers"),
        ("invgamma", {"a": 1e-9}, None, "does not give finite numbers"),
    ],
)
def test_wrong_shapes_are_named(
    name: str, shapes: dict[str, float], parameter: str | None, said: str
) -> None:
    with pytest.raises(Impossible) as caught:
        made(name, **shapes)
    assert said in str(caught.value)
    assert caught.value.parameter == parameter
