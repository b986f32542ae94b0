"""What a server can do to a task on its way: cancel, discard, recall, poll."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from world_runs import MODEL_BYTES, SAMPLES, SECOND, run, scenario

from afl_sim.errors import ScheduleError

Schedule = Iterator[Any]

TEN_STEPS = {"training": {"steps": 10}}


def stop_after(word: str, seconds: float, **aggregated: Any) -> Any:
    """A schedule that sends client 0 a task and says a word about it some time later."""

    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(seconds)
        getattr(server, word)(task)
        yield server.sleep(100)

    return schedule


# -- cancel --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "rows"), [(0.5, []), (1.5, ["downloaded"]), (3.5, ["downloaded", "computed"])]
)
def test_a_task_is_cancelled_on_any_leg_and_nothing_more_happens_to_it(
    seconds: float, rows: list[str]
) -> None:
    outcome = run(scenario([2], down=1, up=1), stop_after("cancel", seconds))
    assert [event.kind for event in outcome.events[1:-1]] == ["dispatched", *rows, "cancelled"]
    assert outcome.of("cancelled")[0].time_us == seconds * SECOND
    assert outcome.server.idle == 1


def test_a_cancelled_client_starts_again_at_once_and_its_old_task_never_ends() -> None:
    def schedule(server: Any) -> Schedule:
        first = server.dispatch(0)
        yield server.sleep(1)
        server.cancel(first)
        assert server.idle == 1
        second = server.dispatch(0)
        assert (first.task, second.task) == (0, 1)
        arrived = yield server.arrival()
        assert (server.now, arrived) == (4, second)

    outcome = run(scenario([3]), schedule)
    assert [(e.time_us // SECOND, e.kind, e.task) for e in outcome.events[1:-1]] == [
        (0, "dispatched", 0),
        (0, "downloaded", 0),
        (1, "cancelled", 0),
        (1, "dispatched", 1),
        (1, "downloaded", 1),
        (4, "computed", 1),
        (4, "arrived", 1),
    ]


def test_cancelling_what_has_arrived_discards_it() -> None:
    outcome = run(scenario([1]), stop_after("cancel", 2))
    assert outcome.story("arrived", "discarded", "cancelled") == [
        (1, "arrived", 0),
        (2, "discarded", 0),
    ]
    assert outcome.server.idle == 1


def test_cancelling_at_the_instant_of_arrival_comes_too_late() -> None:
    outcome = run(scenario([1]), stop_after("cancel", 1))
    assert outcome.story("arrived", "discarded", "cancelled") == [
        (1, "arrived", 0),
        (1, "discarded", 0),
    ]


@pytest.mark.parametrize("word", ["cancel", "discard"])
@pytest.mark.parametrize("end", ["cancelled", "discarded", "aggregated"])
def test_what_has_ended_is_given_up_only_once(word: str, end: str) -> None:
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        if end != "cancelled":
            yield server.arrival()
        if end == "aggregated":
            server.aggregate([task])
        else:
            server.cancel(task)
        getattr(server, word)(task)

    with pytest.raises(ScheduleError, match=f"{end}.* cannot be discarded"):
        run(scenario([1]), schedule)


# -- discard -------------------------------------------------------------------------------------


def test_a_task_discarded_in_flight_frees_its_client_on_arrival() -> None:
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        server.discard(task)
        yield server.sleep(2)
        assert server.idle == 0
        yield server.sleep(1)
        assert server.idle == 1
        assert server.arrivals() == []

    outcome = run(scenario([3]), schedule)
    assert outcome.story("arrived", "discarded") == [(3, "arrived", 0), (3, "discarded", 0)]


def test_several_clients_are_sent_tasks_in_turn() -> None:
    def schedule(server: Any) -> Schedule:
        first = server.dispatch(2)
        others = server.dispatch((client for client in [1, 0]), steps=3)
        assert (first.client, [(task.client, task.steps) for task in others]) == (
            2,
            [(1, 3), (0, 3)],
        )
        with pytest.raises(ScheduleError, match="client 1 cannot be sent a task"):
            server.dispatch([3, 1])
        assert [task.client for task in server.in_flight] == [2, 1, 0, 3]
        assert server.dispatch([]) == []
        yield server.sleep(1)

    outcome = run(scenario([5] * 4), schedule)
    assert outcome.story("dispatched") == [(0, "dispatched", client) for client in [2, 1, 0, 3]]


def test_a_task_discarded_after_it_arrived_leaves_the_inbox() -> None:
    def schedule(server: Any) -> Schedule:
        task, _ = server.dispatch_many([0, 1])
        yield server.sleep(2)
        server.discard(task)
        assert server.idle == 1
        other = yield server.arrival()
        assert other.client == 1

    outcome = run(scenario([1, 2]), schedule)
    assert outcome.story("discarded") == [(2, "discarded", 0)]


def test_a_client_reports_how_long_it_waited_and_computed() -> None:
    told: list[Any] = []

    def schedule(server: Any) -> Schedule:
        for steps in (3, 2):
            arrived = yield server.wait(server.dispatch([0, 1], steps=steps))
            told.extend(map(server.timing, arrived))

    compute = {"seconds_per_step": 2, "jitter_seconds": {"values": [{"sequence": [0.5, 9]}, 0]}}
    run(scenario(2, compute=compute, down=1, up=1), schedule)
    assert sorted(told[:2]) == [(0, 6), (0.5, 6)]
    assert sorted(told[2:]) == [(0, 4), (9, 4)]


def test_what_a_task_waits_for_others_of_its_client_is_reported() -> None:
    told: list[Any] = []

    def schedule(server: Any) -> Schedule:
        server.dispatch([0, 0, 0])
        for _ in range(3):
            told.append(server.timing((yield server.arrival())))

    run(scenario([4], fleet={"queue": "fifo"}), schedule)
    assert [report.waited for report in told] == [4, 8, 12]  # its 4 s are jitter_seconds
    assert [report.computed for report in told] == [0, 0, 0]


def test_the_longest_time_of_a_task_bounds_its_report() -> None:
    told: list[Any] = []

    def schedule(server: Any) -> Schedule:
        arrived = yield server.wait(server.dispatch([0, 1]))
        told.extend(map(server.timing, arrived))

    compute = {"seconds_per_task": 4, "jitter_seconds": {"values": [2, 7]}, "max_seconds": 5}
    run(scenario(2, compute=compute), schedule)
    assert sorted(told) == [(2, 3), (5, 0)]


def test_only_a_whole_update_has_a_report_of_its_time() -> None:
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        with pytest.raises(ScheduleError, match="no report of its time"):
            server.timing(task)
        yield server.sleep(1)
        server.recall(task)
        task = yield server.arrival()
        with pytest.raises(ScheduleError, match="no report of its time"):
            server.timing(task)

    run(scenario([4], **TEN_STEPS), schedule)


# -- recall --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "steps"), [(0, 0), (1, 2), (2, 5), (3.9, 9)])
def test_a_recalled_client_sends_the_steps_that_it_has_completed(
    seconds: float, steps: int
) -> None:
    outcome = run(scenario([4], up=1, **TEN_STEPS), stop_after("recall", seconds))
    (computed,), (arrived,) = outcome.of("computed"), outcome.of("arrived")
    assert computed.time_us == seconds * SECOND
    assert arrived.time_us == computed.time_us + SECOND
    assert (arrived.steps, arrived.samples) == (steps, steps * SAMPLES)
    assert outcome.of("dispatched")[0].steps == 10


def test_steps_of_a_jittered_computation_are_counted_one_by_one() -> None:
    # Two steps of 1 s and 3 s cannot be told from two of 2 s by their sum: the draws decide.
    from afl_sim.streams import Streams

    compute = {"seconds_per_step": 1, "jitter": {"dist": "uniform", "scale": 10}}
    compute["jitter_per"] = "step"
    ends = Streams(3).generator("compute.jitter", 0, 0).random(10).cumsum() * 10
    for last in (0, 3, 8):
        just_before, just_after = float(ends[last]) - 1e-5, float(ends[last]) + 1e-5
        for seconds, steps in ((just_before, last), (just_after, last + 1)):
            settings = scenario(1, compute=compute, seed=3, **TEN_STEPS)
            outcome = run(settings, stop_after("recall", seconds))
            assert outcome.of("computed")[0].steps == steps


@pytest.mark.parametrize("seconds", [4, 4.5, 7])
def test_recalling_what_is_computed_changes_nothing(seconds: float) -> None:
    settings = scenario([4], up=1, **TEN_STEPS)
    recalled = run(settings, stop_after("recall", seconds))
    left_alone = run(settings, stop_after("staleness", seconds))
    assert recalled.events == left_alone.events


def test_a_recalled_update_arrives_where_it_is_awaited() -> None:
    def schedule(server: Any) -> Schedule:
        tasks = server.dispatch_many([0, 1])
        arrived = yield server.wait(tasks, deadline=2)
        assert [task.client for task in arrived] == [1]
        late = yield server.wait([server.recall(tasks[0])])
        assert (server.now, late, late[0].steps) == (3, [tasks[0]], 5)

    run(scenario([4, 1], up=1, **TEN_STEPS), schedule)


def test_who_is_recalled_while_it_downloads_has_done_nothing() -> None:
    outcome = run(scenario([4], down=2, up=1, **TEN_STEPS), stop_after("recall", 1))
    (arrived,) = outcome.of("arrived")
    assert (arrived.time_us, arrived.steps, arrived.samples) == (2 * SECOND, 0, 0)
    # Each leg is logged, though the model never came down.
    assert outcome.story("dispatched", "downloaded", "computed") == [
        (0, "dispatched", 0),
        (1, "downloaded", 0),
        (1, "computed", 0),
    ]
    assert outcome.of("downloaded")[0].bytes == 0


# -- poll ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "steps"), [(1, 0), (2, 1), (5, 2), (8, 4), (50, 4)])
def test_a_polled_client_goes_on_at_once_from_the_server_s_version(
    seconds: float, steps: int
) -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=4, until_polled=True)
        server.dispatch(1)
        yield server.aggregate([(yield server.arrival())])
        yield server.sleep(seconds - server.now)
        polled = server.poll(0)
        assert (polled.task, polled.base_version, polled.steps) == (0, 0, steps)
        arrived = yield server.wait([polled])
        yield server.aggregate(arrived)
        assert server.idle == 1  # client 1: the polled one has a new task

    outcome = run(scenario([8, 0.5]), schedule)
    at_poll = [event for event in outcome.events if event.client == 0][2:]
    assert [(e.time_us / SECOND, e.kind, e.task, e.base_version) for e in at_poll] == [
        (seconds, "computed", 0, 0),
        (seconds, "arrived", 0, 0),
        (seconds, "dispatched", 1, 1),
        (seconds, "downloaded", 1, 1),
        (seconds, "aggregated", 0, 0),
    ]
    assert [event.steps for event in at_poll] == [steps, steps, 4, 4, steps]


def test_a_polled_client_has_one_task_more_while_the_old_one_is_uploaded() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=4, until_polled=True)
        yield server.sleep(4)
        old = server.poll(0)
        assert [task.task for task in server.in_flight] == [0, 1]
        assert (yield server.wait([old])) == [old]
        assert (server.now, server.idle) == (5, 0)
        assert [task.task for task in server.in_flight] == [1]

    run(scenario([8], up=1), schedule)


def test_only_a_task_that_waits_for_a_poll_can_be_polled() -> None:
    def schedule(server: Any) -> Schedule:
        with pytest.raises(ScheduleError, match="client 0 has no task that waits for a poll"):
            server.poll(0)
        server.dispatch(0)
        yield server.sleep(1)
        server.poll(0)

    with pytest.raises(ScheduleError, match="client 0 has no task that waits for a poll"):
        run(scenario([2]), schedule)


# -- the log's other columns ---------------------------------------------------------------------


def test_rows_say_how_many_bytes_moved() -> None:
    def schedule(server: Any) -> Schedule:
        first, second = server.dispatch_many([0, 1])
        yield server.aggregate((yield server.wait([first])))
        server.cancel(second)

    outcome = run(scenario([1, 2]), schedule)
    moved = {event.kind: event.bytes for event in outcome.events}
    assert moved == {
        "evaluated": 0,
        "dispatched": 0,
        "downloaded": MODEL_BYTES,
        "computed": 0,
        "arrived": MODEL_BYTES,
        "aggregated": 0,
        "cancelled": 0,
    }


def test_a_task_s_amount_of_work_can_be_set_when_it_is_sent() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        server.dispatch(1, epochs=1)
        server.dispatch(2, steps=7)
        yield server.sleep(1)

    settings = scenario([1, 1, 1], training={"epochs": 2, "batch_size": 4})
    outcome = run(settings, schedule)  # 10 samples: batches of 4, 4 and 2
    rows = [(event.steps, event.samples) for event in outcome.of("dispatched")]
    assert rows == [(6, 20), (3, 10), (7, 24)]
