"""Runs that would never end are told from runs that only take long."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from world_runs import run, scenario

from afl_sim.errors import ScenarioError, ScheduleError
from afl_sim.run.kinds import catalogue
from afl_sim.run.schedule_trial import may_take_no_time, standing_still
from afl_sim.run.validation import check_study
from afl_sim.scenario import Scenario, ValidationContext
from afl_sim.strategies import strategies
from afl_sim.world.server import standstill

Schedule = Iterator[Any]
EARLY = {"kind": "fedavg", "clients_per_round": 2, "deadline": 1.0}


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standstill, "LIMIT", 2_000)


def one_by_one(server: Any) -> Schedule:
    server.dispatch_many(range(server.clients))
    while True:
        update = yield server.arrival()
        yield server.aggregate([update])
        server.dispatch(update.client)


@pytest.mark.parametrize("late", ["cancel", "discard"])
@pytest.mark.parametrize("stop", ["versions", "updates", "samples"])
def test_a_deadline_that_nobody_meets_is_an_error(late: str, stop: str) -> None:
    settings = scenario([3, 2, 2], strategy={**EARLY, "late": late}, stop={stop: 10})
    with pytest.raises(ScheduleError, match=r"0 versions: none of the last .* tasks .* deadline"):
        run(settings)


SHORT_STAYS = {"availability": {"kind": "on_off", "on": 2, "off": 3}}


@pytest.mark.parametrize(
    ("strategy", "seconds", "ways"),
    [
        ("fedavg", 0, {"up": 5}),
        ("fedavg", 5, {}),
        ("asyncsgd", 0, {"up": 5}),
        ("asyncsgd", 0, {"down": 5}),
        ("asyncsgd", 5, {}),
        ({"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 1}, 0, {"up": 5}),
    ],
)
def test_stays_into_which_no_task_fits_are_an_error_that_says_so(
    strategy: Any, seconds: float, ways: dict[str, float]
) -> None:
    settings = scenario(
        [[seconds]] * 3, strategy=strategy, fleet=SHORT_STAYS, stop={"versions": 10}, **ways
    )
    with pytest.raises(ScheduleError) as caught:
        run(settings)
    message = str(caught.value)
    assert "0 versions: none of the last" in message
    assert "most because their clients left: client " in message
    assert " s of the last task, which takes " in message
    assert message.endswith("5 s from download to upload")


def test_stays_into_which_no_task_fits_are_told_where_time_is_up_at_last() -> None:
    settings = scenario([5] * 3, strategy="asyncsgd", fleet=SHORT_STAYS)
    remark = run(settings).ending.remark
    assert remark is not None
    assert remark.startswith("no version was made: of 600 tasks 600 were lost")
    assert remark.endswith(
        "most were lost because their clients left: client 2 was there for 2 s of the last task, "
        "which takes 5 s from download to upload"
    )


def test_stays_into_which_a_task_fits_now_and_then_are_no_error() -> None:
    seconds = [[*([5.0] * 700), 0.5] * 6] * 3
    settings = scenario(seconds, strategy="asyncsgd", fleet=SHORT_STAYS, stop={"versions": 9})
    assert run(settings).ending.rule == "versions"


def test_polls_that_find_nobody_while_clients_come_and_go_are_an_error() -> None:
    polls = {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 5}
    stays = {"kind": "on_off", "on": 2, "off": 3, "on_leave": "paused"}
    late = {"availability": {**stays, "warm_up": 3}}  # away at every poll
    settings = scenario([0.5] * 3, strategy=polls, fleet=late, stop={"versions": 10})
    with pytest.raises(ScheduleError, match="all clients wait for a poll, but no poll finds one"):
        run(settings)
    timed = scenario([0.5] * 3, strategy=polls, fleet=late)
    assert run(timed).ending.rule == "virtual_seconds"
    on_time = {"availability": stays}
    settings = scenario([0.5] * 3, strategy=polls, fleet=on_time, stop={"versions": 10})
    assert run(settings).ending.rule == "versions"


@pytest.mark.parametrize("seconds", [1.0, 20_000.0])
def test_polls_that_find_nobody_all_night_are_no_error(seconds: float) -> None:
    polls = {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 1}
    night = {"kind": "on_off", "on": 20, "off": 20_000, "on_leave": "paused"}
    settings = scenario(
        [seconds] * 3, strategy=polls, fleet={"availability": night}, stop={"versions": 40}
    )
    assert run(settings).ending.rule == "versions"


DAYTIME = {"kind": "diurnal", "period": 10, "share": 0.3, "phase": 0, "on_leave": "paused"}


@pytest.fixture
def at_night(tmp_path: Path) -> dict[str, Any]:
    """A bandwidth that is 0 whenever clients that have `DAYTIME` are there."""
    file = tmp_path / "night.csv"
    file.write_text("start,end,bandwidth\n0,4,0\n4,10,100\n")
    return {"bandwidth_trace": {"trace": str(file)}}


@pytest.mark.parametrize("phase", ["downloading", "uploading"])
@pytest.mark.parametrize("whose", ["client", "fifo", "shared"])
def test_tasks_that_get_no_further_at_any_stay_are_an_error_that_says_so(
    whose: str, phase: str, at_night: dict[str, Any]
) -> None:
    settings: dict[str, Any] = {"down" if phase == "downloading" else "up": at_night}
    if whose != "client":
        link = {"kind": whose, **at_night}
        settings = {"server": {"download" if phase == "downloading" else "upload": link}}
    settings |= {"fleet": {"availability": DAYTIME}, "strategy": "asyncsgd"}
    with pytest.raises(ScheduleError) as caught:
        run(scenario([1] * 3, stop={"versions": 3}, **settings))
    message = str(caught.value)
    assert "0 versions: clients come and go, but no task gets any further while its" in message
    assert f"its task last did ({phase}); perhaps a link carries nothing then" in message
    timed = run(scenario([1] * 3, **settings))
    assert timed.ending.rule == "virtual_seconds"


def test_polls_of_tasks_that_get_no_further_are_an_error_too(at_night: dict[str, Any]) -> None:
    at_dusk = {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 5}
    stays = {"kind": "on_off", "on": 2, "off": 8, "warm_up": 9, "on_leave": "paused"}
    settings = scenario(
        [0.5] * 3,
        strategy=at_dusk,
        down=at_night,
        fleet={"availability": stays},  # 1 s to 3 s of every 10 s
        stop={"versions": 3},
    )
    with pytest.raises(ScheduleError, match=r"no task gets any further .* \(downloading\)"):
        run(settings)


def test_a_link_that_seldom_carries_anything_is_no_standstill(tmp_path: Path) -> None:
    file = tmp_path / "seldom.csv"
    file.write_text("start,end,bandwidth\n0,7990,0\n7990,8000,100\n")  # one day in 800
    settings = scenario(
        [1] * 3,
        strategy="asyncsgd",
        up={"bandwidth_trace": {"trace": str(file)}},
        fleet={"availability": DAYTIME},
        stop={"versions": 3},
    )
    outcome = run(settings)
    assert outcome.ending.rule == "versions"
    # Of 1000 bytes 300 pass at each of three such days, and 100 at the fourth.
    assert outcome.ending.time_us == (3 * 8000 + 7990 + 1) * 1_000_000


@pytest.mark.parametrize(
    "varies", [{}, {"slowdowns": {"factor": 2, "fast_seconds": 4, "slow_seconds": 2}}]
)
def test_a_task_that_takes_thousands_of_stays_is_no_standstill(varies: Any) -> None:
    compute = {"seconds_per_task": 9_000, **varies}
    settings = scenario(
        3,
        strategy="asyncsgd",
        compute=compute,
        fleet={"availability": DAYTIME},
        stop={"versions": 1},
    )
    outcome = run(settings)
    assert outcome.ending.time_us > 2_900 * 10 * 1_000_000


def test_a_step_that_takes_thousands_of_stays_is_no_standstill() -> None:
    polls = {"kind": "quafl", "clients_per_round": 2, "interaction_seconds": 50_000}
    settings = scenario(
        3,
        strategy=polls,
        compute={"seconds_per_step": 9_000},
        fleet={"availability": DAYTIME},
        stop={"versions": 2},
    )
    assert run(settings).ending.rule == "versions"


def test_clients_that_come_and_go_do_not_hide_one_that_works(at_night: dict[str, Any]) -> None:
    stays = {**DAYTIME, "kind": "on_off", "on": {"values": [3, 1e7]}, "off": 7}
    for key in ("period", "share", "phase"):
        del stays[key]
    settings = scenario(
        [1, 200_000],
        strategy="asyncsgd",
        up=at_night,
        fleet={"availability": stays},
        stop={"versions": 1},
    )
    outcome = run(settings)
    assert outcome.of("arrived")[0].client == 1


def test_a_deadline_that_nobody_meets_is_no_error_where_time_is_up_at_last() -> None:
    settings = scenario([3, 2, 2], strategy=EARLY, stop={"virtual_seconds": 3000})
    outcome = run(settings)
    assert outcome.ending.rule == "virtual_seconds"
    assert outcome.server.counts.cancelled > 2 * standstill.LIMIT


def test_rounds_that_come_to_nothing_are_no_error_where_others_do_not() -> None:
    # One task in two hundred is in time.
    often = {"kind": "fedavg", "clients_per_round": 1, "deadline": 1.0}
    slow = [[*([5.0] * 199), 0.5] * 12]
    settings = scenario(slow, strategy=often, stop={"versions": 12})
    outcome = run(settings)
    assert outcome.server.counts.cancelled == 199 * 12 > standstill.LIMIT + 100


# A strategy that waits by itself, and so goes on where nothing takes time.
WAITS = {"favas", "fedfix", "quafl"}
_TIERS: dict[str, Any] = {"tiers": 2, "clients_per_round": 2}
_BUFFER: dict[str, Any] = {"concurrency": 4, "buffer_size": 2}
_ROUND: dict[str, Any] = {"clients_per_round": 2}
FEW = {
    "fedat": _TIERS,
    "tifl": _TIERS,
    "fedbuff": _BUFFER,
    "ca2fl": _BUFFER,
    "fadas": _BUFFER,
    "port": _BUFFER,
    "fedstaleweight": _BUFFER,
    "momentum_approximation": _BUFFER,
    "fedac": _BUFFER,
    "fedpsa": _BUFFER,
    "quafl": _ROUND,
    "favas": _ROUND,
    "fedavg": _ROUND,
    "fedprox": _ROUND,
    "scaffold": _ROUND,
    "feddyn": _ROUND,
    "fedasync": {"concurrency": 4},
    "fedfa": {"concurrency": 4},
}
NEEDS_TIME = {
    "async_weighted": "weights: unbiased needs tasks that take time, and client 0's take none",
    "optimized_asyncsgd": "routing by speed needs tasks that take time, and client 0's take none",
    "rescaled_asgd": "steps in proportion to time need tasks that take time, and client",
    "fedcompass": "the scheduler needs the time of a step, and client",
    "fedqueue": "the scheduler needs the time of a step, and client",
    "shadowheart": "gradients are shared out by the time that they take, and client",
}


def without_time(kind: str, stop: dict[str, Any], **settings: Any) -> Scenario:
    """Six clients whose tasks take no time at all."""
    return scenario([0] * 6, strategy={"kind": kind, **FEW.get(kind, {}), **settings}, stop=stop)


@pytest.mark.parametrize("kind", sorted(strategies()))
def test_every_strategy_copes_with_tasks_that_take_no_time_or_says_so_before_a_run(
    kind: str,
) -> None:
    built = without_time(kind, {"updates": 50})
    complaints = list(standing_still(built))
    if kind in NEEDS_TIME:
        ((path, message),) = complaints
        assert path == ("clients", "compute")
        assert NEEDS_TIME[kind] in message
        return
    assert complaints == []
    outcome = run(built)
    assert outcome.ending.rule == "updates"
    assert (outcome.ending.time_us > 0) == (kind in WAITS)


@pytest.mark.parametrize("kind", ["fedasync", "fedfix"])
def test_a_horizon_that_is_never_reached_is_told_before_a_run(kind: str) -> None:
    complaints = list(standing_still(without_time(kind, {"virtual_seconds": 1000})))
    if kind in WAITS:
        assert complaints == []
        return
    ((path, message),) = complaints
    assert path == ("clients", "compute")
    assert "virtual time stands still" in message
    assert message.endswith("expected durations above 0")


def test_weights_that_need_no_durations_ask_for_none() -> None:
    built = without_time("async_weighted", {"updates": 20}, weights="identical")
    assert list(standing_still(built)) == []
    assert run(built).ending.rule == "updates"
    by_speed = without_time("generalized_asyncsgd", {"updates": 20}, sampling="speed")
    ((_, message),) = standing_still(by_speed)
    assert "sampling by speed needs tasks that take time" in message


@pytest.mark.parametrize(
    "compute",
    [
        {"seconds_per_step": 0},
        {"seconds_per_step": 0, "jitter_seconds": 3},  # what a task waits is no time of a step
    ],
)
def test_steps_that_take_no_time_are_told_with_the_line_where_their_times_are_read(
    compute: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "steps.yaml"
    path.write_text(
        f"clients:\n  count: 3\n  compute: {compute}\n  network: {{upload: {{latency: 2}}}}\n"
        "strategy: fedqueue\nstop: {updates: 9}\n"
    )
    what = r"steps.yaml:3: clients.compute: steps may take no time at all, and strategy fedqueue"
    with pytest.raises(ScenarioError, match=what):
        check_study(path, timing_only=True)
    assert check_study(path, ["strategy=fedcompass"], timing_only=True)


def test_reports_of_whole_tasks_and_clients_that_send_parts_exclude_each_other(
    tmp_path: Path,
) -> None:
    path = tmp_path / "parts.yaml"
    path.write_text(
        "clients:\n  count: 3\n  compute: {seconds_per_step: 1}\n  availability:\n"
        "    kind: on_off\n    on: 3\n    off: 2\n    on_leave: partial\n"
        "strategy: fedqueue\nstop: {updates: 9}\n"
    )
    what = r"parts.yaml:8: clients.availability.on_leave: got 'partial', but fedqueue learns from"
    with pytest.raises(ScenarioError, match=what):
        check_study(path, timing_only=True)
    assert check_study(path, ["clients.availability.on_leave=paused"], timing_only=True)
    assert check_study(path, ["strategy=fedcompass"], timing_only=True)


def test_versions_that_come_without_an_event_are_told_from_progress() -> None:
    def never_waits(server: Any) -> Schedule:  # one step of the clock, which has no end
        while True:
            server.dispatch(0)
            yield server.aggregate(server.arrivals())

    with pytest.raises(ScheduleError, match="virtual time stands still"):
        run(scenario([0], stop={"virtual_seconds": 5}), never_waits)


@pytest.mark.parametrize(
    ("settings", "may"),
    [
        ({"compute": {"seconds_per_task": 0}}, True),
        ({"compute": {"seconds_per_task": {"values": [0, 1, 1]}}}, True),
        ({"compute": {"seconds_per_task": 1, "jitter": {"dist": "poisson", "mu": 2}}}, True),
        ({"compute": {"seconds_per_task": 1, "jitter": {"dist": "gamma", "a": 2}}}, False),
        ({"compute": {"seconds_per_task": 0, "jitter_seconds": {"dist": "expon"}}}, False),
        ({"compute": {"seconds_per_task": 0}, "network": {"upload": {"latency": 0.1}}}, False),
        ({"compute": {"seconds_per_task": 0}, "network": {"upload": {"bandwidth": 5}}}, False),
    ],
)
def test_whether_tasks_may_take_no_time(settings: dict[str, Any], may: bool) -> None:
    fields = {"name": "x", "clients": {"count": 3, **settings}, "strategy": "asyncsgd"}
    built = Scenario.model_validate(
        {**fields, "stop": {"updates": 5}}, context=ValidationContext(catalogue())
    )
    assert may_take_no_time(built) == may


def test_it_is_told_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "still.yaml"
    path.write_text(
        "clients:\n  count: 4\n  compute: {seconds_per_task: 0}\n"
        "strategy: {kind: fedasync, concurrency: 2}\nstop: {virtual_seconds: 10}\n"
    )
    with pytest.raises(ScenarioError, match=r"still.yaml:3: clients.compute: tasks may take no t"):
        check_study(path, timing_only=True)
    assert check_study(path, ["stop={updates: 9}"], timing_only=True)


@pytest.mark.parametrize("strategy", [None, "fedavg"])
def test_a_world_without_time_never_reaches_a_horizon(strategy: str | None) -> None:
    settings = scenario([0, 0, 0], stop={"virtual_seconds": 5})
    with pytest.raises(
        ScheduleError, match="virtual time stands still, because nothing takes any time"
    ):
        run(settings, None if strategy else one_by_one)


@pytest.mark.parametrize("stop", ["versions", "updates"])
def test_a_world_without_time_may_reach_another_rule(stop: str) -> None:
    outcome = run(scenario([0, 0, 0], stop={stop: 6_000}), one_by_one)
    assert (outcome.ending.time_us, outcome.ending.rule) == (0, stop)


def test_much_may_happen_at_one_instant() -> None:
    settings = scenario(3_000, compute={"seconds_per_task": 1.0}, stop={"virtual_seconds": 2})
    outcome = run(settings, one_by_one)
    assert outcome.server.version == 3_000


def test_a_server_that_waits_while_nobody_has_a_task_is_an_error() -> None:
    def schedule(server: Any) -> Schedule:
        while True:
            yield server.sleep(1)

    with pytest.raises(ScheduleError, match="goes on waiting, but no client has a task"):
        run(scenario([1], stop={"versions": 1}), schedule)


def test_a_server_may_look_in_as_often_as_it_likes_while_somebody_works() -> None:
    def schedule(server: Any) -> Schedule:
        update = server.dispatch(0)
        while not server.arrivals():
            yield server.sleep(0.01)
        yield server.aggregate([update])

    outcome = run(scenario([200], stop={"versions": 1}), schedule)
    assert outcome.server.version == 1


@pytest.mark.parametrize(
    "strategy",
    [
        {"kind": "fedavg", "clients_per_round": 2},  # waits until somebody is idle and there
        {"kind": "fedasync", "concurrency": 2},  # has tasks that wait for their clients
    ],
    ids=lambda block: block["kind"],
)
def test_a_long_night_is_no_standstill(strategy: dict[str, Any]) -> None:
    day = {"kind": "diurnal", "period": 20_000, "share": 0.25, "phase": 0, "on_leave": "lost"}
    settings = scenario(
        [1000] * 3,
        strategy=strategy,
        fleet={"availability": day},
        evaluation={"every_seconds": 1},
        stop={"versions": 20},
    )
    outcome = run(settings)
    assert outcome.server.version == 20
    assert outcome.ending.time_us > 20_000 * 1_000_000


def test_clients_that_are_never_there_together_are_not_waited_for_for_ever() -> None:
    def schedule(server: Any) -> Schedule:
        yield server.sleep(0.5)
        yield server.wait_idle(2)

    # One is there in even seconds, the other in odd ones.
    turns = {
        "kind": "on_off",
        "on": {"values": [1, {"sequence": [1e-6, 0.9]}]},
        "off": {"values": [1, {"sequence": [1, 1.1]}]},
    }
    settings = scenario([1, 1], fleet={"availability": turns}, stop={"versions": 1})
    with pytest.raises(ScheduleError, match="goes on waiting, but no client has a task"):
        run(settings, schedule)


def test_updates_that_are_never_used_are_no_progress() -> None:
    def hoards(server: Any) -> Schedule:
        while True:
            server.dispatch(0)
            yield server.arrival()

    with pytest.raises(
        ScheduleError, match=r"none of the last [234],\d+ updates that arrived was used"
    ):
        run(scenario([1], stop={"versions": 1}), hoards)


def test_a_large_batch_of_updates_is_no_standstill() -> None:
    settings = scenario(
        [1, 1], strategy={"kind": "rennala", "batch_size": 2000}, stop={"versions": 5}
    )
    assert run(settings).server.version == 5
