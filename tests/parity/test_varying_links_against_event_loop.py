"""Links whose bandwidth changes in time, in the engine and in the independent event loop.

The loop asks how long a transfer takes at the instant at which it begins, and walks the trace from
there in fractions; the engine plans all legs when a task is sent, and plans again what begins late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import plain_schedules
import pytest
from event_loop import EventLoop, Task
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_cases import (
    Fleet,
    Strategy,
    assert_equal,
    buffered,
    digest_rows,
    fleets,
    immediate,
    restarting,
    synchronous,
)
from world_runs import MODEL_BYTES, SECOND

Pieces = list[tuple[int, int]]
"""How long each bandwidth lasts, in seconds, and the bandwidth in bytes per second."""

_files = count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("links")


class VaryingLoop(EventLoop):
    """The event loop, with transfers whose time depends on when they begin."""

    links: list[Pieces]
    latencies: tuple[int, int]

    def duration(self, task: Task) -> int:
        if task.leg == 1:
            return super().duration(task)
        latency = self.latencies[task.leg // 2]
        pieces = self.links[task.client]
        period = sum(length for length, _ in pieces)
        now = Fraction(self.now, SECOND) + latency
        left = Fraction(MODEL_BYTES)
        place = now % period
        while left:
            for length, rate in pieces:
                if place >= length:
                    place -= length
                    continue
                stay = length - place
                if rate * stay >= left:
                    now += left / rate
                    left = Fraction(0)
                    break
                left -= rate * stay
                now += stay
                place = Fraction(0)
        return round(now * SECOND) - self.now


@dataclass(frozen=True)
class VaryingFleet(Fleet):
    """Clients each of which has a link of its own, the same in both directions."""

    links: list[Pieces]
    folder: Path

    def loop(self, *arguments: Any, **more: Any) -> EventLoop:
        loop = VaryingLoop(*arguments, **more)
        loop.links, loop.latencies = self.links, (self.down, self.up)
        return loop

    def links_of_clients(self) -> dict[str, Any]:
        file = self.folder / f"{next(_files)}.csv"
        rows = ["client,start,end,bandwidth"]
        for client, pieces in enumerate(self.links):
            at = 0
            for length, rate in pieces:
                rows.append(f"{client},{at},{at + length},{rate}")
                at += length
        file.write_text("\n".join(rows) + "\n")
        trace = {"trace": str(file), "by": "client"}
        return {
            "down": {"latency": self.down, "bandwidth_trace": trace},
            "up": {"latency": self.up, "bandwidth_trace": trace},
        }


# With these no transfer ends in the middle between two microseconds: the engine counts amounts in
# units that it rounds up, so that such an end may be the later of the two.
rates = st.sampled_from([0, MODEL_BYTES, 3 * MODEL_BYTES, 9 * MODEL_BYTES])
links = st.lists(st.tuples(st.integers(1, 3), rates), min_size=1, max_size=4).filter(
    lambda pieces: any(rate for _, rate in pieces)
)


def varying(fleet: Fleet, data: st.DataObject, folder: Path) -> VaryingFleet:
    """The fleet, with links that change in time."""
    known = {field.name: getattr(fleet, field.name) for field in fields(Fleet)}
    own = data.draw(st.lists(links, min_size=fleet.clients, max_size=fleet.clients))
    return VaryingFleet(**known, links=own, folder=folder)


@pytest.mark.parametrize("kind", [synchronous, immediate, buffered, restarting])
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_schedules_over_links_that_change_in_time(
    folder: Path, kind: Callable[[], st.SearchStrategy[tuple[Fleet, Strategy]]], data: st.DataObject
) -> None:
    fleet, strategy = data.draw(kind())
    assert_equal(varying(fleet, data, folder), strategy)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_polls_over_links_that_change_in_time(folder: Path, data: st.DataObject) -> None:
    fleet = varying(data.draw(fleets(fastest=1)), data, folder)
    s = data.draw(st.integers(1, fleet.clients))
    limit = data.draw(st.integers(1, 4))
    waiting, interaction = data.draw(st.integers(0, 2)), data.draw(st.integers(1, 3))
    block = {"kind": "quafl", "clients_per_round": s, "local_steps": limit}
    block |= {"wait_seconds": waiting, "interaction_seconds": interaction}
    loop = fleet.expected(plain_schedules.quafl, s, limit, (waiting + interaction) * SECOND)
    assert digest_rows(fleet.simulated(block)) == loop.rows
