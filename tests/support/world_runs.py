"""Runs of the world alone: no data, no model, durations written down by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from types import SimpleNamespace
from typing import Any, NamedTuple

from afl_sim.errors import AflSimError
from afl_sim.global_model.null import NullLearner
from afl_sim.recording.columns import columns_of
from afl_sim.recording.event_table import COLUMNS
from afl_sim.recording.events import EventLog
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Catalogue, Scenario, ValidationContext
from afl_sim.world.ending import Ending
from afl_sim.world.event_kinds import KIND_NAMES
from afl_sim.world.server.server import Server
from afl_sim.world.world import World

SECOND = 1_000_000
SAMPLES = 10
MODEL_BYTES = 1000
HORIZON = 1000
"""Seconds that a run without a stop rule of its own lasts."""

_catalogue: Callable[[], Catalogue] = cache(catalogue)


class Event(NamedTuple):
    """One row of the log; -1 stands for what the row does not have."""

    time_us: int
    kind: str
    client: int
    task: int
    version: int
    base_version: int
    staleness: int
    bytes: int
    steps: int
    samples: int
    context: str | None


@dataclass(frozen=True)
class Outcome:
    """What a run left behind."""

    events: list[Event]
    ending: Ending
    world: World
    schedule_digest: str

    @property
    def server(self) -> Server:
        """What the schedule saw."""
        return self.world.server

    def of(self, *kinds: str) -> list[Event]:
        """The rows of these kinds."""
        return [event for event in self.events if event.kind in kinds]

    def story(self, *kinds: str) -> list[tuple[float, str, int]]:
        """(seconds, kind, client) of the rows of these kinds, or of all but ``evaluated``."""
        return [
            (event.time_us / SECOND, event.kind, event.client)
            for event in self.events
            if (event.kind in kinds if kinds else event.kind != "evaluated")
        ]


class Script:
    """A hand-written schedule, standing where a strategy stands."""

    reads_results = False
    waits_for_all = False
    waits_again = False
    queues_at_clients = False

    def __init__(self, body: Callable[[Any], Iterator[Any]], *, refreshes: bool = False) -> None:
        self._body = body
        self.refreshes = refreshes
        self.finished = False

    def schedule(self, server: Any) -> Iterator[Any]:
        yield from self._body(server)
        self.finished = True


class MadeUpLosses(NullLearner):
    """Trains nothing, but has losses for schedules that read them: a function of the task."""

    def result(self, dispatch: Any, version: int) -> Any:
        loss = 1 + (7 * dispatch.client + 3 * dispatch.task) % 5  # few values: ties
        return SimpleNamespace(loss=float(loss))


def scripted(durations: Sequence[Sequence[float] | float]) -> dict[str, Any]:
    """A compute block: for each client the seconds of its tasks, the last one held for ever."""
    each = [d if isinstance(d, int | float) else {"sequence": list(d)} for d in durations]
    return {"seconds_per_task": 0, "jitter_seconds": {"values": each}}


def link(spec: Any) -> dict[str, Any]:
    """A client's link: its keys, or its latency alone."""
    keys = {"latency", "bandwidth", "bandwidth_trace", "jitter", "loss"}
    return spec if isinstance(spec, dict) and keys & spec.keys() else {"latency": spec}


def scenario(
    clients: int | Sequence[Sequence[float] | float],
    *,
    strategy: Any = "fedavg",
    compute: dict[str, Any] | None = None,
    down: Any = 0,
    up: Any = 0,
    stop: dict[str, Any] | None = None,
    fleet: dict[str, Any] | None = None,
    **sections: Any,
) -> Scenario:
    """A scenario; ``clients`` is their number, or the seconds that each one's tasks take.

    ``down`` and ``up`` are latencies, or whole links; ``fleet`` has more blocks of ``clients``.
    """
    if not isinstance(clients, int):
        compute, clients = scripted(clients), len(clients)
    if strategy == "fedavg":
        strategy = {"kind": "fedavg", "clients_per_round": 1}
    fields = {
        "clients": {
            "count": clients,
            "compute": compute or {},
            "network": {"download": link(down), "upload": link(up)},
            **(fleet or {}),
        },
        "strategy": strategy,
        "stop": stop or {"virtual_seconds": HORIZON},
        **sections,
    }
    return Scenario.model_validate(fields, context=ValidationContext(_catalogue()))


class TooLong(AflSimError):
    """A run that a test need not wait for."""


def run(
    scenario: Scenario,
    schedule: Callable[[Any], Iterator[Any]] | None = None,
    *,
    samples_of: Callable[[int], int] = lambda client: SAMPLES,
    model_bytes: int = MODEL_BYTES,
    most_rows: int | None = None,
    learner: NullLearner | None = None,
    foresees: bool = True,
    update_variance: float | None = 0.0,
    refreshes: bool = False,
) -> Outcome:
    """Run the world on a hand-written schedule, or on the scenario's own strategy.

    A hand-written schedule has to come to its end, assertions and all, unless a stop rule
    of the scenario cuts it short. ``learner`` stands where the numeric half of the run stands.
    Without ``foresees`` every end of a leg is an event. ``update_variance`` is that of updates that
    are compressed. ``refreshes`` is the schedule's, if it is written by hand.

    Raises:
        TooLong: the log has more than ``most_rows``.
    """
    strategy: Any = scenario.strategy
    if schedule is not None:
        strategy = Script(schedule, refreshes=refreshes)
    log = EventLog()
    rows = count(1)

    def append(*row: Any) -> None:
        log.append(*row)
        if next(rows) == most_rows:
            raise TooLong(f"the log has {most_rows} rows")

    if learner is None:
        guided = scenario.server.selection.reads_results
        learner = MadeUpLosses() if guided else NullLearner()

    def look() -> int:
        if most_rows is not None and len(log) >= most_rows:
            raise TooLong(f"the log has {most_rows} rows")
        return 256  # events

    world = World(
        scenario,
        strategy,
        samples_of,
        model_bytes,
        learner,
        append,
        ahead=log.ahead if foresees else None,
        update_variance=update_variance,
        between_events=look,
    )
    ending = world.run()
    if schedule is not None and ending.time_us == HORIZON * SECOND:
        assert strategy.finished, "the schedule is stuck"
    return Outcome(_events(log), ending, world, log.schedule_digest)


def _events(log: EventLog) -> list[Event]:
    table = log.table()
    columns = columns_of(table)
    kinds = [KIND_NAMES[code] for code in columns["kind"].tolist()]
    numbers = [columns[name].tolist() for name in COLUMNS]
    numbers[1] = kinds
    return [Event(*row) for row in zip(*numbers, table.column("context").to_pylist(), strict=True)]
