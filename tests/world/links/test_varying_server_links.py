"""Links of the server that transfers contend for, with a bandwidth that changes in time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import simpy
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.world.links.capacity import Capacity
from afl_sim.world.links.contended import FifoLink, SharedLink
from afl_sim.world.links.pace import Pace
from afl_sim.world.tasks.task import Task

Schedule = Iterator[Any]
# 1000 bytes a second for 2 s, nothing for 3 s, 500 bytes a second for 5 s: 4500 bytes in 10 s.
GAP = "start,end,bandwidth\n0,2,1000\n2,5,0\n5,10,500\n"


@pytest.fixture
def link(tmp_path: Path) -> Any:
    def make(kind: str, text: str = GAP, **keys: Any) -> dict[str, Any]:
        file = tmp_path / "links.csv"
        file.write_text(text, encoding="utf-8")
        more = {name: keys.pop(name) for name in ("slots", "jitter") if name in keys}
        return {"kind": kind, "bandwidth_trace": {"trace": str(file), **keys}, **more}

    return make


def everyone(server: Any) -> Schedule:
    yield server.wait(server.dispatch_many(range(server.clients)))


def arrivals(outcome: Outcome) -> list[tuple[float, int]]:
    return [(event.time_us / SECOND, event.client) for event in outcome.of("arrived")]


@pytest.mark.parametrize(
    ("kind", "more", "expected"),
    [
        # One after the other from 0.5 on: 1 s; then 500 bytes, the gap, 1 s; then 2 s.
        ("fifo", {}, [(1.5, 0), (6, 1), (8, 2)]),
        # Two at a time, each at the full rate; the third from 1.5 on.
        ("fifo", {"slots": 2}, [(1.5, 0), (1.5, 1), (6, 2)]),
        # 3000 bytes in all: 1500 until the gap, the others until 8.
        ("shared", {}, [(8, 0), (8, 1), (8, 2)]),
    ],
)
def test_transfers_share_what_the_trace_gives(
    link: Any, kind: str, more: dict[str, Any], expected: list[tuple[float, int]]
) -> None:
    settings = scenario([0.5, 0.5, 0.5], server={"upload": link(kind, **more)})
    assert arrivals(run(settings, everyone)) == expected


def test_a_cancelled_transfer_frees_its_share_of_the_bandwidth_there_is(link: Any) -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        yield server.sleep(3)  # in the gap, when each has 1000 - 750 bytes to go
        server.cancel(tasks[0])
        yield server.wait([tasks[1]])

    outcome = run(scenario([0.5, 0.5], server={"upload": link("shared")}), schedule)
    assert arrivals(outcome) == [(5.5, 1)]


@pytest.mark.parametrize("kind", ["fifo", "shared"])
def test_a_download_from_the_server_follows_the_trace(link: Any, kind: str) -> None:
    outcome = run(scenario([0], server={"download": link(kind)}), everyone)
    assert arrivals(outcome) == [(1, 0)]
    assert outcome.server.expected_seconds(0) == pytest.approx(_mean_alone(), rel=1e-12)


def _mean_alone() -> float:
    """The mean time of 1000 bytes from a uniform beginning, piece by piece by hand."""
    pieces = [
        (1.0, 1.0, 1.0),  # from 0 to 1 s: 1 s
        (1.0, 4.0, 5.0),  # from 1 to 2 s: the gap, too, and half as fast; 1 s until 5 s, linear
        (3.0, 5.0, 2.0),  # in the gap: what is left of it, and 2 s
        (3.0, 2.0, 2.0),  # from 5 to 8 s: 2 s
        (2.0, 2.0, 1.0),  # from 8 to 10 s: the trace begins anew at 1000 bytes a second
    ]
    return sum(length * (first + last) / 2 for length, first, last in pieces) / 10


@pytest.mark.parametrize("kind", ["fifo", "shared"])
@pytest.mark.parametrize("paused", [False, True])
def test_a_bandwidth_that_never_changes_is_a_constant_one(
    link: Any, kind: str, paused: bool
) -> None:
    leave = {"kind": "on_off", "on": 9, "off": 2, "on_leave": "paused" if paused else "lost"}
    text = "start,end,bandwidth\n0,3,640\n3,3.5,640\n"
    digests = {
        run(
            scenario(
                6,
                compute={"jitter": {"dist": "expon"}},
                strategy={"kind": "fedbuff", "concurrency": 4, "buffer_size": 2},
                fleet={"availability": leave},
                server={"upload": each, "download": each},
                stop={"updates": 60},
            )
        ).schedule_digest
        for each in (
            link(kind, text, jitter={"dist": "expon"}),
            {"kind": kind, "bandwidth": 640, "jitter": {"dist": "expon"}},
        )
    }
    assert len(digests) == 1


def fluid(
    jobs: list[tuple[int, int, int | None]], ends_us: list[int], rates: list[int]
) -> dict[int, int]:
    """Processor sharing by its definition, in fractions: job -> the microsecond of its end.

    ``jobs`` are (begin, work, withdrawn at or None); work is in microseconds at the mean rate.
    """
    starts = [0, *ends_us[:-1]]
    total = sum((b - a) * r for a, b, r in zip(starts, ends_us, rates, strict=True))
    period = ends_us[-1]

    def piece(time: Fraction) -> tuple[Fraction, int]:
        turn, inside = divmod(time, period)
        at = next(i for i, end in enumerate(ends_us) if inside < end)
        return Fraction(turn * period + ends_us[at]), rates[at]

    found: dict[int, int] = {}
    left = {i: Fraction(work * total, period) for i, (_, work, _) in enumerate(jobs)}
    time = Fraction(0)
    while left:
        there = [i for i in left if jobs[i][0] <= time]
        until, rate = piece(time)
        changes = [until, *(Fraction(jobs[i][0]) for i in left if jobs[i][0] > time)]
        changes += [Fraction(gone) for i in there if (gone := jobs[i][2]) is not None]
        if there and rate:
            changes += [time + min(left[i] for i in there) * len(there) / rate]
        then = min(changes)
        for i in there:
            left[i] -= (then - time) * rate / len(there)
        time = then
        for i in there:
            if left[i] == 0:
                found[i] = math.ceil(time)
                del left[i]
            elif jobs[i][2] == time:
                del left[i]
    return found


jobs = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 40), st.none() | st.integers(1, 80)),
    min_size=1,
    max_size=8,
)
pieces = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), min_size=1, max_size=5).filter(
    lambda found: any(rate for _, rate in found)
)


@settings(max_examples=80, deadline=None)
@example([(32, 2, None), (34, 1, None)], [(1, 0), (3, 1)])  # an end at a whole microsecond
@given(jobs, pieces)
def test_a_shared_link_with_a_trace_is_processor_sharing_to_the_microsecond(
    jobs: list[tuple[int, int, int | None]], pieces: list[tuple[int, int]]
) -> None:
    ends_us = [sum(length for length, _ in pieces[: i + 1]) for i in range(len(pieces))]
    rates = [rate for _, rate in pieces]
    jobs = [(begin, work, gone if gone and gone > begin else None) for begin, work, gone in jobs]
    env = simpy.Environment(initial_time=0)
    link = SharedLink(env, Pace(Capacity(ends_us, [float(rate) for rate in rates], repeats=True)))
    ends: dict[int, int] = {}

    def one(i: int, begin: int, work: int, gone: int | None) -> Any:
        yield env.timeout(begin)
        task = Task(i, 0, 0, 1, 1, begin)
        transfer = link.send(task, work, lambda task: ends.setdefault(task.client, int(env.now)))
        if gone is not None:
            yield env.timeout(gone - begin)
            yield env.timeout(0)  # an end in this very microsecond comes first
            link.withdraw(transfer)

    for i, (begin, work, gone) in enumerate(jobs):
        env.process(one(i, begin, work, gone))
    env.run()
    assert ends == fluid(jobs, ends_us, rates)


@settings(max_examples=60, deadline=None)
@given(pieces, st.integers(0, 50), st.integers(1, 90), st.integers(0, 60))
def test_what_is_left_of_a_withdrawn_transfer_is_what_was_not_done(
    pieces: list[tuple[int, int]], begin: int, work: int, later: int
) -> None:
    ends_us = [sum(length for length, _ in pieces[: i + 1]) for i in range(len(pieces))]
    capacity = Capacity(ends_us, [float(rate) for _, rate in pieces], repeats=True)
    left = []
    for make in (
        lambda env: FifoLink(env, 1, Pace(capacity)),
        lambda env: SharedLink(env, Pace(capacity)),
    ):
        env = simpy.Environment(initial_time=begin)
        transfer = make(env).send(Task(0, 0, 0, 1, 1, begin), work, lambda task: None)
        env.run(until=begin + later + 1)
        left.append(transfer.link.withdraw(transfer))
    carried = capacity.carried(begin << 64, begin + later + 1 << 64)
    done = Fraction(carried * capacity.period, capacity.per_period) / 2**64
    assert max(left) - min(left) <= 1
    assert abs(left[1] - max(Fraction(0), work - done)) <= 1


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"kind": "fifo"}, "does not say its bandwidth; expected bandwidth or bandwidth_trace"),
        ({"kind": "shared", "bandwidth": 5}, "has both bandwidth and bandwidth_trace"),
        ({"kind": "uncontended"}, "Extra inputs are not permitted"),
    ],
)
def test_a_contended_link_has_one_way_to_say_its_bandwidth(
    link: Any, block: dict[str, Any], message: str
) -> None:
    if block != {"kind": "fifo"}:
        block = {**link("shared"), **block}
    with pytest.raises(ValidationError, match=message):
        scenario([1], server={"upload": block})


def test_the_servers_link_cannot_be_that_of_clients(link: Any) -> None:
    text = "client,start,end,bandwidth\n0,0,1,5\n"
    with pytest.raises(ValidationError, match="has the links of clients; expected by: sample"):
        scenario([1], server={"upload": link("fifo", text, by="client")})


def test_the_servers_link_is_drawn_from_the_file_with_the_seed(link: Any) -> None:
    text = "link,start,end,bandwidth\n" + "".join(f"l{i},0,9,{100 * i}\n" for i in range(1, 9))
    times = {
        arrivals(run(scenario([0], server={"upload": link("fifo", text)}, seed=seed), everyone))[0]
        for seed in range(12)
    }
    assert {time for time, _ in times} <= {round(MODEL_BYTES / (100 * i), 6) for i in range(1, 9)}
    assert len(times) > 3
