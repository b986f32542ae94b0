"""Draws of every family, and of whatever else decides a schedule, as digests.

The golden digests are those of x86-64 processors with FMA. They change when the bits of a draw do.
Where that is meant, write them anew, and say in the commit why they changed:

    python tests/support/family_draws.py --write
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from places import TESTS

from afl_sim.scenario.distributions.families import freeze
from afl_sim.streams import Streams

FILE = TESTS / "golden" / "draws.json"

EXAMPLES: dict[str, tuple[dict[str, float], ...]] = {
    "alpha": ({"a": 3.57},),
    "anglit": ({},),
    "arcsine": ({},),
    "argus": ({"chi": 1.0}, {"chi": 6.0}),
    "bernoulli": ({"p": 0.3},),
    "beta": ({"a": 2.31, "b": 0.63}, {"a": 30.0, "b": 4.0}),
    "betabinom": ({"n": 50, "a": 2.3, "b": 0.63},),
    "betanbinom": ({"n": 5, "a": 9.3, "b": 1.0},),
    "betaprime": ({"a": 5.0, "b": 6.0},),
    "binom": ({"n": 500, "p": 0.4},),
    "boltzmann": ({"lambda_": 0.2, "N": 19},),
    "bradford": ({"c": 0.3}, {"c": 0.01}),
    "burr": ({"c": 10.5, "d": 4.3},),
    "burr12": ({"c": 10.0, "d": 4.0},),
    "chi": ({"df": 78.0},),
    "chi2": ({"df": 5.5},),
    "cosine": ({},),
    "dpareto_lognorm": ({"u": 3.0, "s": 1.2, "a": 1.5, "b": 2.0},),
    "erlang": ({"a": 4.0},),
    "expon": ({},),
    "exponpow": ({"b": 2.7},),
    "exponweib": ({"a": 2.89, "c": 1.95},),
    "f": ({"dfn": 29.0, "dfd": 18.0},),
    "fatiguelife": ({"c": 0.7},),
    "fisk": ({"c": 3.0},),
    "foldcauchy": ({"c": 4.72},),
    "foldnorm": ({"c": 1.95},),
    "gamma": ({"a": 1.99}, {"a": 20.0}),
    "gausshyper": ({"a": 13.8, "b": 3.12, "c": 2.51, "z": 5.18},),
    "genexpon": ({"a": 9.1, "b": 16.2, "c": 3.28},),
    "genextreme": ({"c": -0.1},),
    "gengamma": ({"a": 4.4, "c": 3.1}, {"a": 4.4, "c": -3.1}),
    "genhalflogistic": ({"c": 0.77},),
    "geninvgauss": ({"p": 2.3, "b": 1.5}, {"p": -0.5, "b": 0.1}),
    "genpareto": ({"c": 0.1}, {"c": -0.3}, {"c": 0.0}),
    "geom": ({"p": 0.1},),
    "gibrat": ({},),
    "gompertz": ({"c": 0.947},),
    "halfcauchy": ({},),
    "halfgennorm": ({"beta": 0.675},),
    "halflogistic": ({},),
    "halfnorm": ({},),
    "hypergeom": ({"M": 210, "n": 118, "N": 91},),
    "invgamma": ({"a": 4.07},),
    "invgauss": ({"mu": 0.145}, {"mu": 3.0}),
    "invweibull": ({"c": 10.58},),
    "irwinhall": ({"n": 10},),
    "johnsonsb": ({"a": 4.32, "b": 3.18},),
    "kappa3": ({"a": 1.5},),
    "kappa4": ({"h": 0.5, "k": -0.3}, {"h": 0.0, "k": -0.2}, {"h": -0.5, "k": -0.3}),
    "ksone": ({"n": 20},),
    "kstwobign": ({},),
    "levy": ({},),
    "loglaplace": ({"c": 3.25},),
    "lognorm": ({"s": 0.954},),
    "logser": ({"p": 0.6},),
    "loguniform": ({"a": 0.01, "b": 1.25},),
    "lomax": ({"c": 1.88},),
    "maxwell": ({},),
    "mielke": ({"k": 10.4, "s": 4.6},),
    "nakagami": ({"nu": 4.97},),
    "nbinom": ({"n": 5, "p": 0.05},),
    "ncf": ({"dfn": 27.0, "dfd": 27.0, "nc": 0.416},),
    "nchypergeom_fisher": ({"M": 140, "n": 80, "N": 60, "odds": 0.5},),
    "nchypergeom_wallenius": ({"M": 140, "n": 80, "N": 60, "odds": 0.5},),
    "ncx2": ({"df": 21.0, "nc": 1.06},),
    "nhypergeom": ({"M": 200, "n": 70, "r": 10},),
    "pareto": ({"b": 2.62},),
    "planck": ({"lambda_": 0.051},),
    "poisson": ({"mu": 60.0},),
    "powerlaw": ({"a": 1.66},),
    "powerlognorm": ({"c": 2.14, "s": 0.446},),
    "randint": ({"low": 7, "high": 31},),
    "rayleigh": ({},),
    "rdist": ({"c": 1.6},),
    "recipinvgauss": ({"mu": 0.63},),
    "reciprocal": ({"a": 0.01, "b": 1.25},),
    "rel_breitwigner": ({"rho": 36.5},),
    "rice": ({"b": 0.775},),
    "semicircular": ({},),
    "trapezoid": ({"c": 0.2, "d": 0.8},),
    "triang": ({"c": 0.158},),
    "truncexpon": ({"b": 4.69},),
    "truncnorm": ({"a": -1.1, "b": 2.73}, {"a": 0.1, "b": 2.0}),
    "truncpareto": ({"b": 1.8, "c": 5.3}, {"b": -2.0, "c": 5.0}),
    "truncweibull_min": ({"c": 2.5, "a": 0.25, "b": 1.75},),
    "tukeylambda": ({"lam": 3.13},),
    "uniform": ({},),
    "vonmises_line": ({"kappa": 3.99},),
    "wald": ({},),
    "weibull_min": ({"c": 1.79},),
    "wrapcauchy": ({"c": 0.31},),
    "yulesimon": ({"alpha": 3.0},),
    "zipf": ({"a": 2.5},),
    "zipfian": ({"a": 0.75, "n": 1000}, {"a": 1.25, "n": 10}),
}
"""Of every family, shapes that are unlike those in which a formula is simple."""

SLOW = {
    "dpareto_lognorm",
    "foldnorm",
    "gausshyper",
    "geninvgauss",
    "invgauss",
    "irwinhall",
    "ksone",
    "ncf",
    "recipinvgauss",
    "rel_breitwigner",
    "vonmises_line",
    "wald",
}
"""Those of which a draw is the solution of an equation."""


def digest(values: npt.ArrayLike) -> str:
    """The first digits of a digest over the bits of float64 values."""
    array = np.ascontiguousarray(values, dtype="<f8")
    return hashlib.sha256(array.tobytes()).hexdigest()[:12]


def law_draws(name: str, count: int) -> list[float]:
    """Draws of a family's examples: at places of a stream, and far out in both tails."""
    uniforms = Streams(1).uniforms("test.families", 0, np.arange(count))
    tails = 2.0 ** -np.arange(10.0, 54.0, 3.0)
    us = np.concatenate([uniforms, tails, 1 - tails])
    found: list[float] = []
    for shapes in EXAMPLES[name]:
        frozen = freeze(name, {key: float(value) for key, value in shapes.items()})
        found += [*frozen.quantiles(us).tolist(), frozen.mean]
    return found


def others() -> Iterator[tuple[str, npt.ArrayLike]]:
    """What else decides a schedule: who is drawn, and who holds how many samples."""
    from afl_sim.learning.partition.by_speed import by_speed, contents
    from afl_sim.learning.partition.dealing import dirichlet_counts, scaled_sizes
    from afl_sim.scenario.sections.partitions import Quantity
    from afl_sim.world.clients.selection import Weighted

    streams = Streams(1)
    weighted = Weighted(lambda client: 1.0 + client % 7, streams, 1.3)
    yield "weighted selection", [weighted.choose(30, range(400)) for _ in range(20)]
    for law in ("lognormal", "power_law", "normal"):
        spec = Quantity(kind="quantity", law=law)
        generator = streams.generator("partition.sizes")
        yield f"{law} sizes", scaled_sizes(spec, 300, 60_000, generator)
    counts = dirichlet_counts(0.3, 300, np.full(10, 6000), streams.generator("partition"))
    yield "dirichlet partition", counts
    yield "effective labels", contents(counts, "labels")
    yield "order by speed", by_speed([(7 * i % 31) / 10 for i in range(300)], 0.5, streams)


def draws(count: int, without: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """A digest for each family and each other kind of draw."""
    few = max(count // 50, 5)
    for name in EXAMPLES:
        if name not in without:
            yield name, digest(law_draws(name, few if name in SLOW else count))
    for name, values in others():
        yield name, digest(values)


COUNT = 300


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        FILE.write_text(json.dumps(dict(draws(COUNT)), indent=1) + "\n")
    else:
        count, *without = sys.argv[1:] or [COUNT]
        for name, found in draws(int(count), tuple(without)):
            print(json.dumps({name: found}), flush=True)
