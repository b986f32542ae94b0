"""The account of a run: energy, price and carbon, from the rows of the event log.

It follows the log row by row. Between two rows nothing changes, so the energy of that time is the
power of all devices, by phase, times the time. A device's power is a whole number of microwatts,
and time is whole microseconds: every sum is an integer of picojoules.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from afl_sim.world import event_kinds as kinds
from afl_sim.world.account.batteries import Batteries
from afl_sim.world.account.costs import Costs
from afl_sim.world.account.devices import PICO
from afl_sim.world.account.intensity import PER_GRAM
from afl_sim.world.account.lives import Comings
from afl_sim.world.account.part import COMPUTE, DOWNLOAD, IDLE, UPLOAD, PartAccount
from afl_sim.world.account.server_account import ServerAccount
from afl_sim.world.account.task_energy import NO_PHASE, TaskEnergy
from afl_sim.world.server.ledger import Log

SAMPLES_DONE = "samples_done"
"""In the context of a row that ends a computation early, or interrupts it: its samples by then."""


@dataclass(frozen=True)
class Counted:
    """What an account counts: the energy of clients, that of clients by samples, and prices."""

    clients: bool
    by_sample: bool
    price: bool


class Account:
    """Counts what a run uses and costs.

    Args:
        parts: of the fleet; each begins with the idle power of the clients that are there at 0.
        part_of: gives the part of a client.
        comings: when clients join and leave; None if all are there from 0 for ever.
        server: the account of the server.
        counted: what is counted.
        batteries: of clients; None if none has one.

    Attributes:
        marks: by (time_us, version), what the run had used when this version was evaluated.
    """

    def __init__(
        self,
        parts: Sequence[PartAccount],
        part_of: Callable[[int], PartAccount],
        comings: Comings | None,
        server: ServerAccount,
        counted: Counted,
        batteries: Batteries | None = None,
    ) -> None:
        self.marks: dict[tuple[int, int], Costs] = {}
        self.counted = counted
        self._parts = parts
        self._part_of = part_of
        self._comings = comings
        self._come = 0  # how many of them have happened
        self._server = server
        self.batteries = batteries
        self._now = 0
        self._wasted = 0
        self._busy: dict[int, int] = {}  # client -> tasks
        self._tasks: dict[tuple[int, int], TaskEnergy] = {}  # until their fate is known
        self._rows: dict[int, Callable[[int, int, int, int, str | None], None]] = {
            kinds.DISPATCHED: self._dispatched,
            kinds.DOWNLOADED: self._downloaded,
            kinds.QUEUED: self._queued,
            kinds.STARTED: self._started,
            kinds.REQUESTED: self._requested,
            kinds.REFRESHED: self._refreshed,
            kinds.COMPUTED: self._computed,
            kinds.ARRIVED: self._arrived,
            kinds.LOST: self._lost,
            kinds.DUPLICATE: self._duplicate,
            kinds.AGGREGATED: self._aggregated,
            kinds.DISCARDED: self._discarded,
            kinds.CANCELLED: self._cut,
            kinds.FAILED: self._cut,
        }

    def watching(self, log: Log) -> Log:
        """The log, followed by this account."""
        rows = self._rows

        def watched(
            time_us: int,
            kind: int,
            client: int,
            task: int,
            version: int,
            base_version: int = -1,
            staleness: int = -1,
            size: int = 0,
            steps: int = -1,
            samples: int = -1,
            context: str | None = None,
        ) -> None:
            log(
                time_us,
                kind,
                client,
                task,
                version,
                base_version,
                staleness,
                size,
                steps,
                samples,
                context,
            )
            follow = rows.get(kind)
            if follow is not None:
                if time_us > self._now:
                    self._pass_time(int(time_us))
                follow(client, task, size, samples, context)

        return watched

    def mark(self, time_us: int, version: int) -> None:
        """Note what the run has used when a version is evaluated."""
        self.marks[time_us, version] = self.until(time_us)

    def until(self, time_us: int) -> Costs:
        """What the run has used until an instant, which is not before the last row."""
        if time_us > self._now:
            self._pass_time(time_us)
        return Costs(self._energy(), self._price(), self._carbon())

    def runs_low(self, client: int, task: int) -> bool:
        """Whether a task under way has used up its client's battery by now."""
        if self.batteries is None:
            return False
        return self.batteries.is_low(client, self._tasks[client, task].spent)

    # -- what has been used -----------------------------------------------------------------------

    def _energy(self) -> dict[str, float]:
        found: dict[str, int] = {}
        if self.counted.clients:
            for phase, name in enumerate(("download", "compute", "upload", "idle")):
                found[name] = sum(part.energy[phase] for part in self._parts)
        server = self._server.energy(self._now)
        if server is not None:
            found["server"] = server
        if found:
            found["total"] = sum(found.values())
        if self.counted.clients:
            found["wasted"] = self._wasted
        return {name: picojoules / PICO for name, picojoules in found.items()}

    def _price(self) -> dict[str, float]:
        if not self.counted.price:
            return {}
        clients = sum(part.tariff.price(part.tasks, part.moved) for part in self._parts)
        server = self._server.price(self._now)
        return {"clients": clients, "server": server, "total": clients + server}

    def _carbon(self) -> dict[str, float]:
        found: dict[str, int] = {}
        if self.counted.clients and any(part.intensity is not None for part in self._parts):
            found["clients"] = sum(part.carbon_so_far for part in self._parts)
        server = self._server.carbon(self._now)
        if server is not None:
            found["server"] = server
        if found:
            found["total"] = sum(found.values())
        return {name: carbon / PER_GRAM for name, carbon in found.items()}

    # -- time -------------------------------------------------------------------------------------

    def _pass_time(self, time_us: int) -> None:
        comings = self._comings
        if comings is not None:
            at = comings.at_us
            while self._come < len(at) and at[self._come] <= time_us:
                self._integrate(int(at[self._come]))
                self._come_or_go(comings, self._come)
                self._come += 1
        self._integrate(time_us)

    def _integrate(self, time_us: int) -> None:
        if time_us > self._now:
            for part in self._parts:
                part.pass_time(self._now, time_us)
            self._now = time_us

    def _come_or_go(self, comings: Comings, index: int) -> None:
        client = int(comings.client[index])
        if client not in self._busy:
            part = self._part_of(client)
            idle = part.devices.of(client).watts[IDLE]
            part.watts[IDLE] += idle if comings.joins[index] else -idle

    # -- the rows of the log ----------------------------------------------------------------------

    def _dispatched(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        part = self._part_of(client)
        use = part.devices.of(client)
        part.tasks += 1
        at_work = self._busy.get(client, 0)
        self._busy[client] = at_work + 1
        if not at_work and self._is_there(client):
            part.watts[IDLE] -= use.watts[IDLE]
        if not at_work and self.batteries is not None:
            joined = 0 if self._comings is None else int(self._comings.join_us[client])
            self.batteries.begin(client, use.watts[IDLE], self._now, joined)
        spending = self._tasks[client, task] = TaskEnergy(part, use)
        spending.enter(DOWNLOAD, self._now)

    def _downloaded(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        spending = self._tasks[client, task]
        spending.part.moved += size
        self._server.sent += size
        spending.add(DOWNLOAD, spending.use.per_byte[0] * size, self._now)
        spending.enter(COMPUTE, self._now)

    def _requested(
        self, client: int, task: int, size: int, samples: int, context: str | None
    ) -> None:
        spending = self._tasks[client, task]
        assert context is not None
        spending.trained(json.loads(context)[SAMPLES_DONE], self._now)
        spending.enter(DOWNLOAD, self._now)

    def _refreshed(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._downloaded(client, task, size, samples, None)

    def _queued(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._tasks[client, task].enter(NO_PHASE, self._now)

    def _started(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._tasks[client, task].enter(COMPUTE, self._now)

    def _computed(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        spending = self._tasks[client, task]
        spending.trained(samples, self._now)
        spending.enter(UPLOAD, self._now)

    def _arrived(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        spending = self._tasks[client, task]
        self._server.received += size
        spending.uploaded(size, self._now)
        spending.enter(NO_PHASE, self._now)
        self._free(client, spending)

    def _lost(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._tasks[client, task].uploaded(size, self._now)

    def _duplicate(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        part = self._part_of(client)
        extra = TaskEnergy(part, part.devices.of(client))
        self._server.received += size
        extra.uploaded(size, self._now)
        self._wasted += extra.spent

    def _aggregated(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._tasks.pop((client, task), None)

    def _discarded(self, client: int, task: int, size: int, samples: int, _: str | None) -> None:
        self._wasted += self._tasks.pop((client, task)).spent

    def _cut(self, client: int, task: int, size: int, samples: int, context: str | None) -> None:
        spending = self._tasks.pop((client, task))
        if context is not None and spending.phase == COMPUTE:
            spending.trained(json.loads(context).get(SAMPLES_DONE, spending.samples), self._now)
        spending.enter(NO_PHASE, self._now)
        self._wasted += spending.spent
        self._free(client, spending)

    def _free(self, client: int, spending: TaskEnergy) -> None:
        """A task is no longer at its client, which may be idle now."""
        at_work = self._busy[client] - 1
        if at_work:
            self._busy[client] = at_work
        else:
            del self._busy[client]
            if self._is_there(client):
                spending.part.watts[IDLE] += spending.use.watts[IDLE]
        if self.batteries is not None:
            self.batteries.spend(client, spending.spent, not at_work, self._now)

    def _is_there(self, client: int) -> bool:
        return self._comings is None or self._comings.is_there(client, self._now)
