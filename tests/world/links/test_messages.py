"""Updates that are sent several times, and the mean times of a step and of a message."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world_runs import MODEL_BYTES, run, scenario

from afl_sim.errors import ScheduleError

Schedule = Iterator[Any]
SLOW = {"latency": 1, "bandwidth": 500}
"""A link on which a model takes 3 s."""


def once_then_thrice(server: Any) -> Schedule:
    for messages in (1, 3, 1):
        yield server.wait([server.dispatch(0, messages=messages)])


def arrivals(outcome: Any) -> list[tuple[float, int]]:
    return [(row.time_us / 1e6, row.bytes) for row in outcome.of("arrived")]


def test_an_upload_has_as_many_times_the_bytes_as_it_has_messages() -> None:
    outcome = run(scenario([2], up=SLOW), once_then_thrice)
    # 2 s of work; 1 s + 2 s, and 1 s + 6 s
    assert arrivals(outcome) == [(5, 1000), (14, 3000), (19, 1000)]


@pytest.mark.parametrize("kind", ["fifo", "shared", "uncontended"])
def test_the_servers_link_takes_them_all(kind: str) -> None:
    link = {"kind": kind, "bandwidth": MODEL_BYTES / 2}
    outcome = run(scenario([1], server={"upload": link}), once_then_thrice)
    assert arrivals(outcome) == [(3, 1000), (10, 3000), (13, 1000)]


def test_a_link_that_varies_takes_them_as_one_transfer(tmp_path: Path) -> None:
    file = tmp_path / "links.csv"
    file.write_text("start,end,bandwidth\n0,2,1000\n2,5,0\n5,10,500\n", encoding="utf-8")

    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0, messages=2)])

    up = {"bandwidth_trace": {"trace": str(file)}}
    # 1500 bytes from 0.5 s to 2 s, 3 s of nothing, 500 bytes in 1 s
    assert arrivals(run(scenario([0.5], up=up), schedule)) == [(6, 2000)]


def test_a_client_that_is_polled_sends_as_many_each_time() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=9, until_polled=True, messages=2)
        for _ in range(2):
            yield server.sleep(5)
            yield server.wait([server.poll(0)])

    outcome = run(scenario(1, compute={"seconds_per_step": 1}), schedule)
    assert [size for _, size in arrivals(outcome)] == [2000, 2000]


def test_a_task_that_is_sent_again_has_as_many() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, messages=2)
        yield server.arrival()

    faults = {"faults": {"crash": 0.7}}
    outcome = run(scenario([1], fleet=faults, seed=3), schedule)
    assert len(outcome.of("dispatched")) > 1
    assert [size for _, size in arrivals(outcome)] == [2000]


def test_a_task_has_at_least_one() -> None:
    def schedule(server: Any) -> Schedule:
        with pytest.raises(ScheduleError, match="0 messages; expected at least 1"):
            server.dispatch(0, messages=0)
        yield server.sleep(0)

    run(scenario([1]), schedule)


def test_the_server_knows_the_mean_time_of_a_step_and_of_a_message() -> None:
    seen: list[tuple[float, float]] = []

    def schedule(server: Any) -> Schedule:
        seen.extend(server.expected_parts(client) for client in range(2))
        yield server.sleep(0)

    compute = {"seconds_per_step": {"values": [2, 3]}, "jitter_seconds": 8}
    server = {"upload": {"kind": "fifo", "bandwidth": MODEL_BYTES / 4}}
    training = {"steps": 4, "batch_size": 5}
    run(scenario(2, compute=compute, up=SLOW, server=server, training=training), schedule)
    # The 8 s beside the steps are spread over the four. 3 s on the client's link, 4 s on the other.
    assert seen == [(4, 7), (5, 7)]


def test_a_client_without_samples_takes_no_time_for_its_steps() -> None:
    def schedule(server: Any) -> Schedule:
        assert server.expected_parts(0) == (0, 3)
        yield server.sleep(0)

    run(scenario(1, compute={"seconds_per_step": 2}, up=SLOW), schedule, samples_of=lambda _: 0)
