"""When clients can be reached, and what the server's words mean where some cannot."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world_runs import SECOND, Outcome, run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.api import load_scenario
from afl_sim.scenario import dump_scenario, scenario_id
from afl_sim.scenario.sections.availability import TracedAvailability
from afl_sim.streams import Streams
from afl_sim.world.availability import timelines
from afl_sim.world.availability.protocol import Availability
from afl_sim.world.availability.timelines import build, returns

Schedule = Iterator[Any]


def on_off(on: Any, off: Any, **more: Any) -> dict[str, Any]:
    """Each client comes and goes as these sequences of seconds say, one for each client."""
    laws = [
        {
            "values": [
                value if isinstance(value, int | float) else {"sequence": value} for value in x
            ]
        }
        if isinstance(x, list)
        else x
        for x in (on, off)
    ]
    return {"kind": "on_off", "on": laws[0], "off": laws[1], **more}


def world(durations: Any, availability: Any, **sections: Any) -> Any:
    return scenario(durations, fleet={"availability": availability}, **sections)


def built(availability: Any, clients: int = 3, seed: int = 1) -> Availability:
    settings = world(clients, availability).clients.availability
    made = build(settings, Streams(seed))
    assert made is not None
    return made


def there(availability: Availability, client: int, seconds: float) -> bool:
    return availability.state(client, round(seconds * SECOND))[0]


def changes(availability: Availability, client: int, until: float) -> list[tuple[float, bool]]:
    """(seconds, there) at the start and at each change."""
    found: list[tuple[float, bool]] = []
    now: int | None = 0
    while now is not None and now < until * SECOND:
        state, now_after = availability.state(client, now)
        if not found or found[-1][1] != state:
            found.append((now / SECOND, state))
        now = now_after
    return found


# -- the kinds -----------------------------------------------------------------------------------


def test_a_client_comes_and_goes_as_its_stays_and_absences_are_drawn() -> None:
    made = built(on_off([[1, 2], 5, 1], [[3, 4], 1, 100]))
    assert changes(made, 0, 12) == [(0, True), (1, False), (4, True), (6, False), (10, True)]
    assert changes(made, 1, 12) == [(0, True), (5, False), (6, True), (11, False)]


def test_the_process_may_have_run_before_the_run_begins() -> None:
    made = built(on_off([[1, 2], 5, 1], [[3, 4], 1, 100], warm_up=5))
    assert changes(made, 0, 7) == [(0, True), (1, False), (5, True)]  # as from 5 s on above


def test_a_renewal_process_that_has_long_run_is_there_by_its_mean_times() -> None:
    laws = {"on": {"dist": "expon", "scale": 3}, "off": {"dist": "uniform", "scale": 2}}
    made = built({"kind": "on_off", **laws, "warm_up": 100}, clients=4000)
    share = sum(there(made, client, 0) for client in range(4000)) / 4000
    assert abs(share - 3 / 4) < 5 * (0.75 * 0.25 / 4000) ** 0.5


def test_a_client_s_day_begins_at_its_phase() -> None:
    spec = {"kind": "diurnal", "period": 10, "share": 0.4, "phase": {"values": [0, 0.25, 0.9]}}
    made = built(spec)
    assert changes(made, 0, 25) == [
        (0, True), (4, False), (10, True), (14, False), (20, True), (24, False),
    ]  # fmt: skip
    assert changes(made, 1, 15) == [(0, False), (2.5, True), (6.5, False), (12.5, True)]
    assert changes(made, 2, 10) == [(0, True), (3, False), (9, True)]


def test_phases_are_drawn_uniformly_over_the_day() -> None:
    made = built({"kind": "diurnal", "share": 0.3}, clients=2000)
    for hour in (0, 7, 15):
        share = sum(there(made, client, 3600 * hour) for client in range(2000)) / 2000
        assert abs(share - 0.3) < 5 * (0.3 * 0.7 / 2000) ** 0.5


def test_a_coin_is_thrown_for_each_client_and_period() -> None:
    made = built({"kind": "bernoulli", "probability": 0.3, "every_seconds": 5}, clients=40)
    thrown = [[there(made, c, 5 * k + 4.9) for k in range(100)] for c in range(40)]
    assert thrown == [[there(made, c, 5 * k) for k in range(100)] for c in range(40)]
    assert abs(sum(map(sum, thrown)) / 4000 - 0.3) < 5 * (0.3 * 0.7 / 4000) ** 0.5
    u = Streams(1).uniform("availability.coin", 7, 3)
    assert thrown[7][3] == (u < 0.3)


def test_a_coin_may_be_a_client_s_own() -> None:
    made = built({"kind": "bernoulli", "probability": {"values": [0, 1, 0.5]}})
    assert made.state(0, 0) == (False, None)
    assert made.state(1, 0) == (True, None)
    assert len(changes(made, 2, 50)) > 5


def test_a_coin_that_hardly_ever_falls_well_is_found_or_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coins = Streams(1).uniforms("availability.coin", 0, range(200_000))
    first = int((coins < 3e-5).argmax())
    assert first > 2000  # beyond those that are looked at one by one
    law = {"kind": "bernoulli", "probability": {"values": [3e-5, 1e-300, 0.5]}}
    made = built(law)
    assert returns(made, 0, 0) == first * SECOND
    assert made.state(0, (first - 1) * SECOND) == (False, first * SECOND)
    assert made.state(0, first * SECOND) == (True, (first + 1) * SECOND)
    assert returns(made, 1, 0) is None
    # What is in sight does not depend on who asked before.
    monkeypatch.setattr("afl_sim.world.availability.timelines.IN_SIGHT", 1000)
    for asked in ([0, first - 900], [first - 900, 0], [first - 5, first - 900, first - 1500]):
        again = built(law)
        found = [returns(again, 0, period * SECOND) for period in asked]
        assert found == [first * SECOND if first - p <= 1000 else None for p in asked]


def test_a_fleet_of_hardly_ever_there_clients_runs() -> None:
    law = {"kind": "bernoulli", "probability": {"dist": "beta", "a": 0.2, "b": 1}}
    everyone = {"kind": "fedasync", "concurrency": 10}
    outcome = run(world([1] * 40, law, strategy=everyone, stop={"updates": 50}))
    assert outcome.server.counts.aggregated == 50


def test_an_absence_of_no_time_at_all_is_none() -> None:
    def schedule(server: Any) -> Schedule:
        arrived = yield server.wait(server.dispatch_many([0, 1]))
        assert len(arrived) == 2

    never = {"kind": "on_off", "on": 2, "off": 0}
    outcome = run(world([5, 5], never), schedule)
    assert not outcome.of("unavailable", "failed")
    assert build(world(1, {**never, "leaves": 3}).clients.availability, Streams(1)) is not None
    with pytest.raises(ValueError, match=r"on\n.*got 0; expected a duration above 0"):
        world(1, {"kind": "on_off", "on": 0, "off": 2})


def test_clients_join_late_and_leave_for_good() -> None:
    lives = {"joins": {"values": [0, 2, 9]}, "leaves": {"values": [5, 3, 4]}}
    always = built({"kind": "always", **lives})
    assert changes(always, 0, 99) == [(0, True), (5, False)]
    assert changes(always, 1, 99) == [(0, False), (2, True), (3, False)]
    assert changes(always, 2, 99) == [(0, False)]
    assert returns(always, 1, 0) == 2 * SECOND
    assert returns(always, 1, 3 * SECOND) is None
    some = built({**on_off([2, 2, 2], [2, 2, 2]), "joins": 3, "leaves": 9.5})
    assert changes(some, 0, 99) == [(0, False), (4, True), (6, False), (8, True), (9.5, False)]


def test_asking_about_the_future_first_does_not_change_the_present() -> None:
    law = {"dist": "expon"}
    made, again = (built(on_off(law, law)) for _ in range(2))
    late = [there(made, 0, t) for t in (50, 3, 20, 1, 0)]
    assert late == [there(again, 0, t) for t in (0, 1, 3, 20, 50)][::-1][:1] + [
        there(again, 0, t) for t in (3, 20, 1, 0)
    ]


def test_asking_ahead_and_again_costs_no_look_at_all_stays_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked = 0
    drawn = timelines.draw

    def counted(*args: Any) -> float:
        nonlocal looked
        looked += 1
        return drawn(*args)

    monkeypatch.setattr(timelines, "draw", counted)
    made = built(on_off(2, 3))
    for k in range(1000):
        left_us = (5 * k + 2) * SECOND
        assert returns(made, 0, left_us) == left_us + 3 * SECOND
        assert made.state(0, left_us) == (False, left_us + 3 * SECOND)
    assert looked < 10_000  # two draws for each of a thousand stays, three times


# -- traces --------------------------------------------------------------------------------------


def trace(tmp_path: Path, text: str, **more: Any) -> dict[str, Any]:
    file = tmp_path / "phones.csv"
    file.write_text(text)
    return {"kind": "trace", "trace": str(file), **more}


INTERVALS = "client,start,end\n1,4,6\n0,1,2\n0,2,3.5\n0,5,7\n"


def test_intervals_are_read_from_a_file_and_joined(tmp_path: Path) -> None:
    made = built(trace(tmp_path, INTERVALS))
    assert changes(made, 0, 99) == [(0, False), (1, True), (3.5, False), (5, True), (7, False)]
    assert changes(made, 1, 99) == [(0, False), (4, True), (6, False)]
    assert changes(made, 2, 99) == changes(made, 0, 99)  # two in the file: 2 is 0 again


def test_intervals_may_be_repeated(tmp_path: Path) -> None:
    made = built(trace(tmp_path, INTERVALS, repeat=10))
    assert changes(made, 1, 30) == [
        (0, False), (4, True), (6, False), (14, True), (16, False), (24, True), (26, False),
    ]  # fmt: skip


def test_a_trace_is_part_of_the_scenario_by_its_content(tmp_path: Path) -> None:
    block = trace(tmp_path, INTERVALS)
    settings = world(2, block).clients.availability
    assert isinstance(settings, TracedAvailability)
    assert settings.sha256 is not None
    again = type(settings).model_validate(settings.model_dump())
    assert again == settings
    (tmp_path / "phones.csv").write_text(INTERVALS + "1,8,9\n")
    with pytest.raises(ValueError, match="has changed"):
        type(settings).model_validate(settings.model_dump())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("client,start\n0,1\n", "phones.csv:1: no column 'end'; the file has client, start"),
        ("client,start,end\n", "phones.csv has no rows"),
        (
            "client,start,end\n0,1,2\nx,1,2\n",
            "phones.csv:3: client is 'x', but line 2 has a number; expected the same",
        ),
        ("client,start,end\n-1,1,2\n", "phones.csv:2: client is '-1'"),
        ("client,start,end\n0,1\n", "phones.csv:2: 2 cells; expected 3"),
        ("client,start,end\n0,nan,2\n", "phones.csv:2: start is 'nan'; expected a number from 0"),
        ("client,start,end\n0,-1,2\n", "phones.csv:2: start is '-1'; expected a number from 0"),
        ("client,start,end\n0,2,2\n", "phones.csv:2: end 2 is not after start 2"),
        ("client,start,end\n0,1,12\n", "phones.csv:2: lasts 11 s, longer than the repeat of 10"),
        ("client,start,end\n0,10,11\n", "phones.csv:2: start 10 is not before the repeat of 10"),
    ],
)
def test_a_wrong_trace_is_told_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="phones") as caught:
        world(2, trace(tmp_path, text, repeat=10))
    assert told in str(caught.value)


FLEET = """\
clients:
  count: {count}
  availability: {block}
strategy: {{kind: fedasync, concurrency: 1}}
stop: {{updates: 6}}
"""


def fleet(tmp_path: Path, count: int, text: str, keys: str = "") -> Path:
    """A scenario file with a trace beside it."""
    (tmp_path / "phones.csv").write_text(text)
    file = tmp_path / "fleet.yaml"
    block = f"{{kind: trace, trace: phones.csv, {keys}}}"
    file.write_text(FLEET.format(count=count, block=block))
    return file


FROM_ONE = "client,start,end\n1,0,1000000\n2,0,1000000\n"


def test_clients_that_would_be_away_for_ever_are_refused(tmp_path: Path) -> None:
    for count, text, told in (
        (2, FROM_ONE, "of clients 0 to 1, 1 has no row; the first is client 0."),
        (9, FROM_ONE, "of clients 0 to 2, 1 has no row; the first is client 0."),
        (9, "client,start,end\n0,0,9\n4,0,9\n", "of clients 0 to 4, 3 have no row; the first is"),
    ):
        with pytest.raises(ScenarioError) as caught:
            load_scenario(fleet(tmp_path, count, text))
        message = str(caught.value)
        assert message.startswith(f"{tmp_path}/fleet.yaml:3: clients.availability.trace: ")
        assert told in message
        assert "number_clients: in_order" in message


def test_rows_of_clients_that_the_run_does_not_have_are_left_aside(tmp_path: Path) -> None:
    text = "client,start,end\n0,0,9\n1,1,9\n7,2,9\n"  # a gap, but none among clients 0 and 1
    loaded = load_scenario(fleet(tmp_path, 2, text)).clients.availability
    assert isinstance(loaded, TracedAvailability)
    assert loaded.presences.intervals[:2] == (((0, 9_000_000),), ((1_000_000, 9_000_000),))


def test_clients_of_a_trace_may_be_numbered_in_the_order_of_their_ids(tmp_path: Path) -> None:
    from_zero = FROM_ONE.replace("1,0", "0,0").replace("2,0", "1,0")
    plain = load_scenario(fleet(tmp_path, 2, from_zero)).clients.availability
    named = fleet(tmp_path, 2, FROM_ONE, "number_clients: in_order")
    loaded = load_scenario(named).clients.availability
    assert isinstance(loaded, TracedAvailability)
    assert isinstance(plain, TracedAvailability)
    assert loaded.presences.intervals == plain.presences.intervals
    assert [there(built(loaded.model_dump()), client, 0) for client in range(2)] == [True, True]


def test_a_resolved_scenario_keeps_the_unit_and_the_numbering_of_its_trace(tmp_path: Path) -> None:
    text = "client,start,end\n1,9,5000\n2,0,7001\n"
    keys = "factor: 0.001, number_clients: in_order, repeat: 10"
    loaded = load_scenario(fleet(tmp_path, 2, text, keys))
    written = tmp_path / "resolved.yaml"
    written.write_text(dump_scenario(loaded))
    again = load_scenario(written)
    assert again == loaded
    assert scenario_id(again) == scenario_id(loaded)
    first, second = loaded.clients.availability, again.clients.availability
    assert isinstance(first, TracedAvailability)
    assert isinstance(second, TracedAvailability)
    assert first.presences == second.presences
    assert first.presences.intervals == (((9_000, 5_000_000),), ((0, 7_001_000),))
    plain = load_scenario(fleet(tmp_path, 2, "client,start,end\n0,0,1\n1,0,1\n"))
    assert not {"factor", "number_clients"} & plain.clients.availability.model_dump().keys()


def test_every_mistake_of_a_trace_is_told_once_under_its_key(tmp_path: Path) -> None:
    text = "client,start,end\n1,0,x\n-2,0,1\n3,5,4\nq,1,2\n"
    with pytest.raises(ScenarioError) as caught:
        load_scenario(fleet(tmp_path, 2, text))
    place = f"{tmp_path}/fleet.yaml:3: clients.availability.trace: {tmp_path}/phones.csv"
    told = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in (each.removeprefix(place) for each in told)] == [
        ":2", ":3", ":4", ":5",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("factor: 0", "clients.availability.factor: got 0; expected more than 0"),
        ("factor: {start: 2}", "clients.availability.factor: got a block; expected a number"),
        ("number_clients: by_name", "number_clients: got 'by_name'; expected in_order"),
        ("sha256: abc", "clients.availability.sha256: "),
        ("trce: 1", "clients.availability.trce: unknown key"),
    ],
)
def test_keys_beside_a_trace_are_told_by_their_name(keys: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_scenario(fleet(tmp_path, 2, INTERVALS, keys))
    (line,) = str(caught.value).splitlines()
    assert told in line


# -- choosing among those that are there ---------------------------------------------------------


def test_only_clients_that_are_there_are_picked() -> None:
    def schedule(server: Any) -> Schedule:
        assert sorted(server.pick(9)) == [0, 2]
        assert server.pick(9, among=[1, 2]) == [2]
        assert sorted(server.sample(9)) == [0, 2]
        assert server.idle == 3
        yield server.sleep(2)
        assert sorted(server.pick(9)) == [0, 1]
        yield server.sleep(2)
        assert server.pick(9) == [1]

    lives = {"joins": {"values": [0, 1, 0]}, "leaves": {"values": [3, 9, 2]}}
    run(world([1, 1, 1], {"kind": "always", **lives}), schedule)


def test_picks_are_uniform_among_those_that_are_there() -> None:
    found: Counter[int] = Counter()

    def schedule(server: Any) -> Schedule:
        for _ in range(3000):
            found.update(server.pick(1))
        yield server.sleep(1)

    joins = {"values": [0, 5, 5, 0, 0, 5]}
    run(world([1] * 6, {"kind": "always", "joins": joins}), schedule)
    assert sorted(found) == [0, 3, 4]
    assert all(abs(n - 1000) < 5 * (3000 * 2 / 9) ** 0.5 for n in found.values())


def test_one_is_picked_of_those_there_else_the_one_that_is_back_first() -> None:
    def schedule(server: Any) -> Schedule:
        assert server.pick_one() == 1  # all are away: client 1 comes at 2 s
        assert server.workers(2) == [1, 2]
        yield server.sleep(4)
        assert sorted(server.workers(2)) == [1, 2]
        assert server.workers(9)[-1] == 0

    run(world([1] * 3, {"kind": "always", "joins": {"values": [7, 2, 4]}}), schedule)


def test_waiting_for_idle_clients_waits_until_they_are_there() -> None:
    seen = []

    def schedule(server: Any) -> Schedule:
        for n, among in ((1, None), (2, None), (1, [0]), (3, None)):
            yield server.wait_idle(n, among)
            seen.append(server.now)

    run(world([1] * 3, {"kind": "always", "joins": {"values": [7, 2, 4]}}), schedule)
    assert seen == [2, 4, 7, 7]


def test_idle_clients_that_come_and_go_are_asked_about_again() -> None:
    seen = []

    def schedule(server: Any) -> Schedule:
        while server.now < 9:
            yield server.wait_idle()
            seen.append((server.now, server.pick(2)))
            yield server.sleep(1)

    run(world([1, 1], on_off([[1], [1]], [[2], [4]])), schedule)
    assert [(time, sorted(who)) for time, who in seen] == [
        (0, [0, 1]), (3, [0]), (5, [1]), (6, [0]), (9, [0]),
    ][: len(seen)]  # fmt: skip
    assert len(seen) >= 4


# -- sending to clients that are away ------------------------------------------------------------


def test_a_client_that_is_away_is_sent_the_model_of_its_return() -> None:
    def schedule(server: Any) -> Schedule:
        late, task = server.dispatch(0), server.dispatch(1)
        assert late.in_flight
        assert server.in_flight == (task, late)
        assert server.under_way == (task,)
        assert server.idle == 0
        yield server.aggregate([(yield server.arrival())])
        arrived = yield server.wait([late])
        assert (server.now, arrived, late.base_version) == (8, [late], 1)

    outcome = run(world([1, 2], {"kind": "always", "joins": {"values": [7, 0]}}), schedule)
    assert outcome.story("available", "dispatched") == [
        (0, "dispatched", 1),
        (7, "available", 0),
        (7, "dispatched", 0),
    ]
    assert outcome.server.counts.dispatched == 2


@pytest.mark.parametrize("word", ["cancel", "recall"])
def test_a_task_that_was_never_sent_is_taken_back_without_a_trace(word: str) -> None:
    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(1)
        getattr(server, word)(task)
        assert server.idle == 1
        assert (yield server.wait([task])) == []
        yield server.sleep(20)

    outcome = run(world([1], {"kind": "always", "joins": 7}), schedule)
    assert [event.kind for event in outcome.events] == ["evaluated", "evaluated"]


@pytest.mark.parametrize("word", ["cancel", "discard", "recall"])
def test_a_recalled_task_that_was_never_sent_can_be_given_up_like_one_that_failed(
    word: str,
) -> None:
    def schedule(server: Any) -> Schedule:
        task = server.recall(server.dispatch(0))
        getattr(server, word)(task)
        assert server.idle == 1
        yield server.sleep(20)

    run(world([1], {"kind": "always", "joins": 7}), schedule)


def test_a_client_that_has_left_for_good_is_sent_nothing() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.sleep(2)
        task = server.dispatch(0)
        assert not task.in_flight
        assert (yield server.wait([task])) == []
        assert server.idle == 1

    outcome = run(world([1], {"kind": "always", "leaves": 1}), schedule)
    assert outcome.server.counts.dispatched == 0


# -- leaving in the middle of a task -------------------------------------------------------------


def one_task(server: Any) -> Schedule:
    """Wait for a task of client 0 and use it."""
    task = server.dispatch(0, retry=False)
    yield server.aggregate((yield server.wait([task])))


def rows(outcome: Outcome) -> list[tuple[float, str]]:
    return [(e.time_us / SECOND, e.kind) for e in outcome.events if e.kind != "evaluated"]


LEAVING = on_off([[3, 100]], [[10]])


@pytest.mark.parametrize(
    ("legs", "before"),
    [
        ((4, 1, 1), []),
        ((1, 4, 1), [(1, "downloaded")]),
        ((1, 1, 4), [(1, "downloaded"), (2, "computed")]),
    ],
)
def test_the_work_of_a_client_that_leaves_is_lost(legs: Any, before: Any) -> None:
    down, compute, up = legs
    outcome = run(world([compute], {**LEAVING, "on_leave": "lost"}, down=down, up=up), one_task)
    assert rows(outcome) == [(0, "dispatched"), *before, (3, "unavailable"), (3, "failed")]
    assert outcome.server.counts.failed == 1
    assert outcome.server.idle == 1


@pytest.mark.parametrize(
    ("legs", "ends"),
    [((4, 1, 1), (14, 15, 16)), ((1, 4, 1), (1, 15, 16)), ((1, 1, 4), (1, 2, 16))],
)
def test_a_paused_task_goes_on_where_it_was(legs: Any, ends: Any) -> None:
    down, compute, up = legs
    outcome = run(world([compute], {**LEAVING, "on_leave": "paused"}, down=down, up=up), one_task)
    legs_of = ("downloaded", "computed", "arrived")
    assert outcome.story(*legs_of) == [(t, k, 0) for t, k in zip(ends, legs_of, strict=True)]
    assert outcome.story("unavailable", "available") == [
        (3, "unavailable", 0),
        (13, "available", 0),
    ]


def test_a_task_may_be_paused_again_and_again() -> None:
    availability = {**on_off([[2]], [[3]]), "on_leave": "paused"}
    outcome = run(world([5], availability), one_task)  # 0-2, 5-7, 10-11
    assert outcome.story("arrived") == [(11, "arrived", 0)]


def test_what_ends_at_the_instant_of_leaving_has_ended_in_time() -> None:
    for on_leave in ("lost", "paused", "partial"):
        outcome = run(world([3], {**LEAVING, "on_leave": on_leave}), one_task)
        assert rows(outcome)[-1] == (3, "aggregated")


@pytest.mark.parametrize(("seconds", "steps"), [(4, 7), (30, 1), (31, 0)])
def test_a_client_that_leaves_sends_the_steps_that_it_has_done(seconds: float, steps: int) -> None:
    availability = {**LEAVING, "on_leave": "partial"}
    outcome = run(world([seconds], availability, up=1, training={"steps": 10}), one_task)
    if steps:
        (arrived,) = outcome.of("arrived")
        assert (arrived.time_us, arrived.steps) == (4 * SECOND, steps)
    else:
        assert rows(outcome)[-2:] == [(3, "unavailable"), (3, "failed")]


def test_a_client_may_finish_its_task_before_it_goes() -> None:
    outcome = run(world([7], {**LEAVING, "on_leave": "finish"}), one_task)
    assert rows(outcome)[-2:] == [(7, "arrived"), (7, "aggregated")]


def test_a_client_that_leaves_makes_way_on_a_link() -> None:
    # Client 0 is served from 1 s, leaves at 3 s with half of its upload done, and is back at 8 s.
    def schedule(server: Any) -> Schedule:
        yield server.wait(server.dispatch_many([0, 1]))

    settings = world(
        [1, 1],
        {**on_off([[3, 99], 99], [[5], 1]), "on_leave": "paused"},
        server={"upload": {"kind": "fifo", "bandwidth": 250}},
    )
    outcome = run(settings, schedule)
    assert outcome.story("arrived") == [(7, "arrived", 1), (10, "arrived", 0)]


def test_a_paused_task_can_be_cancelled_or_recalled() -> None:
    def cancelling(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(5)
        server.cancel(task)
        assert server.idle == 1
        yield server.sleep(50)

    def recalling(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(5)
        arrived = yield server.wait([server.recall(task)])
        assert (server.now, arrived[0].steps) == (13, 6)

    settings = world([5], {**LEAVING, "on_leave": "paused"}, training={"steps": 10})
    assert rows(run(settings, cancelling))[-2:] == [(3, "unavailable"), (5, "cancelled")]
    run(settings, recalling)


def test_a_client_that_keeps_its_result_until_polled_is_paused_too() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=10, until_polled=True)
        yield server.sleep(5)
        assert server.sample(1) == []
        with pytest.raises(ScheduleError, match="client 0 is away"):
            server.poll(0)
        yield server.sleep(9)  # 3 s and 1 s of work
        polled = server.poll(0)
        assert polled.steps == 4
        yield server.wait([polled])

    for on_leave in ("paused", "partial"):
        run(world([10], {**LEAVING, "on_leave": on_leave}), schedule)


# -- failures ------------------------------------------------------------------------------------


def test_a_wait_goes_on_without_a_task_that_fails() -> None:
    def schedule(server: Any) -> Schedule:
        arrived = yield server.wait(server.dispatch_many([0, 1]))
        assert (server.now, [task.client for task in arrived]) == (3, [1])
        assert server.idle == 2

    run(world([5, 1], on_off([[3], 99], [[9], 1])), schedule)


def test_a_failed_task_for_the_inbox_is_sent_again_when_its_client_is_back() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch(0)
        update = yield server.arrival()
        assert (server.now, update.client, update.task) == (18, 0, 1)

    outcome = run(world([5], LEAVING), schedule)  # fails at 3 s, begins anew at 13 s
    assert outcome.story("failed", "dispatched", "arrived") == [
        (0, "dispatched", 0),
        (3, "failed", 0),
        (13, "dispatched", 0),
        (18, "arrived", 0),
    ]


def test_where_any_client_would_do_another_takes_the_place_of_one_that_failed() -> None:
    def schedule(server: Any) -> Schedule:
        server.send()
        update = yield server.arrival()
        assert (server.now, update.client) == (8, 1)

    settings = world([5, 5], {**on_off([[3], 99], [[99], 1]), "joins": {"values": [0, 1]}})
    outcome = run(settings, schedule)
    assert outcome.story("dispatched") == [(0, "dispatched", 0), (3, "dispatched", 1)]


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial", "finish"])
@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedasync", "concurrency": 5},
        {"kind": "fedbuff", "concurrency": 5, "buffer_size": 3},
        {"kind": "ringmaster", "concurrency": 5},
        {"kind": "asyncsgd", "concurrency": 5},
        {"kind": "rennala", "concurrency": 5},
    ],
    ids=lambda block: block["kind"],
)
def test_as_many_tasks_are_under_way_as_ever(strategy: dict[str, Any], on_leave: str) -> None:
    law = {"dist": "expon", "scale": 4}
    availability = {"kind": "on_off", "on": law, "off": 1e-6, "on_leave": on_leave}
    settings = scenario(
        40,
        compute={"seconds_per_task": {"dist": "expon", "scale": 2}},
        fleet={"availability": availability},
        strategy=strategy,
        stop={"updates": 300},
    )
    outcome = run(settings)
    under_way, counted = 0, Counter[int]()
    change = {"dispatched": 1, "arrived": -1, "failed": -1, "cancelled": -1}
    for i, event in enumerate(outcome.events[:-1]):
        under_way += change.get(event.kind, 0)
        # Whoever returns within a microsecond of leaving is sent the next model then.
        if outcome.events[i + 1].time_us > event.time_us + 1:
            counted[under_way] += 1
    assert set(counted) == {5}
    assert bool(outcome.of("failed")) == (on_leave in ("lost", "partial"))


def test_an_idle_client_of_a_huge_population_costs_nothing() -> None:
    settings = scenario(
        200_000_000,
        compute={"seconds_per_task": {"dist": "expon", "scale": 600}},
        fleet={"availability": {"kind": "diurnal", "share": 0.3}},
        strategy={"kind": "fedasync", "concurrency": 50},
        stop={"updates": 400},
    )
    tracemalloc.start()
    outcome = run(settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.of("failed")
    assert peak < 2e7  # a table of plans, whose size is fixed: a tenth of a byte a client


# -- when there is nobody ------------------------------------------------------------------------

STRATEGIES = [
    {"kind": "fedavg", "clients_per_round": 2},
    {"kind": "fedasync", "concurrency": 2},
    {"kind": "fedbuff", "concurrency": 3, "buffer_size": 2},
    {"kind": "fedat", "tiers": 2, "clients_per_round": 1},
    {"kind": "ringmaster"},
    {"kind": "asyncsgd"},
    {"kind": "ringleader"},
    {"kind": "safa"},
    {"kind": "tifl", "tiers": 2, "clients_per_round": 1},
    {"kind": "mifa"},
    {"kind": "port", "concurrency": 2, "buffer_size": 2},
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda block: block["kind"])
def test_a_run_whose_clients_have_all_left_for_good_says_so(strategy: dict[str, Any]) -> None:
    settings = world(
        [1] * 4,
        {"kind": "always", "leaves": 2.5},
        strategy=strategy,
        stop={"versions": 1000},
        evaluation={"every_seconds": 1},
    )
    with pytest.raises(ScheduleError, match="no idle client will ever be there again"):
        run(settings)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda block: block["kind"])
@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial", "finish"])
def test_a_server_whose_clients_sleep_goes_on_when_they_wake(
    strategy: dict[str, Any], on_leave: str
) -> None:
    night = {"kind": "diurnal", "period": 100, "share": 0.2, "phase": 0, "on_leave": on_leave}
    outcome = run(world([1] * 4, night, strategy=strategy, stop={"virtual_seconds": 510}))
    days = Counter(event.time_us // (100 * SECOND) for event in outcome.of("aggregated"))
    assert sorted(days) == [0, 1, 2, 3, 4, 5]
    late = [e for e in outcome.of("aggregated") if e.time_us % (100 * SECOND) > 22 * SECOND]
    assert not late
