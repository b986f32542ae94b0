"""Whatever the fleet and the strategy, no task is lost and the log tells a possible story."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_worlds import KINDS, RECALLING, late_crashes, outcome_of, worlds
from world_runs import SECOND, Event, Outcome

from afl_sim.run.summary import check_balance
from afl_sim.scenario import Scenario
from afl_sim.strategies import strategies
from afl_sim.strategies.methods.ringmaster import Ringmaster
from afl_sim.streams import Streams
from afl_sim.world.clients.attendance import attendance_of

# -- what holds in all of them -------------------------------------------------------------------

NO_STEP = ("lost", "corrupted", "duplicate", "queued", "started", "requested", "refreshed")
OF_NO_TASK = ("evaluated", "available", "unavailable", "paused", "resumed")
AT_THE_CLIENT = (
    *("downloaded", "queued", "started", "computed", "lost", "available", "unavailable"),
    *("requested", "refreshed"),
)
LEGS = ("dispatched", "downloaded", "computed", "arrived")
ENDS_IN_FLIGHT = ("cancelled", "failed")
ENDS_AT_THE_SERVER = ("aggregated", "discarded")


def tasks_of(events: list[Event]) -> dict[tuple[int, int], list[Event]]:
    tasks: dict[tuple[int, int], list[Event]] = defaultdict(list)
    for event in events:
        if event.kind not in OF_NO_TASK:
            tasks[event.client, event.task].append(event)
    return tasks


def check_time(outcome: Outcome, stop: Any) -> None:
    times = [event.time_us for event in outcome.events]
    assert times == sorted(times)
    versions = [event.version for event in outcome.events]
    assert versions == sorted(versions)
    horizon = stop.virtual_seconds * SECOND
    assert outcome.ending.time_us <= horizon
    assert all(time < horizon for time in times[:-1])
    assert versions[-1] <= stop.versions


def check_story(rows: list[Event], recalls: bool) -> None:
    """One task's rows: its legs in order, then one end at most."""
    kinds = [row.kind for row in rows if row.kind not in NO_STEP]
    legs = [kind for kind in kinds if kind in LEGS]
    ends = kinds[len(legs) :]
    assert kinds == legs + ends
    if legs != list(LEGS[: len(legs)]):
        # Who is recalled before the model has reached it has downloaded nothing.
        assert recalls
        assert legs == ["dispatched", *LEGS[2:][: len(legs) - 1]]
        assert rows[1].steps == 0
    assert len(ends) <= 1
    if ends:
        allowed = ENDS_AT_THE_SERVER if "arrived" in legs else ENDS_IN_FLIGHT
        assert ends[0] in allowed
    assert len({row.base_version for row in rows}) == 1
    assert rows[0].base_version == rows[0].version


def check_refresh(rows: list[Event], world: Scenario) -> None:
    """A client asks once, between two of its steps, and gets what is newer than its own model."""
    after = getattr(world.strategy, "request_after", None)
    kinds = [row.kind for row in rows]
    if "requested" not in kinds:
        assert "refreshed" not in kinds
        if after is not None and "computed" in kinds:  # it has one step, or was told to stop
            assert rows[0].steps < 2 or rows[kinds.index("computed")].steps < rows[0].steps
        return
    assert after is not None
    assert kinds.count("requested") == 1
    assert kinds[: kinds.index("requested")] == ["dispatched", "downloaded"]
    asked = rows[kinds.index("requested")]
    done = json.loads(asked.context or "")["steps_done"]
    steps = rows[0].steps
    assert done == min(max(1, round(after * steps)), steps - 1)
    if "computed" in kinds:
        assert kinds.index("computed") == kinds.index("refreshed") + 1
        assert rows[kinds.index("computed")].steps >= done
    if "refreshed" in kinds:
        assert kinds.index("refreshed") == kinds.index("requested") + 1
        got = rows[kinds.index("refreshed")]
        fresh = None if got.context is None else json.loads(got.context).get("fresh_version")
        assert (fresh is not None) == (got.bytes > 0)
        if fresh is not None:
            assert got.base_version < fresh <= got.version
            if world.server.pauses is None:
                assert fresh == asked.version
        else:  # nothing is newer, or the client was told to send what it has
            told = rows[-1].steps == done and got.time_us == rows[kinds.index("computed")].time_us
            assert asked.version == asked.base_version or told or world.server.pauses


def check_places(events: list[Event], polled: bool) -> None:
    """A client works on one task at a time; if it is polled, the next begins during the upload."""
    ends = ("computed" if polled else "arrived", "cancelled", "failed")
    at_work: dict[int, int] = {}
    for event in events:
        if event.kind == "dispatched":
            assert event.client not in at_work
            at_work[event.client] = event.task
        elif event.kind in ends and (at_work.get(event.client) == event.task or not polled):
            assert at_work.pop(event.client) == event.task


def check_queues(events: list[Event], world: Scenario) -> None:
    """A client computes one task at a time, first in, first out."""
    if world.server.pauses is not None:
        return  # a server that is down hears later of a task that has made way for another
    at_work: dict[int, int] = {}
    queues: dict[int, list[int]] = defaultdict(list)
    for event, after in pairwise([*events, None]):
        assert event is not None
        client, task = event.client, event.task
        if event.kind == "downloaded" and (after is None or after.kind != "queued"):
            assert client not in at_work
            at_work[client] = task
        elif event.kind == "queued":
            assert client in at_work
            queues[client].append(task)
        elif event.kind == "started":
            assert client not in at_work
            assert queues[client].pop(0) == task
            at_work[client] = task
        elif event.kind in ("computed", "cancelled", "failed"):
            if at_work.get(client) == task:
                del at_work[client]
            elif task in queues[client]:
                queues[client].remove(task)


def check_presence(outcome: Outcome, world: Scenario) -> None:
    """Whoever is sent a task is there; without faults, what fails does as its client leaves."""
    faults = world.clients.faults
    availability = attendance_of(world.clients, Streams(world.seed))
    faultless = faults.crash.constant == 0 and faults.upload_loss is None
    prompt = faultless and world.server.pauses is None
    if faultless and (availability is None or world.clients.availability.on_leave == "finish"):
        assert not outcome.of("failed")
    if availability is None:
        assert not outcome.of("available", "unavailable")
        return
    for event in outcome.of("dispatched", "available"):
        assert availability.state(event.client, event.time_us)[0]
    for event in outcome.of("unavailable"):
        assert not availability.state(event.client, event.time_us)[0]
    if not prompt:
        return
    left: dict[int, int] = {}
    for event in outcome.events:
        if event.kind == "unavailable":
            left[event.client] = event.time_us
        elif event.kind == "failed":
            assert left[event.client] == event.time_us


def check_pauses(outcome: Outcome) -> None:
    """A server that is down does nothing."""
    down = False
    for event in outcome.events:
        if event.kind in ("paused", "resumed"):
            assert down == (event.kind == "resumed")
            down = event.kind == "paused"
        elif down:
            assert event.kind in AT_THE_CLIENT or event.kind == "evaluated"


def check_faults(tasks: dict[tuple[int, int], list[Event]], world: Scenario, recalls: bool) -> None:
    """What goes wrong is what was drawn at the task's address."""
    faults, streams = world.clients.faults, Streams(world.seed)
    noticed = (faults.noticed_after or 0) * SECOND
    stays = world.clients.availability.on_leave == "finish" or (
        attendance_of(world.clients, streams) is None
    )
    for (client, task), rows in tasks.items():
        kinds = [row.kind for row in rows]
        crashes = (
            rows[0].time_us >= faults.crash_from * SECOND
            and streams.uniform("faults.crash", client, task) < faults.crash.constant
        )
        if crashes and not recalls and world.clients.availability.on_leave != "partial":
            assert not {"computed", "arrived"} & set(kinds)
            if stays and "failed" in kinds:
                assert rows[kinds.index("failed")].time_us >= rows[0].time_us + noticed
        lost, attempts = kinds.count("lost"), 0
        if faults.upload_loss is not None:
            u = streams.uniform("faults.upload_loss", client, task)
            attempts = next(k for k in range(99) if u >= faults.upload_loss.probability ** (k + 1))
            assert lost <= min(attempts, faults.upload_loss.retries + 1)
        if "arrived" in kinds:
            assert lost == attempts
        corrupt = faults.corruption is not None and (
            streams.uniform("faults.corruption", client, task) < faults.corruption.probability
        )
        assert ("corrupted" in kinds) == (corrupt and "arrived" in kinds)
        assert kinds.count("duplicate") <= ("arrived" in kinds)
        if faults.duplication is not None and "duplicate" in kinds:
            u = streams.uniform("faults.duplication", client, task)
            assert u < faults.duplication.probability


def check_conservation(outcome: Outcome) -> None:
    counts = outcome.server.counts
    check_balance(counts)
    rows = Counter(event.kind for event in outcome.events)
    assert counts.dispatched == rows["dispatched"]
    assert counts.arrived == rows["arrived"]
    assert counts.aggregated == rows["aggregated"]
    assert counts.discarded == rows["discarded"]
    assert counts.cancelled == rows["cancelled"]
    assert counts.failed == rows["failed"]
    in_flight = counts.dispatched - counts.arrived - counts.failed - counts.cancelled
    buffered = counts.arrived - counts.aggregated - counts.discarded
    assert counts.in_flight == in_flight == len(outcome.server.under_way)
    assert counts.buffered == buffered >= 0
    aggregated = outcome.of("aggregated")
    assert counts.samples == sum(event.samples for event in aggregated)
    assert counts.staleness == Counter(event.staleness for event in aggregated)


def test_worlds_are_drawn_of_every_strategy() -> None:
    assert sorted(KINDS) == sorted(strategies())


def check_books(world: Scenario) -> None:
    """All of it."""
    outcome = outcome_of(world)
    kind = world.strategy.kind  # type: ignore[attr-defined]
    check_time(outcome, world.stop)
    check_conservation(outcome)
    tasks = tasks_of(outcome.events)
    for rows in tasks.values():
        check_story(rows, recalls=kind in RECALLING)
        check_refresh(rows, world)
    check_faults(tasks, world, recalls=kind in RECALLING)
    sent = Counter(client for client, _ in tasks)
    assert sent.keys() <= set(range(world.clients.count))
    assert set(tasks) == {(client, task) for client in sent for task in range(sent[client])}
    for event in outcome.events:
        if event.kind == "aggregated":
            assert event.staleness == event.version - 1 - event.base_version >= 0
        else:
            assert event.staleness == -1
    if world.clients.queue == "fifo" or world.strategy.queues_at_clients:
        check_queues(outcome.events, world)
    else:
        check_places(outcome.events, polled=kind == "quafl")
        assert not outcome.of("queued", "started")
    check_presence(outcome, world)
    check_pauses(outcome)


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_every_world_keeps_its_books(world: Scenario) -> None:
    check_books(world)


@pytest.mark.parametrize("kind", RECALLING)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_books_are_kept_where_crashes_are_noticed_late(kind: str, data: st.DataObject) -> None:
    check_books(data.draw(worlds([kind], late_crashes)))


@settings(max_examples=150, deadline=None)
@given(worlds(["fedasmu"]))
def test_books_are_kept_where_clients_ask_for_newer_models(world: Scenario) -> None:
    check_books(world)


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_a_world_runs_the_same_way_twice_and_a_longer_run_begins_like_it(world: Scenario) -> None:
    first, second = outcome_of(world), outcome_of(world)
    assert first.schedule_digest == second.schedule_digest
    assert first.events == second.events
    assert first.ending == second.ending

    later = type(world.stop)(
        virtual_seconds=world.stop.virtual_seconds + 2, versions=world.stop.versions + 5
    )
    longer = outcome_of(world.model_copy(update={"stop": later}))
    some, more = (
        [event for event in outcome.events if event.kind != "evaluated"]
        for outcome in (first, longer)
    )
    assert more[: len(some)] == some


@settings(max_examples=100, deadline=None)
@given(worlds())
def test_ringmaster_never_applies_a_delay_of_its_threshold(world: Scenario) -> None:
    outcome = outcome_of(world.model_copy(update={"strategy": Ringmaster(delay_threshold=3)}))
    assert all(event.staleness < 3 for event in outcome.of("aggregated"))
