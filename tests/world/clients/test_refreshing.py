"""Clients that ask for the newest model during a task: when, for how long, and what ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.errors import ScheduleError

FOUR = {"steps": 4, "batch_size": 10}
HALF = 0.5


def fleet(step: Any = 2.5, **keys: Any) -> Any:
    """Two clients with four steps a task; client 1 takes a tenth of the time."""
    compute = {"seconds_per_step": step, "jitter": {"values": [1, 0.1]}}
    keys.setdefault("down", 1)
    keys.setdefault("up", 2)
    return scenario(2, compute={**compute, **keys.pop("compute", {})}, training=FOUR, **keys)


def one_version(server: Any, share: float | None = HALF) -> Iterator[Any]:
    """Client 1 makes a version while client 0 trains."""
    mine = server.dispatch(0, refresh_after=share, retry=False)
    other = server.dispatch(1, retry=False)
    yield server.aggregate((yield server.wait([other])))
    yield server.wait([mine])


def rows(outcome: Outcome, client: int = 0) -> list[tuple[float, str, int]]:
    """(seconds, kind, bytes) of a client's tasks."""
    return [
        (event.time_us / SECOND, event.kind, event.bytes)
        for event in outcome.events
        if event.client == client and event.task >= 0 and event.kind != "aggregated"
    ]


def at(outcome: Outcome, kind: str) -> float:
    """When client 0 had this row."""
    (found,) = (event for event in outcome.of(kind) if event.client == 0)
    return found.time_us / SECOND


def go(world: Any, schedule: Any = one_version) -> Outcome:
    return run(world, schedule, refreshes=True)


# -- when, and how long it takes -------------------------------------------------------------------


def test_it_stops_between_two_steps_downloads_the_newest_model_and_goes_on() -> None:
    outcome = go(fleet())
    assert rows(outcome) == [
        (0, "dispatched", 0),
        (1, "downloaded", MODEL_BYTES),
        (6, "requested", 0),
        (7, "refreshed", MODEL_BYTES),
        (12, "computed", 0),
        (14, "arrived", MODEL_BYTES),
    ]
    asked, got = (outcome.of(kind)[0] for kind in ("requested", "refreshed"))
    assert json.loads(asked.context or "") == {"steps_done": 2, "samples_done": 20}
    assert json.loads(got.context or "") == {"fresh_version": 1}
    assert (asked.version, asked.base_version, got.steps) == (1, 0, 4)


def test_a_server_without_a_newer_model_sends_none() -> None:
    def alone(server: Any) -> Iterator[Any]:
        yield server.wait([server.dispatch(0, refresh_after=HALF)])

    outcome = go(fleet(), alone)
    assert rows(outcome)[2:] == [
        (6, "requested", 0),
        (6, "refreshed", 0),
        (11, "computed", 0),
        (13, "arrived", MODEL_BYTES),
    ]


@pytest.mark.parametrize(
    ("share", "steps"), [(0, 1), (0.1, 1), (0.3, 1), (0.5, 2), (0.7, 3), (1, 3)]
)
def test_at_least_one_step_comes_before_and_after(share: float, steps: int) -> None:
    outcome = go(fleet(down=0.1), lambda server: one_version(server, share))
    assert at(outcome, "requested") == 0.1 + 2.5 * steps


def test_a_task_of_one_step_does_not_ask() -> None:
    def single(server: Any) -> Iterator[Any]:
        yield server.wait([server.dispatch(0, steps=1, refresh_after=HALF)])

    assert not go(fleet(), single).of("requested", "refreshed")


@pytest.mark.parametrize(
    "compute",
    [
        {"jitter_per": "step", "jitter": {"dist": "expon", "scale": {"values": [1, 0.01]}}},
        {"jitter_seconds": 3},
        {"seconds_per_task": 10, "seconds_per_step": None},
        {"seconds_per_sample": 0.25, "seconds_per_step": None},
        {"max_seconds": 5},
    ],
)
def test_the_task_takes_longer_by_the_download_alone(compute: dict[str, Any]) -> None:
    block = {"seconds_per_step": 2.5, "jitter": {"values": [1, 0.1]}} | compute
    block = {key: value for key, value in block.items() if value is not None}
    world = scenario(2, compute=block, training=FOUR, down=0.75, up=0.125, seed=5)
    with_it, without = (go(world, lambda s, r=r: one_version(s, r)) for r in (HALF, None))
    assert at(with_it, "refreshed") - at(with_it, "requested") == pytest.approx(0.75, abs=1e-9)
    late = at(with_it, "arrived") - at(without, "arrived")
    assert late == pytest.approx(at(with_it, "refreshed") - at(with_it, "requested"), abs=1e-9)


def test_the_speed_of_the_rest_is_that_of_its_own_time() -> None:
    # Hours of 5 s in turn at rate 1 and 1/2. The task is 10 s of work, begins at 1 and asks after
    # 5 s of work: 4 s until 5, and 1 s of work in 2 s. It goes on at 8, with 2 s at half the rate
    # until 10, and 4 s more.
    hours = {"speed": [1, 0.5], "period_seconds": 10}
    outcome = go(fleet(compute={"hours": hours}))
    assert [at(outcome, kind) for kind in ("requested", "refreshed", "computed")] == [7, 8, 14]


def test_tasks_that_take_no_time_ask_and_arrive_at_once() -> None:
    def twice(server: Any) -> Iterator[Any]:
        for _ in range(2):
            update = server.dispatch(0, refresh_after=HALF)
            yield server.aggregate((yield server.wait([update])))

    outcome = go(scenario(1, training=FOUR, compute={"seconds_per_step": 0}), twice)
    assert [row[1] for row in rows(outcome)] == 2 * [
        *("dispatched", "downloaded", "requested", "refreshed", "computed", "arrived")
    ]
    assert outcome.events[-1].time_us == 0 or outcome.of("arrived")[-1].time_us == 0


def test_the_download_waits_for_a_link_of_the_server() -> None:
    # The link takes 2 s for a model; client 1 is sent its next one at 8.4 s.
    def busy(server: Any) -> Iterator[Any]:
        mine = server.dispatch(0, refresh_after=HALF)
        update = server.dispatch(1)
        yield server.aggregate((yield server.wait([update])))
        yield server.sleep(0.6)
        again = server.dispatch(1)
        yield server.wait([mine, again])

    link = {"kind": "fifo", "bandwidth": MODEL_BYTES / 2}
    outcome = go(fleet(down=1, up=0, server={"download": link}), busy)
    # 0: on the link until 2, there at 3, asks at 8. 1: on the link 2 to 4, there at 5, done at 6.
    asked, got = at(outcome, "requested"), at(outcome, "refreshed")
    # 1 again: sent at 6.6, on the link until 8.6; then client 0's model until 10.6, there at 11.6.
    assert (asked, got) == (8, 11.6)
    context = json.loads(outcome.of("refreshed")[0].context or "")
    assert context == {"link_us": 10_600_000, "fresh_version": 1}
    assert at(outcome, "arrived") == 16.6


# -- what ends it ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "steps", "kinds"),
    [
        (3.6, 1, ["computed"]),  # 1 + 2.5 s: in the second step
        (6.5, 2, ["requested", "refreshed", "computed"]),  # the model is on its way
        (9.6, 3, ["requested", "refreshed", "computed"]),
    ],
)
def test_a_client_that_is_called_back_sends_what_it_has(
    after: float, steps: int, kinds: list[str]
) -> None:
    def called(server: Any) -> Iterator[Any]:
        mine = server.dispatch(0, refresh_after=HALF)
        other = server.dispatch(1)
        yield server.aggregate((yield server.wait([other])))
        yield server.sleep(after - server.now)
        yield server.wait([server.recall(mine)])

    outcome = go(fleet(up=0.5), called)
    arrived = next(event for event in outcome.of("arrived") if event.client == 0)
    assert arrived.time_us / SECOND == after + 0.5
    assert (arrived.steps, arrived.samples) == (steps, 10 * steps)
    assert [row[1] for row in rows(outcome)[2:-1]] == kinds
    if after == 6.5:
        assert outcome.of("refreshed")[0].bytes == 0


@pytest.mark.parametrize(
    ("away", "expected"),
    [
        ((3, 5), {"requested": 8, "refreshed": 9, "computed": 14}),
        ((6.25, 8.25), {"requested": 6, "refreshed": 9, "computed": 14}),
        ((8, 10), {"requested": 6, "refreshed": 7, "computed": 14}),
    ],
)
def test_a_client_that_is_away_goes_on_where_it_was(
    away: tuple[float, float], expected: dict[str, float], tmp_path: Any
) -> None:
    trace = tmp_path / "there.csv"
    trace.write_text(f"client,start,end\n0,0,{away[0]}\n0,{away[1]},1000\n1,0,1000\n")
    there = {"kind": "trace", "trace": str(trace), "on_leave": "paused"}
    outcome = go(fleet(fleet={"availability": there}))
    assert {kind: at(outcome, kind) for kind in expected} == expected


def test_a_client_that_leaves_during_the_download_sends_what_it_has(tmp_path: Any) -> None:
    trace = tmp_path / "there.csv"
    trace.write_text("client,start,end\n0,0,6.25\n1,0,1000\n")
    there = {"kind": "trace", "trace": str(trace), "on_leave": "partial"}
    outcome = go(fleet(fleet={"availability": there}))
    assert at(outcome, "computed") == 6.25
    assert [event.steps for event in outcome.of("arrived") if event.client == 0] == [2]


def test_a_task_that_is_lost_during_the_download_is_over(tmp_path: Any) -> None:
    trace = tmp_path / "there.csv"
    trace.write_text("client,start,end\n0,0,6.25\n1,0,1000\n")
    there = {"kind": "trace", "trace": str(trace), "on_leave": "lost"}
    outcome = go(fleet(fleet={"availability": there}))
    assert at(outcome, "failed") == 6.25
    assert not outcome.of("refreshed")


def test_a_server_that_is_down_answers_when_it_is_up() -> None:
    pauses = {"every": {"sequence": [5, 1000]}, "lasts": 4}
    outcome = go(fleet(server={"pauses": pauses}))
    assert [at(outcome, kind) for kind in ("requested", "refreshed")] == [6, 10]  # up at 9
    assert at(outcome, "computed") == 15


def test_crashes_come_after_as_much_computation_as_they_would_without() -> None:
    world = fleet(fleet={"faults": {"crash": {"values": [1, 0]}}})
    with_it, without = (go(world, lambda s, r=r: one_version(s, r)) for r in (1, None))
    late = at(with_it, "failed") - at(without, "failed")
    assert at(with_it, "requested") == 8.5 if late else at(without, "failed") <= 8.5
    assert late in (0, 1)


def test_a_schedule_has_to_say_that_its_tasks_ask() -> None:
    def ask(server: Any, **keys: Any) -> Iterator[Any]:
        server.dispatch(0, **keys)
        yield server.sleep(1)

    with pytest.raises(ScheduleError, match="refreshes = True"):
        run(fleet(), lambda server: ask(server, refresh_after=HALF))
    for share in (-0.1, 1.5, float("nan")):
        with pytest.raises(ScheduleError, match="expected a share of its steps from 0 to 1"):
            go(fleet(), lambda server, share=share: ask(server, refresh_after=share))
    with pytest.raises(ScheduleError, match="waits for a poll"):
        go(fleet(), lambda server: ask(server, refresh_after=HALF, steps=4, until_polled=True))


def test_a_failed_task_is_replaced_by_one_that_asks_as_well() -> None:
    def kept(server: Any) -> Iterator[Any]:
        server.send(1, refresh_after=HALF)
        yield server.arrival()

    faults = {"crash": 0.7}
    world = scenario(1, training=FOUR, compute={"seconds_per_step": 1}, fleet={"faults": faults})
    outcome = go(world, kept)
    (last,) = outcome.of("arrived")
    assert last.task > 0
    assert [event.kind for event in outcome.events if event.task == last.task][2:4] == [
        *("requested", "refreshed")
    ]


# -- energy ----------------------------------------------------------------------------------------


def test_energy_and_price_count_the_second_download() -> None:
    use = {
        "power": {"compute": 4, "download": 1, "upload": 2, "idle": 0},
        "energy_per_sample": 0.5,
        "energy_per_byte": {"download": 1e-3, "upload": 0},
        "price": {"per_gb": 1e9},
    }
    outcome = go(fleet(fleet=use, stop={"virtual_seconds": 20}))
    assert outcome.world.account is not None
    found = outcome.world.account.until(outcome.ending.time_us)
    # Client 0 downloads 2 s and computes 10 s, client 1 1 s and 1 s; each on 40 samples.
    assert found.energy_joules["compute"] == 4 * 11 + 0.5 * 80
    assert found.energy_joules["download"] == pytest.approx(3 + 3e-3 * MODEL_BYTES)
    assert found.energy_joules["upload"] == 2 * 4
    assert found.price["clients"] == 5 * MODEL_BYTES


@pytest.mark.parametrize(("after", "samples"), [(3.6, 10), (6.5, 20), (8, 20), (9.6, 30)])
def test_a_task_that_is_cut_has_spent_the_energy_of_its_samples(after: float, samples: int) -> None:
    def cut(server: Any) -> Iterator[Any]:
        mine = server.dispatch(0, refresh_after=HALF)
        other = server.dispatch(1)
        yield server.aggregate((yield server.wait([other])))
        yield server.sleep(after - server.now)
        server.cancel(mine)

    outcome = go(fleet(fleet={"energy_per_sample": 1}, up=0.1, stop={"virtual_seconds": 20}), cut)
    assert outcome.world.account is not None
    assert outcome.world.account.until(outcome.ending.time_us).energy_joules["compute"] == (
        40 + samples
    )
