"""When clients join, and when they leave for good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.sections import availability as spec
from afl_sim.streams import Streams
from afl_sim.world.availability.some_clients import chosen
from afl_sim.world.clients.grouping import Part
from afl_sim.world.microseconds import CLOCK_END

Instants = npt.NDArray[np.int64]
NEVER = CLOCK_END
"""The instant of what does not happen."""


@dataclass(frozen=True)
class Comings:
    """When clients join and leave for good, in order of time.

    Attributes:
        at_us: the instants.
        client: who.
        joins: whether they join; else they leave.
        join_us, leave_us: both of each client, by its index.
    """

    at_us: Instants
    client: npt.NDArray[np.int64]
    joins: npt.NDArray[np.bool_]
    join_us: Instants
    leave_us: Instants

    @classmethod
    def of(cls, join_us: Instants, leave_us: Instants) -> Comings | None:
        """Those of clients with these lives; None if all are there from 0 for ever.

        What happens at 0 is left out, and so are clients that are never there.
        """
        lives = join_us < leave_us
        joining = np.flatnonzero(lives & (join_us > 0))
        leaving = np.flatnonzero(lives & (leave_us < NEVER))
        if lives.all() and not len(joining) and not len(leaving):
            return None
        at = np.concatenate([join_us[joining], leave_us[leaving]])
        who = np.concatenate([joining, leaving])
        joins = np.arange(len(at)) < len(joining)
        order = np.argsort(at, kind="stable")
        return cls(at[order], who[order], joins[order], join_us, leave_us)

    def is_there(self, client: int, now_us: int) -> bool:
        """Whether the client has joined and has not left for good."""
        return bool(self.join_us[client] <= now_us < self.leave_us[client])


def lives(part: Part, who: npt.NDArray[np.int64], streams: Streams) -> tuple[Instants, Instants]:
    """When clients join and leave for good (microseconds); `NEVER` if they do not leave.

    A client of a trace that does not repeat leaves after its last interval.

    Args:
        part: of the fleet.
        who: its clients, in order.
        streams: the run's random streams.
    """
    settings = part.clients.availability
    join = _instants(settings.joins, "joins", who, streams)
    if settings.leaves is None:
        leave = np.full(len(who), NEVER, dtype=np.int64)
    else:
        leave = _instants(settings.leaves, "leaves", who, streams)
    if isinstance(settings, spec.TracedAvailability) and settings.repeat is None:
        intervals = settings.presences.intervals
        ends = [intervals[part.presence(int(c)) % len(intervals)] for c in who]
        last = np.array([each[-1][1] if each else 0 for each in ends], dtype=np.int64)
        if settings.share_of_clients < 1:
            away = np.isin(who, chosen(settings.share_of_clients, who, streams))
            last = np.where(away, last, NEVER)
        leave = np.minimum(leave, last)
    return join, np.maximum(join, leave)


def _instants(
    law: Distribution, name: str, who: npt.NDArray[np.int64], streams: Streams
) -> Instants:
    """As `to_microseconds` rounds them; 0 is no delay."""
    if law.constant is not None:
        seconds = np.full(len(who), law.constant)
    else:
        seconds = law.quantiles(streams.uniforms(f"availability.{name}", who), who)
    instants = np.minimum(np.rint(seconds * 1e6), 2.0**62).astype(np.int64)
    return np.where(seconds == 0, 0, np.maximum(instants, 1))
