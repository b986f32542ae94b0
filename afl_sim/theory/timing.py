"""Timing-only runs, reduced to what the oracles describe: the aggregated updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.global_model.null import NullLearner
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Scenario, ValidationContext
from afl_sim.world.event_kinds import AGGREGATED, COMPUTED, DISPATCHED, DOWNLOADED, STARTED
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.world import World

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SAMPLES = 10
"""Samples of every client."""
MODEL_BYTES = 1000

_catalogue = cache(catalogue)


@dataclass(frozen=True)
class Updates:
    """The updates of a run, in the order in which they were used.

    Attributes:
        seed: the run's.
        seconds, client, version, staleness: of each update, when it was used.
        sojourn: seconds from each update's dispatch to its use.
        computing: seconds that its client computed it.
        steps: local steps of each update.
        ages: at the end, of the tasks sent and not used: versions made since each was sent.
        uploading: mean number of transfers on the server's upload link, from the start of the run;
            0 where they do not contend for it.
        joules: what had been used when each update was used; 0 if no energy is counted.
    """

    seed: int
    seconds: Floats
    client: Ints
    version: Ints
    staleness: Ints
    sojourn: Floats
    computing: Floats
    steps: Ints
    ages: Ints
    uploading: float = 0.0
    joules: Floats = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.client)

    def after(self, warm_up: int) -> Updates:
        """Without the first ``warm_up`` updates."""
        return Updates(
            self.seed,
            self.seconds[warm_up:],
            self.client[warm_up:],
            self.version[warm_up:],
            self.staleness[warm_up:],
            self.sojourn[warm_up:],
            self.computing[warm_up:],
            self.steps[warm_up:],
            self.ages,
            self.uploading,
            self.joules[warm_up:],
        )

    def delays_of(self, client: int) -> Ints:
        """The staleness of one client's updates."""
        delays: Ints = self.staleness[self.client == client]
        return delays

    @property
    def seconds_each(self) -> float:
        """Virtual seconds from one update to the next, on average."""
        return float((self.seconds[-1] - self.seconds[0]) / (len(self) - 1))

    @property
    def joules_each(self) -> float:
        """Energy from one update to the next, on average."""
        return float((self.joules[-1] - self.joules[0]) / (len(self) - 1))

    def rounds(self) -> Floats:
        """The seconds from each version to the next, the first from the start."""
        ends = self.seconds[np.flatnonzero(np.diff(self.version, prepend=0))]
        return np.diff(ends, prepend=0.0)


def scenario(fields: Mapping[str, Any]) -> Scenario:
    """The scenario that a file with these fields would describe."""
    return Scenario.model_validate(dict(fields), context=ValidationContext(_catalogue()))


def updates_of(built: Scenario, script: Any = None) -> Updates:
    """Run to the scenario's end; ``script`` has a schedule in place of the strategy's."""
    rows: list[tuple[int, int, int, int, int, int, int]] = []
    sent: dict[tuple[int, int], tuple[int, int]] = {}  # (client, task) -> base version, instant
    began: dict[tuple[int, int], int] = {}
    computing: dict[tuple[int, int], int] = {}
    joules: list[float] = []

    def note(
        time_us: int,
        kind: int,
        client: int,
        task: int,
        version: int,
        base_version: int = -1,
        staleness: int = -1,
        size: int = 0,
        steps: int = -1,
        *rest: Any,
    ) -> None:
        if kind == DISPATCHED:
            sent[client, task] = base_version, time_us
        elif kind in (DOWNLOADED, STARTED):
            began[client, task] = time_us
        elif kind == COMPUTED:
            computing[client, task] = time_us - began.pop((client, task))
        elif kind == AGGREGATED:
            _, since = sent.pop((client, task))
            spent = computing.pop((client, task))
            rows.append((time_us, client, version, staleness, time_us - since, spent, steps))
            if world.account is not None:
                joules.append(world.account.until(time_us).totals["energy_joules"])

    who: Any = built.strategy if script is None else script
    world = World(built, who, lambda client: SAMPLES, MODEL_BYTES, NullLearner(), note)
    end_us = world.run().time_us
    link = world.link_uses(end_us).get("upload")
    table = np.array(rows, dtype=np.int64).reshape(-1, 7)
    bases = np.array([base for base, _ in sent.values()], dtype=np.int64)
    return Updates(
        built.seed,
        table[:, 0] / MICROSECONDS,
        table[:, 1],
        table[:, 2],
        table[:, 3],
        table[:, 4] / MICROSECONDS,
        table[:, 5] / MICROSECONDS,
        table[:, 6],
        world.server.version - bases,
        link.present_us / end_us if link is not None else 0.0,
        np.array(joules or np.zeros(len(rows))),
    )
