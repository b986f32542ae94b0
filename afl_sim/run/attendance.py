"""Whether everyone will ever take part whom the server waits for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import strategy_of
from afl_sim.run.memory import clients_without_room
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.wording import exact
from afl_sim.streams import Streams
from afl_sim.world.availability.timelines import returns
from afl_sim.world.clients.attendance import attendance_of
from afl_sim.world.clients.grouping import grouping_of
from afl_sim.world.microseconds import CLOCK_END, MICROSECONDS
from afl_sim.world.shuffles import with_shuffles
from afl_sim.world.tasks.faults import Faults

Flags = npt.NDArray[np.bool_]


def check_attendance(scenario: Scenario, samples_of: Callable[[int], int]) -> None:
    """Refuse a run whose server waits for clients that never take part.

    Args:
        scenario: the run's.
        samples_of: gives the number of samples of a client.

    Raises:
        ScenarioError: the first version needs an update of every client, and there will be none.
    """
    for path, message in missing_clients(scenario, samples_of):
        raise ScenarioError(f"{'.'.join(path)}: {message}")


def missing_clients(scenario: Scenario, samples_of: Callable[[int], int]) -> Iterator[Problem]:
    """What `check_attendance` refuses, as (key path, message)."""
    strategy = strategy_of(scenario)
    if not strategy.waits_for_all:
        return
    without_room = clients_without_room(scenario, samples_of)
    small = np.zeros(scenario.clients.count, np.bool_) if without_room is None else without_room
    crashing = _always_crash(scenario)
    missing = small | crashing | _never_there(scenario)
    if not missing.any():
        return
    first = int(np.flatnonzero(missing)[0])
    end = scenario.stop.virtual_seconds
    if small[first]:
        why = "has too little memory (too_small: absent)"
    elif crashing[first]:
        why = "crashes in each of its tasks"
    else:
        why = "is never there" if end is None else f"is not there in the first {exact(end)} s"
    many = int(missing.sum())
    yield (
        ("strategy", "kind"),
        f"{strategy.kind} makes no version before every client has sent an update, but {many} of "
        f"{scenario.clients.count} clients never take{'s' if many == 1 else ''} part: client "
        f"{first} {why}; expected clients that all take part, or a strategy that does not wait for "
        "them",
    )


def _never_there(scenario: Scenario) -> Flags:
    """Which clients are not available at any time of the run, bool (clients,)."""
    clients = scenario.clients
    found = np.zeros(clients.count, dtype=np.bool_)
    availability = attendance_of(clients, Streams(scenario.seed))
    if availability is not None:
        end = scenario.stop.virtual_seconds
        end_us = CLOCK_END if end is None else min(math.ceil(end * MICROSECONDS), CLOCK_END)
        for client in range(clients.count):
            back = returns(availability, client, 0)
            found[client] = back is None or back >= end_us
    return found


def _always_crash(scenario: Scenario) -> Flags:
    """Which clients crash in each of their tasks, bool (clients,)."""
    clients, streams = scenario.clients, Streams(scenario.seed)
    grouping = grouping_of(with_shuffles(clients, streams, "clients"), streams)
    of = grouping.choose([Faults(part.clients.faults, streams) for part in grouping.parts])
    return np.array(
        [not of(each).from_us and of(each).always_crashes(each) for each in range(clients.count)]
    )
