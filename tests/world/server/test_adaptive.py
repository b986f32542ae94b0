"""A server whose concurrency and buffer follow a controller: what is sent, used and logged when."""

from __future__ import annotations

import json
from typing import Any

import pytest
from own_rules import Follows
from world_runs import MODEL_BYTES, Outcome, run, scenario

from afl_sim.errors import OwnRuleError

S = [1.0] * 6


def world(
    adaptive: Any, durations: Any = S, strategy: dict[str, Any] | None = None, **more: Any
) -> Outcome:
    block = strategy or {"kind": "fedasync", "concurrency": 2}
    server = {**more.pop("server", {}), "adaptive": adaptive}
    more.setdefault("stop", {"virtual_seconds": 5})
    return run(scenario(durations, strategy=block, server=server, **more))


def sent(outcome: Outcome) -> list[float]:
    """When tasks were sent (seconds)."""
    return [time for time, _, _ in outcome.story("dispatched")]


def changes(outcome: Outcome) -> list[tuple[float, dict[str, int]]]:
    return [(row.time_us / 1e6, json.loads(row.context or "")) for row in outcome.of("adapted")]


def test_more_clients_are_sent_a_task_when_the_concurrency_rises() -> None:
    outcome = world(Follows(every=2, concurrency=(4,)))
    # Two updates arrive at 1 s. The second makes the decision, and is followed by three tasks.
    assert sent(outcome) == [0, 0, *[1] * 4, *[2] * 4, *[3] * 4, *[4] * 4]
    assert changes(outcome) == [(1, {"concurrency": 4})]


def test_clients_are_not_replaced_when_the_concurrency_falls() -> None:
    strategy = {"kind": "fedasync", "concurrency": 4}
    outcome = world(Follows(every=3, concurrency=(1, 2)), strategy=strategy)
    # The third update at 1 s makes the decision: it, the fourth, and the first at 2 s have no
    # successor. The second at 2 s makes the next decision, and is followed by two tasks.
    assert sent(outcome) == [*[0] * 4, *[1] * 2, *[2] * 2, *[3] * 2, *[4] * 2]
    assert changes(outcome) == [(1, {"concurrency": 1}), (2, {"concurrency": 2})]


def test_a_buffer_has_the_size_that_is_in_force_when_it_begins() -> None:
    strategy = {"kind": "fedbuff", "concurrency": 1, "buffer_size": 1}
    outcome = world(
        Follows(every=1, buffer_size=(2, 3, None)), strategy=strategy, stop={"versions": 4}
    )
    rows = [(row.time_us / 1e6, row.version) for row in outcome.of("aggregated")]
    assert rows == [(1, 1), *[(3, 2)] * 2, *[(6, 3)] * 3, *[(9, 4)] * 3]
    sizes = {row.version: json.loads(row.context or "") for row in outcome.of("aggregated")}
    assert [sizes[version]["buffer_size"] for version in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert sizes[4]["concurrency"] == 1


def most_in_flight(outcome: Outcome, begin: int) -> list[tuple[int, int]]:
    """At each dispatch the tasks in flight, and the concurrency in force."""
    found, in_flight, limit = [], 0, begin
    for row in outcome.events:
        if row.kind == "adapted":
            limit = json.loads(row.context or "")["concurrency"]
        in_flight += (row.kind == "dispatched") - (row.kind in ("arrived", "failed", "cancelled"))
        if row.kind == "dispatched":
            found.append((in_flight, limit))
    return found


def test_a_task_that_fails_has_no_successor_while_there_are_too_many() -> None:
    strategy = {"kind": "fedasync", "concurrency": 5}
    fleet = {"faults": {"crash": 0.8, "noticed_after": 0.25}}
    outcome = world(
        Follows(every=1, concurrency=(1,)),
        [1, 4, 5, 6, 7, 8],
        strategy,
        fleet=fleet,
        stop={"virtual_seconds": 60},
    )
    found = most_in_flight(outcome, 5)
    assert all(in_flight <= limit for in_flight, limit in found)
    decided = outcome.of("adapted")[0].time_us
    sent_later = [row.time_us for row in outcome.of("dispatched") if row.time_us > decided]
    ended = [row.time_us for row in outcome.of("failed") if row.time_us > decided]
    assert ended[0] < sent_later[0]  # it failed when there were too many
    assert found[-1] == (1, 1)


def test_tasks_that_wait_for_their_client_are_taken_back() -> None:
    # Only client 0 is there at once; clients 1 and 2 come after 10 s.
    fleet = {"availability": {"kind": "always", "joins": {"values": [0, 10, 10]}}}
    strategy = {"kind": "fedasync", "concurrency": 3}
    stays = world(Follows(every=1), [1, 1, 1], strategy, fleet=fleet, stop={"virtual_seconds": 15})
    assert max(in_flight for in_flight, _ in most_in_flight(stays, 3)) == 3
    falls = world(
        Follows(every=1, concurrency=(1,)),
        [1, 1, 1],
        strategy,
        fleet=fleet,
        stop={"virtual_seconds": 15},
    )
    assert [in_flight for in_flight, _ in most_in_flight(falls, 3)] == [1] * 15


def test_the_controller_knows_what_happened_since_its_last_decision() -> None:
    seen: list[Any] = []

    class Watches(Follows):
        def decide(self, observation: Any) -> Any:
            seen.append(observation)
            return super().decide(observation)

    upload = {"kind": "fifo", "bandwidth": MODEL_BYTES}  # so that an upload takes 1 s
    strategy = {"kind": "fedbuff", "concurrency": 2, "buffer_size": 2}
    world(Watches(every=2), [1, 1, 1], strategy, server={"upload": upload}, stop={"versions": 3})
    first, second = seen[:2]
    # Both compute until 1 s. One uploads from 1 to 2 s, the other from 2 to 3 s.
    assert (first.number, first.now, first.seconds, first.version) == (0, 3.0, 3.0, 1)
    assert first.staleness == {0: 2}
    assert (first.arrived, first.lost, first.task_seconds) == (2, 0, 2.5)
    assert first.utilisation == {"aggregation": 0.0, "upload": 2 / 3}
    assert first.queue == {"upload": 1.0}
    assert (first.concurrency, first.buffer_size, first.clients) == (2, 2, 3)
    assert second.memory == {"decisions": 1}
    assert second.number == 1
    assert second.seconds == second.now - 3


def test_an_aggregation_that_takes_time_counts_as_busy() -> None:
    seen: list[Any] = []

    class Watches(Follows):
        def decide(self, observation: Any) -> Any:
            seen.append(observation)
            return super().decide(observation)

    strategy = {"kind": "fedasync", "concurrency": 1}
    world(Watches(every=1), [1, 1], strategy, server={"aggregation_seconds": 3})
    assert seen[0].utilisation == {"aggregation": 0.75}  # 3 of the first 4 s


def test_settings_with_which_the_strategy_cannot_work_end_the_run() -> None:
    strategy = {"kind": "port", "concurrency": 3, "buffer_size": 2}
    with pytest.raises(OwnRuleError, match=r"changed concurrency to 1, with which strategy port"):
        world(Follows(every=1, concurrency=(1,)), strategy=strategy)


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2, "replacement": "before_step"},
        {"kind": "fedbuff", "concurrency": "all", "buffer_size": 2},
        {"kind": "fadas", "concurrency": 3, "buffer_size": 2},
        {"kind": "ca2fl", "concurrency": 3, "buffer_size": 2},
        {"kind": "fedasync", "concurrency": 3},
        {"kind": "fedfa", "concurrency": 3},
        {"kind": "port", "concurrency": 3, "buffer_size": 2, "staleness_bound": 1},
        {"kind": "area", "buffer_size": 2},
    ],
)
def test_a_controller_that_changes_nothing_leaves_the_schedule_as_it_is(
    strategy: dict[str, Any],
) -> None:
    durations = [[1, 2], 2, 3, [7, 1], 5]
    stop = {"virtual_seconds": 60}
    fixed = run(scenario(durations, strategy=strategy, stop=stop))
    adaptive = world(Follows(every=1), durations, strategy, stop=stop)
    assert adaptive.schedule_digest == fixed.schedule_digest
    assert not adaptive.of("adapted")
