"""The first stage of a design: closed forms of the update rate, without any simulation.

With M tasks always in flight, the next client uniform among the idle ones, and clients of mean
times T_1, ..., T_N, updates come at the rate ``(N - M + 1) e_{M-1}(T) / e_M(T)`` with elementary
symmetric polynomials e_k, whatever the law of the tasks (`afl_sim.theory.throughput`). Contended
links, absences and failures make them fewer. A round of K clients lasts at least as long as the
slowest of them on average, and the mean over all K-subsets follows from the ordered times.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import strategy_of
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.design import Design, Limit
from afl_sim.scenario.sections.selection import UniformSelection
from afl_sim.strategies.bases import ConcurrentStrategy, RoundStrategy

Floats = npt.NDArray[np.float64]

_DOUBT: Final = 1.2
"""How much a closed form may be wrong by: its laws are of the steady state, and a run begins."""
_MOST: Final = 5000  # clients of whom the times are asked


@dataclass(frozen=True)
class Bound:
    """What closed forms say of a candidate.

    Attributes:
        versions_per_second: at most, on average, of virtual time.
        updates_per_second: at most, on average.
        mean_staleness: in the steady state; None if it is not known.
    """

    versions_per_second: float
    updates_per_second: float
    mean_staleness: float | None


def bound_of(scenario: Scenario, seconds: Floats) -> Bound | None:
    """The closed forms for a run; None if there are none for its strategy.

    Args:
        scenario: the run's.
        seconds: the mean time of the tasks of each client, shape (N,).
    """
    strategy, n = strategy_of(scenario), len(seconds)
    if not isinstance(scenario.server.selection, UniformSelection):
        return None
    if isinstance(strategy, ConcurrentStrategy):
        m = strategy.in_parallel(n)
        if not 0 < m <= n:
            return None
        rate = update_rate(m, seconds)
        if strategy.concurrency == "all":
            rate = float((1 / seconds).sum())
        size = int(getattr(strategy, "buffer_size", 1))
        return Bound(rate / size, rate, m - 1.0 if size == 1 else None)
    if isinstance(strategy, RoundStrategy) and not _is_cut(strategy):
        k = strategy.cohort_size(n)
        if not 0 < k <= n:
            return None
        length = slowest_of(k, seconds)
        return Bound(1 / length, k / length, 0.0)
    return None


@dataclass(frozen=True)
class Refutation:
    """Why a candidate cannot be used.

    Attributes:
        why: in a line.
        broken: the limit that it cannot keep, if that is why, with the value that it would have.
    """

    why: str
    broken: tuple[Limit, float] | None = None


def refuted(bound: Bound, scenario: Scenario, design: Design) -> Refutation | None:
    """Why a candidate with this bound cannot be used; None if it may be."""
    horizon = scenario.stop.virtual_seconds
    if horizon is not None and bound.versions_per_second * horizon * _DOUBT < 1:
        mean = 1 / bound.versions_per_second
        return Refutation(
            f"a version takes {mean:,.0f} s on average, and the run ends after {horizon:,.0f} s"
        )
    found = bound.mean_staleness
    for limit in design.constraints:
        asked = limit.measure == "mean_staleness" and limit.sign == "<="
        if asked and found is not None and found > _DOUBT * limit.value:
            why = f"{limit}: M tasks in flight are M - 1 = {found:g} versions stale on average"
            return Refutation(why, (limit, found))
    return None


def mean_seconds(world: Any, clients: int) -> Floats | None:
    """The mean time of the tasks of each client; of very many clients, of the first ones.

    None if a law has no mean.
    """
    try:
        times = [world.server.expected_seconds(client) for client in range(min(clients, _MOST))]
    except ScenarioError:
        return None
    found = np.array(times, dtype=np.float64)
    return found if (found > 0).all() else None


def update_rate(m: int, seconds: Floats) -> float:
    """``(N - M + 1) e_{M-1}(T) / e_M(T)``: updates a second with M tasks among N clients.

    The mean products of the k-subsets, ``E_k = e_k / C(N, k)``, are computed instead of the e_k,
    which overflow: the rate is ``M E_{M-1} / E_M``.

    Example:
        >>> import numpy as np
        >>> round(update_rate(2, np.array([1.0, 1.0, 2.0])), 4)
        1.6
    """
    scale = float(seconds.mean())
    means = np.zeros(m + 1)
    means[0] = 1.0
    for n, time in enumerate(seconds / scale, start=1):
        k = np.arange(1, min(n, m) + 1)
        means[k] = (n - k) / n * means[k] + k / n * time * means[k - 1]
    return float(m * means[m - 1] / means[m] / scale)


def slowest_of(k: int, seconds: Floats) -> float:
    """The mean over all K-subsets of the largest of their times.

    Example:
        >>> import numpy as np
        >>> slowest_of(2, np.array([1.0, 2.0, 3.0]))  # (2 + 3 + 3) / 3
        2.6666666666666665
    """
    ordered, n = np.sort(seconds), len(seconds)
    whole = comb(n, k)
    weights = [comb(j, k - 1) / whole for j in range(n)]
    return float(ordered @ np.array(weights))


def _is_cut(strategy: Any) -> bool:
    """Whether rounds end before their slowest client has answered."""
    return bool(getattr(strategy, "over_selection", 0)) or (
        getattr(strategy, "deadline", None) is not None
    )
