"""Runs in virtual time alone, reduced to what the oracles speak about: the updates used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from intervals import REPLICATIONS
from world_runs import scenario

from afl_sim.execution.null import NullLearner
from afl_sim.world.events import AGGREGATED, DISPATCHED
from afl_sim.world.world import World

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

EXPONENTIAL = {"jitter": {"dist": "expon"}}
LAWS: dict[str, dict[str, Any]] = {  # all of mean 1, from no variance to a coefficient of 1.3
    "constant": {},
    "uniform": {"jitter": {"dist": "uniform", "loc": 0.5, "scale": 1.0}},
    "exponential": EXPONENTIAL,
    "lognormal": {"jitter": {"dist": "lognorm", "s": 1.0, "scale": float(np.exp(-0.5))}},
}


@dataclass(frozen=True)
class Updates:
    """The updates of a run, in the order in which they were used.

    Attributes:
        seconds, client, version, staleness: of each update.
        ages: at the end, of the tasks sent and not used: versions made since each was sent.
    """

    seconds: Floats
    client: Ints
    version: Ints
    staleness: Ints
    ages: Ints

    def __len__(self) -> int:
        return len(self.client)

    def after(self, warm_up: int) -> Updates:
        """Without the first ``warm_up`` updates."""
        return Updates(
            self.seconds[warm_up:],
            self.client[warm_up:],
            self.version[warm_up:],
            self.staleness[warm_up:],
            self.ages,
        )

    def delays_of(self, client: int) -> Ints:
        """The staleness of one client's updates."""
        return self.staleness[self.client == client]

    @property
    def seconds_each(self) -> float:
        """Virtual seconds from one update to the next, on average."""
        return float((self.seconds[-1] - self.seconds[0]) / (len(self) - 1))


def updates_of(
    clients: int,
    strategy: Any,
    compute: dict[str, Any],
    *,
    updates: int,
    seed: int,
    script: Any = None,
    **sections: Any,
) -> Updates:
    """Run until ``updates`` updates are aggregated; ``script`` replaces the strategy's schedule."""
    built = scenario(
        clients,
        strategy=strategy,
        compute=compute,
        seed=seed,
        stop={"updates": updates},
        **sections,
    )
    rows: list[tuple[int, int, int, int]] = []
    sent: dict[tuple[int, int], int] = {}  # (client, task) -> base version

    def note(
        time_us: int,
        kind: int,
        client: int,
        task: int,
        version: int,
        base_version: int = -1,
        staleness: int = -1,
        *rest: Any,
    ) -> None:
        if kind == DISPATCHED:
            sent[client, task] = base_version
        elif kind == AGGREGATED:
            del sent[client, task]
            rows.append((time_us, client, version, staleness))

    who: Any = built.strategy if script is None else script
    world = World(built, who, lambda client: 10, 1000, NullLearner(), note)
    world.run()
    table = np.array(rows, dtype=np.int64)
    ages = world.server.version - np.array(list(sent.values()), dtype=np.int64)
    return Updates(table[:, 0] / 1e6, table[:, 1], table[:, 2], table[:, 3], ages)


def replicated(run: Callable[[int], Updates], *, warm_up: int = 0) -> list[Updates]:
    """The same run with `REPLICATIONS` seeds, each without its warm-up."""
    return [run(seed).after(warm_up) for seed in range(1, REPLICATIONS + 1)]
