"""What the server is made of."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.world.clients.durations import Durations
from afl_sim.world.clients.presence import Presence
from afl_sim.world.clock import Clock
from afl_sim.world.server.alarm import Alarm
from afl_sim.world.server.idle_waits import IdleWaits
from afl_sim.world.server.inbox import Inbox
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.server.results import Results
from afl_sim.world.server.sender import Sender
from afl_sim.world.server.versions import VersionMaker


@dataclass(frozen=True)
class Parts:
    """What a server is made of; each part does one job.

    Attributes:
        env: the clock.
        ledger: the version, the counts and the log.
        durations: how long each leg of a task takes.
        presence: which clients are idle and available.
        idle_waits: the processes that wait for such clients.
        inbox: where updates arrive.
        sender: sends tasks.
        versions: makes versions.
        alarm: wakes the server.
        results: what a schedule may know of the numbers.
        update_variance: omega of an update's compression; None if it is not known.
    """

    env: Clock
    ledger: Ledger
    durations: Durations
    presence: Presence
    idle_waits: IdleWaits
    inbox: Inbox
    sender: Sender
    versions: VersionMaker
    alarm: Alarm
    results: Results
    update_variance: float | None = 0.0
