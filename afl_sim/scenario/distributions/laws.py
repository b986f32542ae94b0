"""How each form of distribution is drawn from: a `Law` is one with its functions resolved."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.elementary import HIGHEST, LOWEST
from afl_sim.scenario.distributions.families import Frozen

Floats = npt.NDArray[np.float64]
Clients = int | npt.NDArray[np.int64]
Quantile = Callable[[float, int, int], float]
Quantiles = Callable[[Floats, Clients, int], Floats]


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution made ready to draw from.

    Attributes:
        quantile: ``(u, client, k) -> value``, u in (0, 1).
        quantiles: the same for arrays of u and, if wanted, of clients.
        mean: ``client -> mean``.
        positive: whether a draw is above 0 with probability one.
        constant: the value, where it is always the same.
        length: number of clients it is written for, where it has per-client values.
        reordered: ``order -> law`` in which client i is the ``order[i]``-th written; only where the
            file wants the clients shuffled.
        plain: ``u -> value``, where neither the client nor k makes a difference.
    """

    quantile: Quantile
    quantiles: Quantiles
    mean: Callable[[int], float]
    positive: bool
    constant: float | None = None
    length: int | None = None
    reordered: Callable[[Sequence[int]], Law] | None = None
    plain: Callable[[float], float] | None = None

    def placed(self, place: Callable[[int], int]) -> Law:
        """The law in which client i is the ``place(i)``-th written."""

        def quantile(u: float, client: int, k: int) -> float:
            return self.quantile(u, place(client), k)

        return Law(
            quantile,
            elementwise(quantile),
            lambda client: self.mean(place(client)),
            self.positive,
            self.constant,
        )


def constant(value: float) -> Law:
    """Always the same number."""
    return Law(
        quantile=lambda u, client, k: value,
        quantiles=lambda us, clients, k: np.full(us.shape, value),
        mean=lambda client: value,
        positive=value > 0,
        constant=value,
    )


def frozen(family: Frozen) -> Law:
    """One family with one set of parameters."""
    draw, draws, mean = family.quantile, family.quantiles, family.mean
    return Law(
        quantile=lambda u, client, k: draw(u),
        quantiles=lambda us, clients, k: draws(us.ravel()).reshape(us.shape),
        mean=lambda client: mean,
        positive=family.low > 0
        or (family.continuous and family.low == 0 and draw(LOWEST) > 0),  # not rounded to 0
        plain=draw,
    )


def sequence(values: Sequence[float]) -> Law:
    """Task k takes the k-th value; the last one holds. The mean is the value that holds."""
    last, held = len(values) - 1, values[-1]
    same = all(value == held for value in values)

    def at(k: int) -> float:
        return values[k] if k < last else held

    return Law(
        quantile=lambda u, client, k: at(k),
        quantiles=lambda us, clients, k: np.full(us.shape, at(k)),
        mean=lambda client: held,
        positive=min(values) > 0,
        constant=held if same else None,
    )


def sample(values: Sequence[float]) -> Law:
    """The empirical distribution: each draw one of the values, all equally likely."""
    ordered = sorted(values)
    array = np.array(ordered)
    count, last = len(ordered), len(ordered) - 1
    mean = math.fsum(ordered) / count

    def quantiles(us: Floats, clients: Clients, k: int) -> Floats:
        return array[np.minimum((us * count).astype(np.int64), last)]

    return Law(
        quantile=lambda u, client, k: ordered[min(int(u * count), last)],
        quantiles=quantiles,
        mean=lambda client: mean,
        positive=ordered[0] > 0,
        constant=ordered[0] if ordered[0] == ordered[-1] else None,
    )


def numbers(values: Sequence[float]) -> Law:
    """Client i always gets the i-th value."""
    array = np.array(values, dtype=np.float64)

    def quantiles(us: Floats, clients: Clients, k: int) -> Floats:
        return np.broadcast_to(array[clients], us.shape).copy()

    return Law(
        quantile=lambda u, client, k: values[client],
        quantiles=quantiles,
        mean=lambda client: values[client],
        positive=min(values) > 0,
        constant=values[0] if min(values) == max(values) else None,
        length=len(values),
    )


def per_client(laws: Sequence[Law]) -> Law:
    """Client i draws from the i-th law."""
    if all(law.constant is not None for law in laws):
        return numbers([law.constant for law in laws if law.constant is not None])
    draws = [law.quantile for law in laws]
    return Law(
        quantile=lambda u, client, k: draws[client](u, client, k),
        quantiles=elementwise(lambda u, client, k: draws[client](u, client, k)),
        mean=lambda client: laws[client].mean(client),
        positive=all(law.positive for law in laws),
        length=len(laws),
    )


def shuffled(laws: Sequence[Law]) -> Law:
    """`per_client`, with the clients in an order that is yet to come."""
    return replace(per_client(laws), reordered=lambda order: per_client([laws[i] for i in order]))


def mixture(weights: Sequence[float], laws: Sequence[Law], length: int | None) -> Law:
    """Component i with probability ``weights[i]`` (they are normalised).

    One uniform serves both choices: it picks the component, and what is left of it, stretched to
    (0, 1), is the draw inside.
    """
    total = math.fsum(weights)
    shares = [weight / total for weight in weights]
    ends = list(accumulate(shares))
    starts = [0.0, *ends[:-1]]
    last = len(laws) - 1
    draws = [law.quantile for law in laws]

    def quantile(u: float, client: int, k: int) -> float:
        i = min(bisect_right(ends, u), last)
        inner = (u - starts[i]) / shares[i]
        return draws[i](min(max(inner, LOWEST), HIGHEST), client, k)

    constants = {law.constant for law in laws}
    return Law(
        quantile=quantile,
        quantiles=elementwise(quantile),
        mean=lambda client: math.fsum(
            share * law.mean(client) for share, law in zip(shares, laws, strict=True)
        ),
        positive=all(law.positive for law in laws),
        constant=laws[0].constant if len(constants) == 1 else None,
        length=length,
    )


def elementwise(quantile: Quantile) -> Quantiles:
    """The array form of a scalar quantile function."""

    def quantiles(us: Floats, clients: Clients, k: int) -> Floats:
        who = np.broadcast_to(np.asarray(clients), us.shape)
        pairs = zip(us.ravel().tolist(), who.ravel().tolist(), strict=True)
        return np.array([quantile(u, client, k) for u, client in pairs], dtype=np.float64).reshape(
            us.shape
        )

    return quantiles
