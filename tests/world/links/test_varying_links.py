"""Clients' links whose bandwidth follows a trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.scenario import Scenario
from afl_sim.theory.intervals import interval
from afl_sim.world.links.varying import VaryingLink

Schedule = Iterator[Any]
# 1000 bytes a second for 2 s, nothing for 3 s, 500 bytes a second for 5 s: 4500 bytes in 10 s.
GAP = "start,end,bandwidth\n0,2,1000\n2,5,0\n5,10,500\n"


@pytest.fixture
def trace(tmp_path: Path) -> Any:
    def write(text: str = GAP, name: str = "links.csv", **keys: Any) -> dict[str, Any]:
        file = tmp_path / name
        file.write_text(text, encoding="utf-8")
        return {"bandwidth_trace": {"trace": str(file), **keys}}

    return write


def everyone(server: Any) -> Schedule:
    yield server.wait(server.dispatch_many(range(server.clients)))


def seconds(outcome: Outcome, kind: str) -> list[float]:
    rows = sorted(outcome.of(kind), key=lambda row: (row.client, row.task))
    return [row.time_us / SECOND for row in rows]


# -- a transfer takes what the trace gives ---------------------------------------------------------


@pytest.mark.parametrize(
    ("compute", "arrives"),
    [
        (0.5, 1.5),  # at 1000 bytes a second
        (1.5, 6),  # 500 bytes in half a second, 3 s of nothing, 500 bytes in 1 s
        (3, 7),  # 2 s of nothing, then 2 s
        (9, 10.5),  # 500 bytes in 1 s, and the trace begins anew
        (101.5, 106),  # ten whole traces later
    ],
)
def test_an_upload_takes_as_long_as_the_trace_makes_it(
    trace: Any, compute: float, arrives: float
) -> None:
    outcome = run(scenario([compute], up=trace()), everyone)
    assert seconds(outcome, "arrived") == [arrives]


def test_a_download_and_its_latency_count_from_the_dispatch(trace: Any) -> None:
    def schedule(server: Any) -> Schedule:
        yield server.sleep(1)
        yield from everyone(server)

    outcome = run(scenario([1], down={**trace(), "latency": 0.5}, up=0), schedule)
    assert seconds(outcome, "downloaded") == [6]  # 0.5 s at 1000, a gap, 1 s at 500


def test_the_last_bandwidth_is_held_where_the_trace_does_not_repeat(trace: Any) -> None:
    outcome = run(scenario([9], up=trace(after_end="hold")), everyone)
    assert seconds(outcome, "arrived") == [11]


@pytest.mark.parametrize("server", [{}, {"download": {"kind": "fifo", "bandwidth": 700}}])
def test_a_bandwidth_that_never_changes_gives_the_schedule_of_a_constant_one(
    trace: Any, server: dict[str, Any]
) -> None:
    text = "start,end,bandwidth\n0,3,431.7\n3,3.5,431.7\n"
    more = {"latency": {"dist": "expon"}, "jitter": {"dist": "expon"}, "loss": 0.3}
    fleet = {"availability": {"kind": "on_off", "on": 9, "off": 2, "on_leave": "paused"}}
    strategy = {"kind": "fedbuff", "concurrency": 4, "buffer_size": 2}
    compute = {"jitter": {"dist": "expon"}}
    digests = {
        run(
            scenario(
                6,
                compute=compute,
                strategy=strategy,
                down={**link, **more},
                up={**link, **more},
                fleet=fleet,
                server=server,
                stop={"updates": 60},
            )
        ).schedule_digest
        for link in (trace(text), {"bandwidth": 431.7}, trace(text, random_start=True))
    }
    assert len(digests) == 1


# -- what begins later than planned ----------------------------------------------------------------


def test_an_upload_after_a_download_that_had_to_wait_meets_the_bandwidth_of_its_own_time(
    trace: Any,
) -> None:
    # The server's link sends one model after the other, 1 s each; the second begins to compute at
    # 2 s instead of 1 s, and has 0.5 s less of the fast time.
    server = {"download": {"kind": "fifo", "bandwidth": MODEL_BYTES}}
    outcome = run(scenario([0, 0], up=trace(), server=server), everyone)
    assert seconds(outcome, "arrived") == [2, 7]


def test_a_clients_varying_download_follows_the_servers_contended_link(trace: Any) -> None:
    server = {"download": {"kind": "fifo", "bandwidth": MODEL_BYTES / 1.5}}
    outcome = run(scenario([1, 1], down=trace(), up=0, server=server), everyone)
    # From 1.5 s: 500 bytes, the gap, 1 s. From 3 s: the gap, 2 s.
    assert seconds(outcome, "downloaded") == [6, 7]


def test_an_uncontended_link_of_the_server_comes_before_a_download_and_after_an_upload(
    trace: Any,
) -> None:
    server = {
        name: {"kind": "uncontended", "bandwidth": MODEL_BYTES / 1.5}
        for name in ("download", "upload")
    }
    outcome = run(scenario([0], down=trace(), up=trace(), server=server), everyone)
    assert seconds(outcome, "downloaded") == [6]
    assert seconds(outcome, "arrived") == [8 + 1.5]  # 2 s at 500 bytes a second, and the server's


def test_a_queued_task_uploads_with_the_bandwidth_of_its_own_time(trace: Any) -> None:
    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0), server.dispatch(0)])

    outcome = run(scenario([0.75], up=trace(), fleet={"queue": "fifo"}), schedule)
    assert seconds(outcome, "computed") == [0.75, 1.5]
    assert seconds(outcome, "arrived") == [1.75, 6]


def test_a_lost_upload_is_repeated_with_the_bandwidth_of_that_time(trace: Any) -> None:
    outcome = run(scenario([0] * 20, up={**trace(), "loss": 0.5}), everyone)
    ends = [1, 2, 7, 9, 10.5, 11.5, 16, 18]  # back to back
    attempts = {row.bytes // MODEL_BYTES for row in outcome.of("arrived")}
    assert {1, 2, 3} <= attempts
    for row in outcome.of("arrived"):
        assert row.time_us / SECOND == ends[row.bytes // MODEL_BYTES - 1]


# -- interrupted transfers -------------------------------------------------------------------------


def presence(tmp_path: Path, text: str) -> dict[str, Any]:
    file = tmp_path / "presence.csv"
    file.write_text("client,start,end\n" + text, encoding="utf-8")
    return {"availability": {"kind": "trace", "trace": str(file), "on_leave": "paused"}}


@pytest.mark.parametrize(
    ("compute", "presence_rows", "arrives"),
    [
        # Begins at 0.5; away from 1 to 1.75 with 500 bytes left: 250 until the gap, then 0.5 s.
        (0.5, "0,0,1\n0,1.75,99\n", 5.5),
        # Away from 3 to 6 inside the gap with 500 bytes left.
        (1.5, "0,0,3\n0,6,99\n", 7),
        # Away twice: 500 left at 1, 400 left at 1.2, back at 9 for 0.8 s.
        (0.5, "0,0,1\n0,1.1,1.2\n0,9,99\n", 9.8),
        # Away while it computes: the rest of the computation ends at 6.5.
        (1.5, "0,0,1\n0,6,99\n", 8.5),
    ],
)
def test_an_interrupted_upload_has_the_bandwidth_of_when_it_goes_on(
    trace: Any, tmp_path: Path, compute: float, presence_rows: str, arrives: float
) -> None:
    fleet = presence(tmp_path, presence_rows)
    outcome = run(scenario([compute], up=trace(), fleet=fleet), everyone)
    assert seconds(outcome, "arrived") == [arrives]


def test_an_interrupted_download_has_the_bandwidth_of_when_it_goes_on(
    trace: Any, tmp_path: Path
) -> None:
    # 750 bytes and then away until 4: the other 250 take 0.5 s after the gap.
    fleet = presence(tmp_path, "0,0,1.25\n0,4,99\n")
    outcome = run(scenario([1], down={**trace(), "latency": 0.5}, up=0, fleet=fleet), everyone)
    assert seconds(outcome, "downloaded") == [5.5]
    assert seconds(outcome, "arrived") == [6.5]


def test_a_client_that_leaves_during_a_late_upload_is_noticed(trace: Any, tmp_path: Path) -> None:
    """The gap makes the upload end after the client has left, which the plan has to know."""
    fleet = presence(tmp_path, "0,0,5.75\n0,8,99\n")
    fleet["availability"]["on_leave"] = "lost"
    schedule_ends: list[float] = []

    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0)])
        schedule_ends.append(server.now)

    outcome = run(scenario([1.5], up=trace(), fleet=fleet), schedule)
    assert outcome.story("failed") == [(5.75, "failed", 0)]
    assert not outcome.of("arrived")


def test_a_cancelled_upload_counts_no_bytes_and_frees_its_client(trace: Any) -> None:
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(3)
        server.cancel(task)
        yield server.wait([server.dispatch(0)])

    outcome = run(scenario([1.5], up=trace()), schedule)
    (cancelled,) = outcome.of("cancelled")
    assert (cancelled.time_us / SECOND, cancelled.bytes) == (3, 0)
    assert seconds(outcome, "arrived") == [7]  # computed at 4.5, and 2 s from 5 on
    assert [row.bytes for row in outcome.of("arrived")] == [MODEL_BYTES]


# -- whose link it is ------------------------------------------------------------------------------

TWO = "client,start,end,bandwidth\n1,0,10,100\n0,0,10,1000\n"


def test_each_client_has_the_link_of_its_rows(trace: Any) -> None:
    outcome = run(scenario([0, 0], up=trace(TWO, by="client")), everyone)
    assert seconds(outcome, "arrived") == [1, 10]


def test_clients_of_a_group_have_the_links_in_the_order_of_the_group(trace: Any) -> None:
    groups = [
        {"name": "a", "count": 2, "network": {"upload": trace(TWO, by="client")}},
        {"name": "b", "count": 1, "network": {"upload": {"latency": 7}}},
    ]
    outcome = run(scenario([0, 0, 0], fleet={"groups": groups}), everyone)
    assert sorted(seconds(outcome, "arrived")) == [1, 7, 10]
    a = [time for time in seconds(outcome, "arrived") if time != 7]
    assert a == [1, 10]


def test_a_group_with_a_trace_does_not_keep_the_bandwidth_of_the_fleet(trace: Any) -> None:
    groups = [
        {"name": "a", "count": 1, "network": {"upload": trace()}},
        {"name": "b", "count": 1, "network": {"upload": {"bandwidth": 250}}},
        {"name": "c", "count": 1, "network": {"upload": {"latency": 1}}},
    ]
    for up in ({"bandwidth": 125}, trace(TWO, "two.csv", by="sample")):
        world = scenario([0, 0, 0], up=up, fleet={"groups": groups})
        for group in world.clients.groups:
            assert group.network is not None
            link = group.network.upload
            assert (link.bandwidth is None) != (link.bandwidth_trace is None)
    outcome = run(scenario([0, 0, 0], up={"bandwidth": 125}, fleet={"groups": groups}), everyone)
    assert sorted(seconds(outcome, "arrived")) == [1, 4, 9]


def pool(count: int) -> str:
    rows = "".join(f"l{i},0,10,{100 + i}\nl{i},10,{20 + i},{200 + i}\n" for i in range(count))
    return "link,start,end,bandwidth\n" + rows


def first_links(world: Scenario) -> list[tuple[int, int]]:
    """The link down and up of each client."""
    durations = run(world, everyone).world._parts.durations
    found = []
    for client in range(world.clients.count):
        down, up = durations.download(client), durations.upload(client)
        assert isinstance(down, VaryingLink)
        assert isinstance(up, VaryingLink)
        found.append((down.position(client)[0], up.position(client)[0]))
    return found


def test_both_directions_of_a_client_have_the_link_of_one_name(trace: Any) -> None:
    world = scenario(40, down=trace(pool(9)), up=trace(pool(9).replace(",100", ",50"), "up.csv"))
    links = first_links(world)
    assert all(down == up for down, up in links)
    assert 5 < len(set(links)) <= 9
    apart = first_links(scenario(40, down=trace(pool(9)), up=trace(pool(8), "other.csv")))
    assert any(down != up for down, up in apart)


def test_the_links_of_clients_depend_on_the_seed_alone(trace: Any) -> None:
    one, other = (
        first_links(scenario(20, down=trace(pool(9)), up=trace(pool(9)), seed=s)) for s in (1, 2)
    )
    assert one == first_links(scenario(20, down=trace(pool(9)), up=trace(pool(9)), seed=1))
    assert one != other


# -- means -----------------------------------------------------------------------------------------


def test_transfers_that_begin_at_uniform_times_have_the_closed_form_of_their_mean(
    trace: Any,
) -> None:
    """h B (1/a + 1/b) - B^2/2 (1/a - 1/b)^2, over 2 h, for transfers that cross one change."""
    a, b, half, size = 500.0, 125.0, 8.0, float(MODEL_BYTES)
    exact = (half * size * (1 / a + 1 / b) - size**2 / 2 * (1 / a - 1 / b) ** 2) / (2 * half)
    text = f"start,end,bandwidth\n0,8,{a}\n8,16,{b}\n"
    means = []
    for seed in range(8):
        world = scenario(
            300, compute={"seconds_per_task": 0}, up=trace(text, random_start=True), seed=seed
        )
        outcome = run(world, everyone)
        means.append(sum(seconds(outcome, "arrived")) / 300)
        assert outcome.server.expected_seconds(0) == pytest.approx(exact, rel=1e-12)
    found = interval(means)
    assert exact in found
    assert size / ((a + b) / 2) not in found  # the mistake: bytes over the mean bandwidth


def test_transfers_back_to_back_take_the_mean_bandwidth(trace: Any) -> None:
    def schedule(server: Any) -> Schedule:
        for _ in range(2000):
            yield server.wait([server.dispatch(0)])

    world = scenario([0], up=trace(), stop={"virtual_seconds": 1e6})
    last = max(seconds(run(world, schedule), "arrived"))
    assert last == pytest.approx(2000 * MODEL_BYTES / 450, abs=10)
