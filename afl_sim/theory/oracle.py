"""An oracle: an exact value, and runs whose mean is compared with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from afl_sim.theory.intervals import REPLICATIONS, Interval, interval
from afl_sim.theory.timing import Updates, scenario, updates_of

EXPONENTIAL: dict[str, Any] = {"jitter": {"dist": "expon"}}
LAWS: dict[str, dict[str, Any]] = {  # all of mean 1, from no variance to a coefficient of 1.3
    "constant": {},
    "uniform": {"jitter": {"dist": "uniform", "loc": 0.5, "scale": 1.0}},
    "exponential": EXPONENTIAL,
    "lognormal": {"jitter": {"dist": "lognorm", "s": 1.0, "scale": 0.6065306597126334}},
}
Statistic = Callable[[Updates], float]


@dataclass(frozen=True, eq=False)
class Experiment:
    """A timing-only scenario, to be run with several seeds.

    Attributes:
        fields: the scenario, as a file would have it, without its seed.
        warm_up: updates at the beginning that do not count.
        script: has a schedule in place of the strategy's.
    """

    fields: Mapping[str, Any]
    warm_up: int = 0
    script: Any = None

    @cached_property
    def runs(self) -> list[Updates]:
        """The runs with `REPLICATIONS` seeds, each without its warm-up; made once."""
        return [self.run(seed) for seed in range(1, REPLICATIONS + 1)]

    def run(self, seed: int) -> Updates:
        """The run with one seed, without its warm-up."""
        built = scenario({**self.fields, "seed": seed})
        return updates_of(built, self.script).after(self.warm_up)


@dataclass(frozen=True)
class Oracle:
    """An exact value, and the statistic of runs whose mean should be this value.

    Attributes:
        name: what ``afl-sim theory NAME`` calls it; the first part names its group.
        formula: the value in words and symbols.
        exact: the value.
        experiment: the runs.
        statistic: one number of each run.
        mistakes: values that plausible mistakes would give; the interval must exclude them.
    """

    name: str
    formula: str
    exact: float
    experiment: Experiment = field(repr=False)
    statistic: Statistic = field(repr=False)
    mistakes: Sequence[float] = ()

    def measured(self) -> list[float]:
        """The statistic of each run."""
        return [float(self.statistic(run)) for run in self.experiment.runs]

    def verdict(self) -> tuple[Interval, str]:
        """The interval over the runs, and ``holds``, ``missed`` or ``too wide``."""
        found = interval(self.measured())
        if self.exact not in found:
            return found, "missed"
        return found, "too wide" if any(m in found for m in self.mistakes) else "holds"


def fleet(
    count: int,
    strategy: Mapping[str, Any],
    compute: Mapping[str, Any],
    *,
    updates: int,
    network: Mapping[str, Any] | None = None,
    availability: Any = "always",
    devices: Mapping[str, Any] | None = None,
    **sections: Any,
) -> dict[str, Any]:
    """The fields of a scenario with ``count`` clients that stops after so many updates.

    ``devices`` has more keys of ``clients``.
    """
    return {
        "clients": {
            "count": count,
            "compute": dict(compute),
            "network": dict(network or {}),
            "availability": availability,
            **(devices or {}),
        },
        "strategy": strategy,
        "stop": {"updates": updates},
        **sections,
    }
