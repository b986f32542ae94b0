"""The schedule of a candidate's run, computed without training, and what the run spends by when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from afl_sim.errors import AflSimError, ScenarioError
from afl_sim.global_model.null import NullLearner
from afl_sim.recording import EventLog
from afl_sim.recording.columns import Columns, columns_of
from afl_sim.recording.tasks import FATES, task_columns
from afl_sim.run.building import world_of
from afl_sim.run.checks import check_mode
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.metrics import Better
from afl_sim.world.event_kinds import AGGREGATED, ARRIVED, DOWNLOADED, REFRESHED
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.world import World

Wholes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

PHASES: Final = ("download", "wait at the client", "compute", "upload")
NEVER: Final = int(np.iinfo(np.int64).max)
_NUMBERS: Final = {"optimizer", "lr_schedule", "loss", "augment"}  # of training
_NO_PART_OF_TIME: Final = (
    *("name", "description", "replications", "numerics", "recording", "execution", "figure"),
)


@dataclass(frozen=True)
class Spending:
    """What a run has spent by when: a step function of time.

    Attributes:
        time_us: int64 (m,), ascending: when it grows.
        total: float64 (m,): what has been spent from then on.
    """

    time_us: Wholes
    total: Floats

    def at(self, time_us: int) -> float:
        """What has been spent at a moment."""
        place = int(np.searchsorted(self.time_us, time_us, side="right"))
        return float(self.total[place - 1]) if place else 0.0

    def beyond_us(self, amount: float) -> int:
        """The first microsecond at which more than this has been spent; `NEVER` if none."""
        place = int(np.searchsorted(self.total, amount, side="right"))
        return int(self.time_us[place]) if place < len(self.time_us) else NEVER


@dataclass(frozen=True)
class Schedule:
    """What is known of a run before it is trained.

    Attributes:
        digest: of the schedule.
        end_us: when the run ends, if it does not reach the target.
        version_us: int64 (V,): when each version was made.
        version_samples: int64 (V,): samples trained for aggregated updates up to each version.
        staleness: int64 (U,): of each aggregated update.
        spending: by cost, what the run spends; ``time`` is the clock.
        phase_seconds: client-seconds of tasks by phase.
        idle_fraction: share of the client-seconds of the most tasks in flight in which none was.
        wasted_fraction: share of the client-seconds of ended tasks whose update was never used.
        updates: those that were aggregated.
        dispatched: tasks that were sent.
    """

    digest: str
    end_us: int
    version_us: Wholes
    version_samples: Wholes
    staleness: Wholes
    spending: Mapping[str, Spending]
    phase_seconds: Mapping[str, float]
    idle_fraction: float
    wasted_fraction: float
    dispatched: int

    @property
    def versions(self) -> int:
        """The number of versions."""
        return len(self.version_us)

    @property
    def updates(self) -> int:
        """The number of aggregated updates."""
        return len(self.staleness)

    @property
    def samples(self) -> int:
        """Samples trained for aggregated updates until the end."""
        return int(self.version_samples[-1]) if self.versions else 0

    def cost(self, name: str, time_us: int) -> float:
        """What the run has spent at a moment."""
        return time_us / MICROSECONDS if name == "time" else self.spending[name].at(time_us)

    def beyond_us(self, name: str, amount: float) -> int:
        """The first microsecond at which a run has spent more than an amount."""
        if name != "time":
            return self.spending[name].beyond_us(amount)
        return round(amount * MICROSECONDS) + 1

    def version_at(self, time_us: int) -> int | None:
        """The first version made at a moment or later; None if there is none."""
        place = int(np.searchsorted(self.version_us, time_us, side="left"))
        return place + 1 if place < self.versions else None

    def samples_until(self, version: int | None) -> int:
        """Samples trained up to a version; None: up to the end."""
        return self.samples if version is None else int(self.version_samples[version - 1])

    def staleness_figure(self, name: str) -> float:
        """``mean``, ``max``, or a percentile such as ``p95``; as `summary.json` reports it."""
        if not self.updates:
            return 0.0
        if name == "mean":
            return float(self.staleness.mean())
        share = 1.0 if name == "max" else int(name.removeprefix("p")) / 100
        ordered = np.sort(self.staleness)
        return float(ordered[max(0, int(np.ceil(share * self.updates)) - 1)])


class Schedules:
    """Computes schedules; what several runs have in common is made once, and kept."""

    def __init__(self) -> None:
        self._prepared: dict[str, Prepared] = {}
        self._found: dict[str, Schedule | str] = {}

    def of(self, scenario: Scenario) -> Schedule | str:
        """The schedule of a run; or, in a line, why it has none without training."""
        key = _key(scenario, _NO_PART_OF_TIME)
        if key not in self._found:
            try:
                self._found[key] = self._compute(scenario)
            except AflSimError as error:
                self._found[key] = str(error).partition("\n")[0]
        return self._found[key]

    def metrics(self, scenario: Scenario) -> Mapping[str, Better]:
        """What a run measures, and which of two values is better.

        Raises:
            InputError: the run cannot be prepared.
        """
        return self._preparation(scenario).metrics

    def world(self, scenario: Scenario, log: Any = lambda *row: None) -> World:
        """The world of a run that trains nothing.

        Raises:
            InputError: the run cannot be prepared.
        """
        prepared = self._preparation(scenario)
        return world_of(
            scenario.model_copy(update={"stop": scenario.stop.untrained}),
            prepared.partition.size,
            prepared.sent,
            NullLearner(),
            log,
        )

    def _preparation(self, scenario: Scenario) -> Prepared:
        key = _key(scenario, (*_NO_PART_OF_TIME, "strategy", "server", "stop"))
        if key not in self._prepared:
            self._prepared[key] = prepare(scenario, timing_only=True)
        return self._prepared[key]

    def _compute(self, scenario: Scenario) -> Schedule:
        check_mode(scenario, timing_only=True)
        log = EventLog()
        world = self.world(scenario, log.append)
        end_us = world.run().time_us
        events = columns_of(log.table())
        counts = world.server.counts
        used = np.flatnonzero(events["kind"] == AGGREGATED)
        version, time_us = events["version"][used], events["time_us"][used]
        last = np.flatnonzero(np.diff(version, append=version[-1] + 1)) if len(used) else used
        versions = world.server.version
        if len(last) != versions:
            raise ScenarioError("strategy: it makes versions of no updates; a design needs some")
        busy_us = counts.busy_us + sum(task.busy_us(end_us) for task in world.server.under_way)
        available = counts.peak_in_flight * end_us
        phases, wasted = _tasks(events, end_us)
        trained = np.cumsum(_first_uses(events, used))
        return Schedule(
            log.schedule_digest,
            end_us,
            time_us[last],
            trained[last],
            events["staleness"][used],
            {
                "bytes": _bytes(events),
                "samples": Spending(time_us, trained.astype(float)),
                **_accounts(world),
            },
            phase_seconds=phases,
            idle_fraction=1 - busy_us / available if available else 0.0,
            wasted_fraction=wasted,
            dispatched=counts.dispatched,
        )


def _key(scenario: Scenario, left_out: Sequence[str]) -> str:
    """Equal only for scenarios that are the same, but for some sections and for numbers."""
    excluded: dict[str, Any] = {**dict.fromkeys(left_out, True), "training": _NUMBERS}
    return scenario.model_dump_json(by_alias=True, exclude=excluded)


def _first_uses(events: Columns, used: Wholes) -> Wholes:
    """The samples of each aggregated row; of a later use of an update none."""
    keys = np.stack([events["client"][used], events["task"][used]], axis=1)
    samples = events["samples"][used].copy()
    if len(used):
        _, first = np.unique(keys, axis=0, return_index=True)
        again = np.ones(len(used), dtype=bool)
        again[first] = False
        samples[again] = 0
    return np.maximum(samples, 0)


def _bytes(events: Columns) -> Spending:
    transfers = np.isin(events["kind"], (DOWNLOADED, REFRESHED, ARRIVED))
    moved = np.flatnonzero(transfers & (events["bytes"] > 0))
    return Spending(events["time_us"][moved], np.cumsum(events["bytes"][moved]).astype(float))


def _accounts(world: World) -> dict[str, Spending]:
    """The energy, price and carbon of a run, as far as its scenario counts them.

    They are known at each evaluation, which is where a target can be reached.
    """
    account = world.account
    if account is None:
        return {}
    marks = sorted(account.marks.items())
    times = np.array([time_us for (time_us, _), _ in marks], dtype=np.int64)
    found = {}
    for cost, block in (
        ("energy", "energy_joules"),
        ("price", "price"),
        ("carbon", "carbon_grams"),
    ):
        totals = [costs.totals.get(block) for _, costs in marks]
        if None not in totals:
            found[cost] = Spending(times, np.array(totals, dtype=np.float64))
    return found


def _tasks(events: Columns, end_us: int) -> tuple[dict[str, float], float]:
    """Client-seconds of tasks by phase, and the share of them that was for nothing."""
    tasks = task_columns(events)
    ended = np.where(tasks["ended"] >= 0, tasks["ended"], end_us)
    marks = [
        np.minimum(np.where(tasks[name] >= 0, tasks[name], ended), ended)
        for name in ("dispatched", "downloaded", "started", "computed")
    ]
    lengths = [
        max(0.0, float((later - earlier).sum()) / MICROSECONDS)
        for earlier, later in zip(marks, [*marks[1:], ended], strict=True)
    ]
    asked = np.where(tasks["requested"] >= 0, tasks["requested"], end_us)
    resumed = np.where(tasks["refreshed"] >= 0, tasks["refreshed"], ended)
    stood = float(np.maximum(0, np.minimum(resumed, end_us) - asked).sum()) / MICROSECONDS
    lengths[0] += stood  # a newer model that was downloaded during the computation
    lengths[2] -= stood
    over = tasks["ended"] >= 0
    spent = (ended - tasks["dispatched"])[over]
    fate = tasks["fate"][over]
    lost = np.isin(fate, [FATES.index(each) for each in ("discarded", "cancelled", "failed")])
    total = float(spent.sum())
    wasted = float(spent[lost].sum()) / total if total else 0.0
    return dict(zip(PHASES, lengths, strict=True)), wasted


def figures(schedule: Schedule) -> dict[str, float]:
    """The main numbers of a schedule, for a table."""
    return {
        "versions": schedule.versions,
        "updates": schedule.updates,
        "samples": schedule.samples,
        "mean_staleness": schedule.staleness_figure("mean"),
        "staleness_p95": schedule.staleness_figure("p95"),
        "idle_fraction": schedule.idle_fraction,
        "wasted_fraction": schedule.wasted_fraction,
    }
