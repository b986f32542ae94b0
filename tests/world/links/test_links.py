"""Transfers that contend for the server's links, and transfers that are lost on the clients'."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.errors import AflSimError
from afl_sim.streams import Streams
from afl_sim.world.links.contended import SharedLink
from afl_sim.world.links.usage import LinkUse, Usage
from afl_sim.world.tasks.task import Task

Schedule = Iterator[Any]


def fifo(seconds: float, slots: int = 1, **more: Any) -> dict[str, Any]:
    """A link on which a model takes this long."""
    return {"kind": "fifo", "slots": slots, "bandwidth": MODEL_BYTES / seconds, **more}


def shared(seconds: float, **more: Any) -> dict[str, Any]:
    return {"kind": "shared", "bandwidth": MODEL_BYTES / seconds, **more}


def everyone(server: Any) -> Schedule:
    yield server.wait(server.dispatch_many(range(server.clients)))


def arrivals(outcome: Outcome) -> list[tuple[float, int]]:
    return [(event.time_us / SECOND, event.client) for event in outcome.of("arrived")]


# -- the server's links --------------------------------------------------------------------------


def test_an_uncontended_server_link_adds_the_time_of_its_bytes() -> None:
    link = {"kind": "uncontended", "bandwidth": MODEL_BYTES / 2}
    settings = scenario([1, 1], up=3, server={"upload": link, "download": link})
    assert arrivals(run(settings, everyone)) == [(8, 0), (8, 1)]


def test_a_fifo_link_serves_one_upload_after_the_other() -> None:
    outcome = run(scenario([1, 2, 6], server={"upload": fifo(2)}), everyone)
    assert arrivals(outcome) == [(3, 0), (5, 1), (8, 2)]


def test_a_fifo_link_serves_as_many_at_a_time_as_it_has_slots() -> None:
    outcome = run(scenario([1, 1, 1, 2, 9], server={"upload": fifo(2, slots=2)}), everyone)
    assert arrivals(outcome) == [(3, 0), (3, 1), (5, 2), (5, 3), (11, 4)]


def test_downloads_contend_before_they_take_the_clients_own_paths() -> None:
    settings = scenario([1, 1, 1], down={"values": [5, 1, 0.5]}, server={"download": fifo(1)})
    outcome = run(settings, everyone)
    assert outcome.story("downloaded") == [
        (3, "downloaded", 1),
        (3.5, "downloaded", 2),
        (6, "downloaded", 0),
    ]


def test_a_shared_link_gives_each_transfer_an_equal_part() -> None:
    # Alone from 1 to 2, the first has half its work done; then both go at half the rate.
    outcome = run(scenario([1, 2], server={"upload": shared(2)}), everyone)
    assert arrivals(outcome) == [(4, 0), (5, 1)]


def test_equal_transfers_that_begin_together_end_together() -> None:
    outcome = run(scenario([1, 1, 1, 1, 1, 1, 1], server={"upload": shared(1)}), everyone)
    assert arrivals(outcome) == [(8, client) for client in range(7)]


def test_work_on_the_server_s_link_can_vary() -> None:
    jitter = {"sequence": [1, 3]}

    def twice(server: Any) -> Schedule:
        for _ in range(2):
            yield server.wait(server.dispatch_many([0, 1]))

    outcome = run(scenario([1, 1], server={"upload": fifo(2, jitter=jitter)}), twice)
    assert arrivals(outcome) == [(3, 0), (5, 1), (12, 0), (18, 1)]


@pytest.mark.parametrize("kind", [fifo, shared])
def test_the_draws_of_the_server_s_link_have_their_address(kind: Any) -> None:
    link = kind(2, jitter={"dist": "expon"})
    outcome = run(scenario([0, 30], server={"upload": link}, seed=8), everyone)
    for client, began in enumerate([0, 30]):
        work = -2 * math.log1p(-Streams(8).uniform("server.upload.jitter", client, 0))
        assert outcome.of("arrived")[client].time_us / SECOND == pytest.approx(began + work)


# -- giving up on a link -------------------------------------------------------------------------


def cancelling(client: int, seconds: float) -> Any:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many(range(server.clients))
        yield server.sleep(seconds)
        server.cancel(tasks[client])
        yield server.wait(tasks)

    return schedule


@pytest.mark.parametrize(
    ("client", "seconds", "expected"),
    [
        (0, 0.5, [(3, 1), (5, 2)]),  # still computes: was not on the link
        (0, 2, [(4, 1), (6, 2)]),  # is served: its slot is free at once
        (1, 2, [(3, 0), (5, 2)]),  # waits in line
        (2, 1.5, [(3, 0), (5, 1)]),  # waits at the end of the line
    ],
)
def test_a_task_cancelled_on_a_fifo_link_makes_way(
    client: int, seconds: float, expected: list[tuple[float, int]]
) -> None:
    outcome = run(scenario([1, 1, 1], server={"upload": fifo(2)}), cancelling(client, seconds))
    assert arrivals(outcome) == expected
    assert outcome.server.counts.cancelled == 1
    assert outcome.server.idle == 3


def test_a_task_cancelled_on_a_shared_link_frees_its_share() -> None:
    # Three from 0 at a third; at 1.5 each has 0.5 done and 1.5 to go, at a half each.
    outcome = run(scenario([0, 0, 0], server={"upload": shared(2)}), cancelling(1, 1.5))
    assert arrivals(outcome) == [(4.5, 0), (4.5, 2)]


def test_a_task_cancelled_at_the_instant_of_its_end_has_arrived() -> None:
    for kind in (fifo, shared):
        outcome = run(scenario([1], server={"upload": kind(2)}), cancelling(0, 3))
        assert [event.kind for event in outcome.events[-3:-1]] == ["arrived", "discarded"]


@pytest.mark.parametrize(("kind", "ends"), [(fifo, [3, 5]), (shared, [5.5, 5.5])])
def test_who_is_recalled_while_a_model_waits_to_be_sent_makes_way(
    kind: Any, ends: list[float]
) -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1, 2])
        yield server.sleep(1.5)
        server.recall(tasks[1])
        arrived = yield server.wait(tasks[1:2])
        assert (server.now, arrived[0].steps) == (1.5, 0)
        yield server.sleep(8)

    # In line: client 0 is served from 0 to 2, client 2 then. Shared: as above, and 1 s computed.
    outcome = run(scenario([1, 1, 1], server={"download": kind(2)}), schedule)
    assert [time for time, client in arrivals(outcome) if client != 1] == ends


# -- a shared link, exactly ----------------------------------------------------------------------


def fluid(jobs: list[tuple[int, int, int | None]]) -> dict[int, int]:
    """Processor sharing by its definition, in fractions: job -> the microsecond of its end.

    ``jobs`` are (begin, work, withdrawn at or None), in microseconds.
    """
    ends: dict[int, int] = {}
    left = {i: Fraction(work) for i, (_, work, _) in enumerate(jobs)}
    time = Fraction(0)
    while left:
        there = [i for i in left if jobs[i][0] <= time]
        changes = [Fraction(jobs[i][0]) for i in left if jobs[i][0] > time]
        changes += [Fraction(gone) for i in there if (gone := jobs[i][2]) is not None]
        changes += [time + min(left[i] for i in there) * len(there)] if there else []
        then = min(changes)
        for i in there:
            left[i] -= (then - time) / len(there)
        time = then
        for i in there:
            if left[i] == 0:
                ends[i] = math.ceil(time)
                del left[i]
            elif jobs[i][2] == time:
                del left[i]
    return ends


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(1, 40), st.none() | st.integers(1, 80)),
        min_size=1,
        max_size=12,
    )
)
def test_a_shared_link_is_processor_sharing_to_the_microsecond(
    jobs: list[tuple[int, int, int | None]],
) -> None:
    jobs = [(begin, work, gone if gone and gone > begin else None) for begin, work, gone in jobs]
    env = simpy.Environment(initial_time=0)
    link = SharedLink(env)
    ends: dict[int, int] = {}

    def one(i: int, begin: int, work: int, gone: int | None) -> Any:
        yield env.timeout(begin)
        task = Task(i, 0, 0, 1, 1, begin)
        transfer = link.send(task, work, lambda task: ends.setdefault(task.client, int(env.now)))
        if gone is not None:
            yield env.timeout(gone - begin)
            # An end in this very microsecond comes first, as the clock's order has it.
            yield env.timeout(0)
            link.withdraw(transfer)

    for i, (begin, work, gone) in enumerate(jobs):
        env.process(one(i, begin, work, gone))
    env.run()
    assert ends == fluid(jobs)


def test_rounding_does_not_add_up_on_a_shared_link() -> None:
    # Three transfers of 1 us begun every microsecond would be rounded a million times.
    env = simpy.Environment(initial_time=0)
    link = SharedLink(env)
    ends: list[int] = []

    def feed() -> Any:
        link.send(Task(0, 0, 0, 1, 1, 0), 10_000_000, lambda _: ends.append(int(env.now)))
        for _ in range(3000):
            link.send(Task(0, 0, 0, 1, 1, 0), 7, lambda _: None)
            link.send(Task(0, 0, 0, 1, 1, 0), 5, lambda _: None)
            yield env.timeout(100)

    env.process(feed())
    env.run()
    # All work is done without a pause, and the long transfer is the last to end.
    assert ends == [10_000_000 + 3000 * 12]


# -- the clients' own links ----------------------------------------------------------------------


def test_jitter_is_drawn_for_each_transfer() -> None:
    def twice(server: Any) -> Schedule:
        for _ in range(2):
            yield server.wait(server.dispatch_many([0]))

    link = {"latency": 1, "bandwidth": MODEL_BYTES, "jitter": {"sequence": [1, 2.5]}}
    outcome = run(scenario([0], up=link), twice)
    assert arrivals(outcome) == [(2, 0), (7, 0)]


def test_a_lost_transfer_is_repeated_with_its_time_and_bytes() -> None:
    link = {"latency": 1, "loss": 0.5}
    outcome = run(scenario([0] * 40, down=link, up=link, seed=5), everyone)
    for name, kind, begins in (
        ("download", "downloaded", "dispatched"),
        ("upload", "arrived", "computed"),
    ):
        began = {event.client: event.time_us for event in outcome.of(begins)}
        seen = set()
        for event in outcome.of(kind):
            u = Streams(5).uniform(f"network.{name}.loss", event.client, 0)
            attempts = 1 + sum(u < 0.5**k for k in range(1, 60))
            assert event.time_us - began[event.client] == attempts * SECOND
            assert event.bytes == attempts * MODEL_BYTES
            seen.add(attempts)
        assert {1, 2, 3} <= seen


def test_bytes_are_repeated_where_transfers_take_no_time() -> None:
    outcome = run(scenario([1] * 40, up={"loss": 0.9}), everyone)
    assert {event.time_us for event in outcome.of("arrived")} == {SECOND}
    assert len({event.bytes for event in outcome.of("arrived")}) > 10


def test_a_profile_expects_the_mean_of_jitter_and_losses() -> None:
    up = {"latency": 2, "jitter": {"dist": "uniform", "scale": 3}, "loss": 0.75}

    def schedule(server: Any) -> Schedule:
        assert server.expected_seconds(0) == pytest.approx(1 + 2 * 1.5 * 4 + 5 * 2)
        yield server.sleep(1)

    link = shared(5, jitter={"dist": "expon", "scale": 2})
    run(scenario([1], up=up, server={"upload": link}), schedule)


# -- Little's law --------------------------------------------------------------------------------


def use(outcome: Outcome, name: str = "upload") -> LinkUse:
    return outcome.world.link_uses(outcome.ending.time_us)[name]


def test_a_fifo_link_tells_what_it_was_used_for() -> None:
    settings = scenario([1, 2, 6], server={"upload": fifo(2)}, stop={"virtual_seconds": 10})
    found = use(run(settings, everyone))
    # Uploads of 1-3, 2-5 (waiting for 1 s) and 6-8.
    assert found == LinkUse(10 * SECOND, 3, 7 * SECOND, 7 * SECOND, 6 * SECOND)
    figures = found.as_dict()
    assert figures == pytest.approx(
        {
            "transfers": 3,
            "mean_present": 0.7,
            "per_second": 0.3,
            "mean_seconds": 7 / 3,
            "utilisation": 0.6,
        }
    )


def test_what_is_on_a_link_at_the_end_counts_until_then() -> None:
    settings = scenario([1, 2], server={"upload": shared(2)}, stop={"virtual_seconds": 4.5})
    found = use(run(settings, everyone))  # 1-4, and 2-5 of which half a second is to come
    assert found == LinkUse(4_500_000, 2, 5_500_000, 5_500_000, 3_500_000)
    begun = scenario([1, 2], server={"upload": fifo(2, slots=2)}, stop={"virtual_seconds": 2.5})
    assert use(run(begun, everyone)) == LinkUse(2_500_000, 2, 2_000_000, 2_000_000, 1_000_000)


def test_who_leaves_the_line_has_been_there() -> None:
    def withdraw(server: Any) -> Schedule:
        first, second, _ = server.dispatch_many(range(3))
        yield server.sleep(3)
        server.cancel(second)  # which waited from 1 to 3
        server.cancel(first)  # which was being served
        yield server.aggregate([(yield server.arrival())])

    for link, spent in ((fifo(5), 2 + 2 + 7), (shared(5), 2 + 2 + 2 + 13 / 3)):
        settings = scenario([1, 1, 1], server={"upload": link}, stop={"updates": 1})
        found = use(run(settings, withdraw))
        assert found.transfers == 3
        assert found.present_us == found.spent_us == math.ceil(spent * SECOND)


def test_a_link_that_nobody_used_has_no_mean_time() -> None:
    settings = scenario([9], server={"upload": fifo(5)}, stop={"virtual_seconds": 1})
    outcome = run(settings, everyone)
    figures = use(outcome).as_dict()
    assert (figures["mean_present"], figures["mean_seconds"]) == (0, None)
    assert outcome.world.link_uses(1).keys() == {"upload"}  # the other is not contended
    assert LinkUse(0, 0, 0, 0, 0).as_dict()["utilisation"] is None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["fifo", "shared"]),
    st.integers(1, 6),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_use_is_what_the_log_says(kind: str, clients: int, slots: int, seed: int) -> None:
    """L and lambda W from the log's rows, where a client's own uplink takes no time."""
    link = {"kind": kind, "bandwidth": 2 * MODEL_BYTES, "jitter": {"dist": "expon"}}
    settings = scenario(
        clients,
        strategy={"kind": "fedbuff", "concurrency": "all", "buffer_size": 2},
        compute={"seconds_per_task": {"dist": "expon", "scale": 2}, "jitter": {"dist": "expon"}},
        server={"upload": link | ({"slots": slots} if kind == "fifo" else {})},
        stop={"virtual_seconds": 40},
        seed=seed,
    )
    outcome = run(settings)
    found, end = use(outcome), outcome.ending.time_us
    came = {(row.client, row.task): row.time_us for row in outcome.of("computed")}
    left = {(row.client, row.task): row.time_us for row in outcome.of("arrived")}
    assert found.transfers == len(came)
    assert found.spent_us == sum(left.get(task, end) - since for task, since in came.items())
    present = before = area = 0
    for row in outcome.of("computed", "arrived"):
        area += present * (row.time_us - before)
        present, before = present + (1 if row.kind == "computed" else -1), row.time_us
    assert found.present_us == area + present * (end - before)
    assert 0 <= found.busy_us <= min(end, found.present_us)


def test_a_transfer_that_is_forgotten_breaks_little_s_law() -> None:
    usage = Usage(slots=1)
    usage.pass_time(2, present=0)
    usage.enter(2)
    usage.pass_time(5, present=1)
    usage.until(5, present=1).check("server.upload")
    with pytest.raises(AflSimError, match=r"server\.upload breaks Little's law: .* 3 us, .* 7 us"):
        usage.until(9, present=0).check("server.upload")
