"""Random fleets and strategies, each run by the engine and by an independent event loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import plain_schedules
from event_loop import EventLoop, Faults, Row
from hypothesis import strategies as st
from world_runs import SECOND, Outcome, run, scenario, scripted

Strategy = tuple[dict[str, Any], Callable[..., None], tuple[Any, ...]]
"""The block of the scenario, the schedule of the event loop, and its arguments."""


@dataclass(frozen=True)
class Fleet:
    """Scripted clients: few, with small whole durations, so that most instants are ties."""

    seconds: list[list[int]]
    down: int
    up: int
    aggregation: int
    seed: int
    versions: int
    horizon: int
    faults: Faults

    @property
    def clients(self) -> int:
        return len(self.seconds)

    def legs(self, client: int, number: int) -> tuple[int, int, int]:
        script = self.seconds[client]
        compute = script[min(number, len(script) - 1)]
        # A drawn 0 takes the shortest time there is; a constant 0 takes none.
        return self.down * SECOND, max(1, compute * SECOND), self.up * SECOND

    def loop(self, *arguments: Any, **more: Any) -> EventLoop:
        """The event loop of these clients."""
        return EventLoop(*arguments, **more)

    def links_of_clients(self) -> dict[str, Any]:
        """What a scenario says of both directions, ``down`` and ``up``."""
        return {"down": self.down, "up": self.up}

    def expected(self, schedule: Callable[..., None], *arguments: Any) -> EventLoop:
        loop = self.loop(
            self.clients,
            self.legs,
            self.seed,
            versions=self.versions,
            horizon=self.horizon * SECOND,
            aggregation=self.aggregation * SECOND,
            faults=self.faults,
        )
        loop.run(schedule, *arguments)
        return loop

    def simulated(
        self,
        strategy: dict[str, Any],
        compute: dict[str, Any] | None = None,
        *,
        foresees: bool = True,
        **sections: Any,
    ) -> Outcome:
        return run(
            scenario(
                self.clients,
                strategy=strategy,
                compute=compute or scripted(self.seconds),
                **self.links_of_clients(),
                fleet={"faults": blocks(self.faults)},
                server={"aggregation_seconds": self.aggregation},
                stop={"versions": self.versions, "virtual_seconds": self.horizon},
                seed=self.seed,
                **sections,
            ),
            foresees=foresees,
        )


def blocks(faults: Faults) -> dict[str, Any]:
    """What a scenario says of them."""
    lost = {
        "probability": faults.loss,
        "retries": faults.retries,
        "timeout": faults.timeout / SECOND,
        "backoff": faults.backoff / SECOND,
    }
    twice = {"probability": faults.duplication, "delay": faults.copy_later / SECOND}
    return {
        "crash": faults.crash,
        "noticed_after": faults.noticed / SECOND,
        "upload_loss": lost if faults.loss else None,
        "corruption": {"probability": faults.corruption} if faults.corruption else None,
        "duplication": twice if faults.duplication else None,
    }


@st.composite
def faults(draw: st.DrawFn) -> Faults:
    """Most of them in whole seconds, for ties with deadlines and arrivals."""
    some = st.sampled_from([0, 0.3])
    return Faults(
        crash=draw(some),
        noticed=draw(st.sampled_from([0, 1, 2, 5])) * SECOND,
        loss=draw(some),
        retries=draw(st.sampled_from([0, 2])),
        timeout=draw(st.integers(1, 2)) * SECOND,
        backoff=draw(st.integers(0, 1)) * SECOND,
        corruption=draw(some),
        duplication=draw(some),
        copy_later=draw(st.integers(1, 3)) * SECOND,
    )


@st.composite
def fleets(draw: st.DrawFn, fastest: int = 0, aggregation: int = 1) -> Fleet:
    script = st.lists(st.integers(fastest, 4), min_size=1, max_size=4)
    # Only a law that is always 0 takes no time at all; it would make a run of no length.
    moving = st.lists(script, min_size=2, max_size=6).filter(lambda each: any(map(any, each)))
    return Fleet(
        draw(moving),
        down=draw(st.integers(0, 1)),
        up=draw(st.integers(0, 2)),
        aggregation=draw(st.integers(0, aggregation)),
        seed=draw(st.integers(0, 10_000)),
        versions=draw(st.integers(1, 15)),
        horizon=draw(st.sampled_from([5, 12, 40])),
        faults=draw(st.just(Faults()) | faults()),
    )


def digest_rows(outcome: Outcome) -> list[Row]:
    return [event[:7] for event in outcome.events if event.kind != "evaluated"]


def assert_equal(fleet: Fleet, strategy: Strategy) -> None:
    block, schedule, arguments = strategy
    expected = fleet.expected(schedule, *arguments).rows
    assert digest_rows(fleet.simulated(block)) == expected


def assert_steps(outcome: Outcome, loop: EventLoop) -> None:
    """A recalled task reports the steps that it had done."""
    steps = {(event.client, event.task): event.steps for event in outcome.of("computed")}
    for task in loop.recalled:
        assert steps[task.client, task.number] == task.steps


@st.composite
def synchronous(draw: st.DrawFn) -> tuple[Fleet, Strategy]:
    fleet = draw(fleets())
    m = draw(st.integers(1, fleet.clients))
    sent = draw(st.integers(m, fleet.clients))
    deadline = draw(st.none() | st.integers(1, 6))
    late = draw(st.sampled_from(["cancel", "discard"]))
    block = {"kind": "fedavg", "clients_per_round": m, "over_selection": (sent - m) / m}
    block |= {"deadline": deadline, "late": late}
    arguments = (m, sent, None if deadline is None else deadline * SECOND, late)
    return fleet, (block, plain_schedules.fedavg, arguments)


@st.composite
def immediate(draw: st.DrawFn) -> tuple[Fleet, Strategy]:
    fleet = draw(fleets())
    concurrency = draw(st.integers(1, fleet.clients))
    limit = draw(st.none() | st.integers(0, 3))
    block = {"kind": "fedasync", "concurrency": concurrency, "max_staleness": limit}
    if concurrency == fleet.clients and draw(st.booleans()):
        block["concurrency"] = "all"
    return fleet, (block, plain_schedules.fedasync, (concurrency, limit))


@st.composite
def buffered(draw: st.DrawFn) -> tuple[Fleet, Strategy]:
    fleet = draw(fleets())
    concurrency = draw(st.integers(1, fleet.clients))
    k = draw(st.integers(1, 5))
    block = {"kind": "fedbuff", "concurrency": concurrency, "buffer_size": k}
    return fleet, (block, plain_schedules.fedbuff, (concurrency, k))


@st.composite
def restarting(draw: st.DrawFn) -> tuple[Fleet, Strategy]:
    fleet = draw(fleets())
    workers = draw(st.integers(1, fleet.clients))
    r = draw(st.integers(1, 4))
    block = {"kind": "ringmaster", "concurrency": workers, "delay_threshold": r}
    return fleet, (block, plain_schedules.ringmaster, (workers, r))


@st.composite
def tiered(draw: st.DrawFn) -> tuple[Fleet, Strategy]:
    # Aggregations take no time here: tiers would aggregate at once, which the loop does not know.
    fleet = draw(fleets(aggregation=0))
    n = fleet.clients
    count = draw(st.integers(1, n))
    # What a script holds for ever is its mean.
    by_speed = sorted(range(n), key=lambda client: fleet.seconds[client][-1])
    tiers = [by_speed[n * t // count : n * (t + 1) // count] for t in range(count)]
    m = draw(st.integers(1, min(len(tier) for tier in tiers)))
    block = {"kind": "fedat", "tiers": count, "clients_per_round": m}
    return fleet, (block, plain_schedules.fedat, (tiers, m))
