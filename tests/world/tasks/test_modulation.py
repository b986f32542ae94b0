"""Speeds that vary in the course of time: slow-downs that come and go, and hours of the day."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from world_runs import SECOND, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.sections.modulation import Hours as HoursSpec
from afl_sim.scenario.sections.modulation import Slowdowns as SlowdownsSpec
from afl_sim.streams import Streams
from afl_sim.world.tasks import modulation
from afl_sim.world.tasks.modulation import Hours, Slowdowns, product, stretch, work_done

Schedule = Iterator[Any]
TWO_SPEEDS = {"speed": [1.0, 0.5], "period_seconds": 20}
TAKES_TURNS = {"factor": 2, "fast_seconds": 4, "slow_seconds": 2}


def seconds_of(compute: dict[str, Any], clients: int = 1, tasks: int = 1, **others: Any) -> Any:
    """Seconds of computation of each client's tasks, sent back to back, as lists."""

    def schedule(server: Any) -> Schedule:
        for _ in range(tasks):
            yield server.wait(server.dispatch_many(range(server.clients)))

    outcome = run(scenario(clients, compute=compute, **others), schedule)
    began = {(row.client, row.task): row.time_us for row in outcome.of("downloaded")}
    ended = {(row.client, row.task): row.time_us for row in outcome.of("computed")}
    return [[(ended[c, k] - began[c, k]) / SECOND for k in range(tasks)] for c in range(clients)]


# -- the hour --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speed", "phase", "task", "expected"),
    [
        ([1.0, 0.5], 0, 10, [10, 15]),  # the first half is enough; then 5 in the second, 5 after it
        ([1.0, 0.5], 0, 15, [20, 20]),  # 10 s at 1, and the other 5 s of work take 10 s at 0.5
        ([1.0, 0.5], 10, 15, [20, 20]),  # 10 s at 0.5 do 5 s of work, 10 s at 1 the other 10
        ([1.0, 0.5], 5, 8, [11, 10]),  # 5 + 3 / 0.5; then 4 s do 2 s of work, 6 s the other 6
        ([1.0, 0.0], 0, 15, [25, 25]),  # 10 s, none for 10 s, 5 s; then 5, 10 s of nothing, 10
        ([2.0], 0, 15, [7.5, 7.5]),
        ([1.0, 0.5], 40 + 5, 8, [11, 10]),  # two whole periods are none
        ([1.0, 0.5], 0, 60, [80, 80]),  # 15 s of work in every period of 20 s
    ],
)
def test_work_takes_as_long_as_the_hours_make_it(
    speed: list[float], phase: float, task: float, expected: list[float]
) -> None:
    hours = {"speed": speed, "period_seconds": 20, "phase_seconds": phase}
    assert seconds_of({"seconds_per_task": task, "hours": hours}, tasks=2) == [expected]


def test_every_client_has_its_own_time_zone() -> None:
    hours = {**TWO_SPEEDS, "phase_seconds": {"values": [0, 10]}}
    assert seconds_of({"seconds_per_task": 10, "hours": hours}, clients=2) == [[10], [15]]


def test_the_hour_counts_from_when_the_computation_begins() -> None:
    # The download ends at 6: 4 s at full speed, 10 s do 5 s of work, and the last takes 1.
    assert seconds_of({"seconds_per_task": 10, "hours": TWO_SPEEDS}, down=6) == [[15]]


def test_a_computation_that_begins_later_than_planned_has_the_hours_that_it_meets() -> None:
    # Two models of 1000 bytes leave the server one after the other, 6 s each: the second client
    # begins at 12, with 8 s of the slow half to come, 4 s of work, and does the other 6 after it.
    link = {"kind": "fifo", "slots": 1, "bandwidth": 1000 / 6}
    sections = {"server": {"download": link}}
    compute = {"seconds_per_task": 10, "hours": TWO_SPEEDS}
    assert seconds_of(compute, clients=2, **sections) == [[15], [14]]


def polled_steps(compute: dict[str, Any], *polls: float) -> list[int]:
    """How many of up to five steps are done at each poll, the first task having begun at 0."""
    found: list[int] = []

    def schedule(server: Any) -> Schedule:
        server.dispatch(0, steps=5, until_polled=True)
        for at in polls:
            yield server.sleep(at - server.now)
            found.append(server.poll(0).steps)

    run(scenario(1, compute=compute), schedule)
    return found


@pytest.mark.parametrize(
    ("at", "steps"), [(2.999999, 0), (3, 1), (9, 3), (13.999999, 3), (14, 4), (19.9, 4), (20, 5)]
)
def test_a_poll_gets_the_steps_that_were_done_at_the_hours_speed(at: float, steps: int) -> None:
    # Steps of 3 s of work end at 3, 6, 9; 10 + 2 / 0.5 = 14; 14 + 3 / 0.5 = 20.
    assert polled_steps({"seconds_per_step": 3, "hours": TWO_SPEEDS}, at) == [steps]


def test_after_a_poll_the_next_task_goes_on_at_its_own_hour() -> None:
    # The second task begins at 10 and is slow until 20: a step ends at 16, the next at 21.
    compute = {"seconds_per_step": 3, "hours": TWO_SPEEDS}
    assert polled_steps(compute, 10, 20.9) == [3, 1]
    assert polled_steps(compute, 10, 21) == [3, 2]


def test_steps_with_jitter_of_their_own_are_slowed_down_too() -> None:
    compute = {
        "seconds_per_step": 3,
        "jitter": {"values": [1.0]},
        "jitter_per": "step",
        "jitter_seconds": 1,
        "hours": TWO_SPEEDS,
    }
    # The second comes first: ends at 4, 7, 10, then 13 s of work are 10 + 3 / 0.5 = 16.
    assert [polled_steps(compute, at) for at in (3.9, 4, 10, 15.9, 16)] == [[0], [1], [3], [3], [4]]


def test_a_recalled_task_has_done_what_the_hours_let_it() -> None:
    steps: list[int] = []

    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0)
        yield server.sleep(14)
        steps.append(server.recall(task).steps)

    settings = scenario(
        1, compute={"seconds_per_step": 3, "hours": TWO_SPEEDS}, training={"steps": 7}
    )
    run(settings, schedule)
    assert steps == [4]


# Away from 5 to 12: 5 s of work are done, 8 s of the slow half do 4, and then all goes fast again.
AWAY = {
    "availability": {
        "kind": "on_off",
        "on": {"sequence": [5, 9999]},
        "off": {"sequence": [7, 1]},
        "on_leave": "paused",
    }
}


@pytest.mark.parametrize(("task", "expected"), [(5, 5), (6, 14), (9, 20), (15, 26)])
def test_a_paused_task_goes_on_at_the_speed_of_the_hour_of_its_return(
    task: float, expected: float
) -> None:
    compute = {"seconds_per_task": task, "hours": TWO_SPEEDS}
    assert seconds_of(compute, fleet=AWAY) == [[expected]]


@pytest.mark.parametrize(("at", "steps"), [(3, 1), (13.9, 1), (14, 2), (19.9, 2), (20, 3), (23, 4)])
def test_a_poll_after_a_pause_gets_the_steps_of_both_sides_of_it(at: float, steps: int) -> None:
    found: list[int] = []

    def schedule(server: Any) -> Schedule:
        task = server.dispatch(0, steps=5, until_polled=True)
        yield server.sleep(at)
        server.poll(0)
        yield server.wait([task])
        found.append(task.steps)

    run(scenario(1, compute={"seconds_per_step": 3, "hours": TWO_SPEEDS}, fleet=AWAY), schedule)
    assert found == [steps]


def test_away_twice_under_slow_downs_and_hours_only_the_time_there_counts() -> None:
    # By the rates of a client that begins fast (see above): 1 until 3, 1/2 until 4, 1/4 until 6, 1
    # until 9, 1/2 until 10, 1/4 until 12.  It is there until 2, from 4 to 8 and from 10 on:
    # 2 + (0.5 + 2) are done at 8, and 2 s at 1/4 are the last half second of 5.
    fast = next(client for client in range(9) if not begins_slow(client))
    compute = {
        "seconds_per_task": 5,
        "slowdowns": TAKES_TURNS,
        "hours": {"speed": [1.0, 0.5], "period_seconds": 6},
    }
    on_off = {**AWAY["availability"], "on": {"sequence": [2, 4, 999]}, "off": 2}
    found = seconds_of(compute, fast + 1, fleet={"availability": on_off})
    assert found[fast] == [12]


@pytest.mark.parametrize("on_leave", ["paused", "lost", "partial"])
def test_a_client_that_was_away_before_it_began_is_watched_by_the_hours_it_computes_in(
    on_leave: str,
) -> None:
    # The model comes from 0 to 10 and from 85 to 95, 5 s of work are done at 100 and 4.5 more at
    # 145, when the client leaves; the last half second is done at full speed, from 245 on.
    on_off = {"kind": "on_off", "on": {"sequence": [10, 60, 1000]}, "off": {"sequence": [75, 100]}}
    compute = {"seconds_per_task": 10, "hours": {"speed": [1, 0.1], "period_seconds": 200}}
    availability = {**on_off, "on_leave": on_leave}

    def schedule(server: Any) -> Schedule:
        yield server.wait([server.dispatch(0)])

    outcome = run(
        scenario(1, compute=compute, down=20, fleet={"availability": availability}), schedule
    )
    ends = outcome.story("arrived", "failed")
    assert ends == [(245.5, "arrived", 0) if on_leave == "paused" else (10, "failed", 0)]


# -- slow-downs ------------------------------------------------------------------------------------


def begins_slow(client: int, seed: int = 0) -> bool:
    return Streams(seed).uniform("compute.slowdowns.first", client) < 2 / 6


def test_slow_downs_of_constant_length_by_hand() -> None:
    clients = 12
    found = seconds_of({"seconds_per_task": 6, "slowdowns": TAKES_TURNS}, clients)
    for client, (seconds,) in enumerate(found):
        # Slow first: 2 s do 1 s of work, 4 s do 4, and the last takes 2.  Fast first: 4, 2, 1.
        assert seconds == (8 if begins_slow(client) else 7)
    assert {seconds for (seconds,) in found} == {7, 8}


def test_slow_downs_and_hours_multiply() -> None:
    # Rates of a client that begins fast: 1 until 3, then 1/2 (the hour) until 4, then 1/4 until 6,
    # then 1 again until 9: 3 + 0.5 + 0.5 + 3 = 7 s of work are done at 9.
    fast = next(client for client in range(9) if not begins_slow(client))
    compute = {
        "seconds_per_task": 7,
        "slowdowns": TAKES_TURNS,
        "hours": {"speed": [1.0, 0.5], "period_seconds": 6},
    }
    assert seconds_of(compute, fast + 1)[fast] == [9]


def test_the_factor_is_the_clients_own() -> None:
    slow = next(client for client in range(9) if begins_slow(client))
    factors = {"values": [5.0] * slow + [8.0]}
    compute = {"seconds_per_task": 0.25, "slowdowns": {**TAKES_TURNS, "factor": factors}}
    assert seconds_of(compute, slow + 1)[slow] == [2]


def law(mean: float) -> dict[str, Any]:
    return {"dist": "expon", "scale": mean}


def laws(factor: float, fast: Any, slow: Any) -> SlowdownsSpec:
    return SlowdownsSpec(
        factor=Distribution(factor),
        fast_seconds=Distribution(fast),
        slow_seconds=Distribution(slow),
    )


def test_the_state_at_an_instant_does_not_depend_on_who_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = laws(4, law(3), {"dist": "gamma", "a": 2})
    walked = {client: _walk(Slowdowns(spec, Streams(5)), client) for client in range(4)}
    monkeypatch.setattr(modulation, "_KEPT", 2)  # clients are forgotten and found again
    asked = Slowdowns(spec, Streams(5))
    script = np.random.default_rng(2)
    for _ in range(300):
        client, at = int(script.integers(4)), int(script.integers(100 * SECOND))
        end, rate = next(asked.pieces(client, at))
        stay = next(i for i, (end_us, _) in enumerate(walked[client]) if end_us > at)
        assert (end, rate) == walked[client][stay]
    assert len(asked._found) <= 2


def _walk(slowdowns: Slowdowns, client: int) -> list[tuple[int, float]]:
    steps, found = slowdowns.pieces(client, 0), [(0, 0.0)]
    while found[-1][0] < 100 * SECOND:
        found.append(next(steps))
    return found[1:]


def test_states_alternate_and_their_stays_follow_their_laws() -> None:
    slowdowns = Slowdowns(laws(4, law(3), {"dist": "gamma", "a": 2}), Streams(8))
    fast: list[float] = []
    slow: list[float] = []
    for client in range(20):
        found = _walk(slowdowns, client)
        assert all(a[1] != b[1] for a, b in pairwise(found))
        for (before, _), (end, rate) in pairwise(found):
            (fast if rate == 1.0 else slow).append((end - before) / SECOND)
    # Two tests, each with a false alarm once in a thousand seeds.
    assert stats.kstest(fast, stats.expon(scale=3).cdf).pvalue > 1e-3
    assert stats.kstest(slow, stats.gamma(2).cdf).pvalue > 1e-3


def test_the_mean_time_of_a_task_under_a_markov_process_is_the_exact_one() -> None:
    # In the clock of work the state is slow at w with p(w) = p' + (p0 - p') e^{-(a + b) w}, where
    # a and b are the rates of slowing down and of recovering per unit of work, and a unit of work
    # takes the factor f while slow: E T(W) = W + (f - 1) int_0^W p(w) dw.
    factor, fast, slow, work = 5.0, 8.0, 4.0, 6.0
    a, b = 1 / fast, factor / slow
    p0, late = slow / (fast + slow), a / (a + b)
    transient = (p0 - late) * (1 - math.exp(-(a + b) * work)) / (a + b)
    exact = work + (factor - 1) * (late * work + transient)
    slowdowns = {"factor": factor, "fast_seconds": law(fast), "slow_seconds": law(slow)}
    compute = {"seconds_per_task": work, "slowdowns": slowdowns}
    for down in (0, 30):  # at equilibrium from the start
        found = [seconds for (seconds,) in seconds_of(compute, clients=3000, down=down, seed=3)]
        spread = np.std(found, ddof=1) / math.sqrt(len(found))
        assert abs(np.mean(found) - exact) < 4.4 * spread  # false alarm: 1e-5
        always_mean_rate = work * (fast + slow) / (fast + slow / factor)
        for mistake in (work, work * factor, always_mean_rate):
            assert abs(np.mean(found) - mistake) > 6 * spread


def test_the_expected_time_is_the_mean_of_tasks_computed_back_to_back() -> None:
    compute = {
        "seconds_per_task": 6.0,
        "slowdowns": {
            "factor": 5,
            "fast_seconds": law(8),
            "slow_seconds": {"dist": "gamma", "a": 4},
        },
        "hours": {"speed": [1.0, 0.5, 0.25], "period_seconds": 33},
    }
    expected: list[float] = []

    def schedule(server: Any) -> Schedule:
        expected.append(server.expected_seconds(0))
        yield server.sleep(1)

    run(scenario(1, compute=compute), schedule)
    assert expected == [pytest.approx(6 / ((8 + 4 / 5) / 12) / (1.75 / 3))]
    everyone = {"kind": "fedasync", "concurrency": "all"}
    outcome = run(scenario(50, strategy=everyone, compute=compute, stop={"virtual_seconds": 4000}))
    tasks = np.bincount([row.client for row in outcome.of("computed")])
    rates = tasks / 4000  # but for the task that was cut off, one in three hundred
    spread = np.std(rates, ddof=1) / math.sqrt(50)
    assert abs(np.mean(rates) - 1 / expected[0]) < 4.4 * spread + 1 / 4000
    assert 4.4 * spread + 1 / 4000 < 0.02 / expected[0]


# -- the arithmetic --------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(st.integers(1, 10**7), st.sampled_from([0.0, 0.25, 1 / 3, 1.0, 2.0])), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 10**9), st.lists(st.floats(0, 1e7), min_size=1, max_size=6))
def test_the_integral_of_the_rate_up_to_the_end_is_the_work(
    lengths: list[tuple[int, float]], begin: int, work: list[float]
) -> None:
    def rate(at: int) -> Iterator[tuple[int, float]]:
        now = at
        for length, speed in [*lengths, (10**12, 1.0)]:
            now += length
            yield now, speed

    work = sorted(work)
    for amount, elapsed in zip(work, stretch(rate(begin), begin, work), strict=True):
        done, now = 0.0, float(begin)
        for end, speed in rate(begin):
            upto = min(float(end), begin + elapsed)
            done += max(0.0, upto - now) * speed
            now = float(end)
        assert done == pytest.approx(amount, rel=1e-9, abs=1e-3)


@settings(max_examples=200, deadline=None)
@given(STEPS, st.integers(0, 10**9), st.integers(0, 10**8))
def test_work_done_undoes_the_stretch(
    lengths: list[tuple[int, float]], begin: int, elapsed: int
) -> None:
    def rate() -> Iterator[tuple[int, float]]:
        now = begin
        for length, speed in [*lengths, (10**12, 1.0)]:
            now += length
            yield now, speed

    done = work_done(rate(), begin, elapsed)
    (time,) = stretch(rate(), begin, [done])
    assert time <= elapsed + 1e-3
    assert work_done(rate(), begin, round(time)) == pytest.approx(done, rel=1e-9, abs=1.5)


def test_the_product_of_two_rates_changes_when_either_does() -> None:
    def steps(*pairs: tuple[int, float]) -> Any:
        return lambda client, begin: iter(pairs)

    both = product(steps((3, 1.0), (8, 0.5), (99, 2.0)), steps((5, 1.0), (8, 0.25), (99, 4.0)))
    found = both(0, 0)
    assert [next(found) for _ in range(4)] == [(3, 1.0), (5, 0.5), (8, 0.125), (99, 8.0)]


def test_the_rates_long_run_mean_by_hand() -> None:
    assert Slowdowns(laws(4, 6, 2), Streams(1)).mean(0) == (6 + 2 / 4) / 8
    assert Hours(HoursSpec(speed=(1.0, 0.5, 0.0)), Streams(1)).mean(0) == 0.5


def test_very_many_periods_are_passed_over_and_few_are_walked() -> None:
    spec = HoursSpec(speed=(1.0, 0.0, 0.3), period_seconds=0.01, phase_seconds=Distribution(0.004))
    hours = Hours(spec, Streams(1))
    each = 10_000 * 1.3 / 3
    begin = 123_456
    few = [0.0, 1.0, 3 * each, 20_000.5 * each]
    assert hours.stretch(0, begin, few) == stretch(hours.pieces(0, begin), begin, few)
    many = [*few, 30_000.25 * each, 40_000 * each]
    walked = stretch(hours.pieces(0, begin), begin, many)
    found = hours.stretch(0, begin, many)
    assert found == pytest.approx(walked, rel=1e-9)
    for elapsed in (0, 9_999, 12_345_678, 345_678_901):
        walked_work = work_done(hours.pieces(0, begin), begin, elapsed)
        assert hours.work_done(0, begin, elapsed) == pytest.approx(walked_work, rel=1e-9)
    assert hours.work_done(0, begin, round(found[-1])) == pytest.approx(many[-1], rel=1e-9)


def test_a_task_that_outlasts_the_clock_does_no_harm_to_a_run_that_ends_before() -> None:
    slow = {"seconds_per_task": 1, "hours": {"speed": [1e-30]}}
    assert run(scenario(3, compute=slow)).server.counts.arrived == 0
    with pytest.raises(ScenarioError, match=r"beyond .* the end of the clock"):
        run(scenario(3, compute=slow, stop={"versions": 1}))
    never = {**slow, "hours": {"speed": [1e-320, 0]}}
    with pytest.raises(ScenarioError, match=r"hours\.speed: so slow that a task never ends"):
        run(scenario(3, compute=never))
    distant = {"slowdowns": {**TAKES_TURNS, "fast_seconds": 1e13, "slow_seconds": 1e13}}
    assert run(scenario(3, compute={"seconds_per_task": 1e300, **distant})).server.version == 0


def test_a_task_through_endless_slow_downs_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modulation, "_MOST", 300)
    brief = {"seconds_per_task": 1e9, "slowdowns": TAKES_TURNS}
    with pytest.raises(ScenarioError, match="more than 300 changes of its client's speed"):
        run(scenario(3, compute=brief))
    assert len(seconds_of({**brief, "seconds_per_task": 700}, 1)[0]) == 1


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"slowdowns": {**TAKES_TURNS, "factor": 0}}, "always above 0"),
        ({"slowdowns": {**TAKES_TURNS, "slow_seconds": 0}}, "always above 0"),
        ({"slowdowns": {"factor": 2, "fast_seconds": 1}}, "slow_seconds"),
        (
            {
                "slowdowns": {
                    **TAKES_TURNS,
                    "fast_seconds": {"dist": "pareto", "b": 0.5, "allow_heavy_tail": True},
                }
            },
            "fast_seconds has no finite mean",
        ),
        ({"hours": {"speed": []}}, "at least 1"),
        ({"hours": {"speed": [0, 0.0]}}, "speed is 0 at every hour"),
        ({"hours": {"speed": [1, -1]}}, "greater than or equal to 0"),
        ({"hours": {"speed": [1], "period_seconds": 0}}, "greater than 0"),
    ],
)
def test_impossible_settings_are_refused(block: dict[str, Any], message: str) -> None:
    with pytest.raises((ScenarioError, ValueError), match=message):
        scenario(1, compute=block)
