"""How long things take: the clock's microseconds, computation, transfers, common random numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from scipy import stats
from world_runs import MODEL_BYTES, SECOND, Outcome, run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.streams import Streams
from afl_sim.world.clients.grouping import speeds
from afl_sim.world.microseconds import to_microseconds

Schedule = Iterator[Any]


def tasks_of_everyone(tasks: int) -> Any:
    """A schedule in which each client does this many tasks."""

    def schedule(server: Any) -> Schedule:
        for _ in range(tasks):
            yield server.wait(server.dispatch_many(range(server.clients)))

    return schedule


def leg(outcome: Outcome, begins: str, ends: str) -> dict[tuple[int, int], int]:
    """Microseconds between two rows of each (client, task)."""
    began = {(event.client, event.task): event.time_us for event in outcome.of(begins)}
    return {
        (event.client, event.task): event.time_us - began[event.client, event.task]
        for event in outcome.of(ends)
    }


def computing(compute: dict[str, Any], clients: int = 2, tasks: int = 3, **others: Any) -> Any:
    """Seconds of computation of each client's tasks, as lists."""
    size = others.pop("size", lambda client: 10 * (client + 1))
    settings = scenario(clients, compute=compute, **others)
    outcome = run(settings, tasks_of_everyone(tasks), samples_of=size)
    found = leg(outcome, "downloaded", "computed")
    return [[found[c, k] / SECOND for k in range(tasks)] for c in range(clients)]


# -- the clock -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "microseconds"),
    [
        (0.0, 1),
        (1e-12, 1),
        (1.4e-6, 1),
        (1.6e-6, 2),
        (0.1 + 0.2, 300_000),
        (3600.0, 3_600_000_000),
    ],
)
def test_durations_are_rounded_to_at_least_one_microsecond(
    seconds: float, microseconds: int
) -> None:
    assert to_microseconds(seconds, "key") == microseconds
    assert isinstance(to_microseconds(np.float64(seconds), "key"), int)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -math.inf, -1e-9, np.float64("nan")])
def test_what_is_no_duration_is_an_error_that_names_the_key(seconds: float) -> None:
    with pytest.raises(ScenarioError, match=r"clients\.compute: drew a duration of"):
        to_microseconds(seconds, "clients.compute")


@pytest.mark.parametrize("seconds", [math.nan, -1.0, math.inf])
def test_a_schedule_cannot_sleep_what_is_no_duration(seconds: float) -> None:
    def sleeping(server: Any) -> Schedule:
        yield server.sleep(seconds)

    def waiting(server: Any) -> Schedule:
        yield server.wait(server.dispatch_many([0]), deadline=seconds)

    for schedule in (sleeping, waiting):
        with pytest.raises(ScenarioError, match="strategy: drew a duration of"):
            run(scenario([1]), schedule)


def test_durations_beyond_the_end_of_the_clock_are_an_error() -> None:
    def round_of(server: Any) -> Schedule:
        yield server.aggregate((yield server.wait(server.dispatch_many([0, 1]))))

    ages = scenario([1, 1e13], stop={"versions": 1})  # 1e19 us are no 64-bit integer
    with pytest.raises(ScenarioError, match=r"virtual time ran beyond 9\.2\S+ s"):
        run(ages, round_of)


def test_a_duration_beyond_the_clock_does_no_harm_to_a_run_that_ends_before() -> None:
    def schedule(server: Any) -> Schedule:
        server.dispatch_many([0, 1])
        yield server.aggregate([(yield server.arrival())])

    outcome = run(scenario([1, 1e13], stop={"versions": 1}), schedule)
    assert outcome.ending.time_us == SECOND


def test_a_constant_zero_takes_no_time_and_a_drawn_one_a_microsecond() -> None:
    nothing = run(scenario(1, compute={"seconds_per_task": 0}), tasks_of_everyone(3))
    assert {event.time_us for event in nothing.events[:-1]} == {0}
    drawn = {"values": [0, 1]}
    outcome = run(scenario(2, compute={"seconds_per_task": drawn}), tasks_of_everyone(1))
    assert leg(outcome, "downloaded", "computed") == {(0, 0): 1, (1, 0): SECOND}


def test_each_leg_is_rounded_by_itself() -> None:
    settings = scenario(1, compute={"seconds_per_task": 1.4e-6}, down=1.4e-6, up=1.4e-6)
    outcome = run(settings, tasks_of_everyone(2))
    assert [event.time_us for event in outcome.of("arrived")] == [3, 6]  # and not 4, nor 8


# -- computation ---------------------------------------------------------------------------------


def test_seconds_per_sample_count_every_pass_over_a_client_s_samples() -> None:
    speeds = {"values": [1, 0.5]}
    two_epochs = {"epochs": 2, "batch_size": 4}
    assert computing({"seconds_per_sample": speeds}, training=two_epochs) == [[20] * 3, [20] * 3]


def test_seconds_per_sample_count_only_the_samples_of_the_steps() -> None:
    three_steps = {"steps": 3, "batch_size": 4}  # of client 0's 10 samples: 4, 4 and 2
    assert computing({"seconds_per_sample": 1}, training=three_steps) == [[10] * 3, [12] * 3]


def test_seconds_per_step_count_steps() -> None:
    two_epochs = {"epochs": 2, "batch_size": 4}  # of 3 and of 5 batches
    assert computing({"seconds_per_step": 0.5}, training=two_epochs) == [[3] * 3, [5] * 3]


def test_seconds_per_task_do_not_depend_on_the_amount_of_work() -> None:
    for training in ({"epochs": 1}, {"steps": 77, "batch_size": 3}):
        assert computing({"seconds_per_task": 2.5}, training=training) == [[2.5] * 3] * 2


def test_an_amount_of_work_that_is_drawn_changes_the_time() -> None:
    steps = {"values": [{"sequence": [1, 2, 3]}, 4]}
    found = computing({"seconds_per_step": 1}, training={"steps": steps})
    assert found == [[1, 2, 3], [4, 4, 4]]


def test_drawn_epochs_are_whole_ones() -> None:
    epochs = {"values": [{"sequence": [0.4, 2.4, 1.6]}, 2.5]}
    training = {"epochs": epochs, "batch_size": 4}  # of 3 and of 5 batches
    assert computing({"seconds_per_step": 1}, training=training) == [[3, 6, 6], [10] * 3]


def test_jitter_is_a_factor_and_jitter_seconds_a_term() -> None:
    compute = {
        "seconds_per_task": {"values": [2, 3]},
        "jitter": {"sequence": [1, 0.5, 4]},
        "jitter_seconds": {"values": [{"sequence": [0, 0, 10]}, 1]},
    }
    assert computing(compute) == [[2, 1, 18], [4, 2.5, 13]]


def test_no_task_computes_for_longer_than_allowed() -> None:
    compute = {"seconds_per_task": {"values": [1, 20]}, "jitter_seconds": 2, "max_seconds": 9}
    assert computing(compute) == [[3] * 3, [9] * 3]
    # Drawn per step, a task is quicker as a whole: its steps keep their shares of it.
    steps = {"seconds_per_step": 5, "jitter_per": "step", "jitter": {"dist": "expon"}}
    ends = computing({**steps, "max_seconds": 1}, training={"steps": 4})
    assert ends == [[1] * 3] * 2


def test_jitter_is_drawn_for_each_task_and_the_speed_once() -> None:
    fixed = computing({"seconds_per_task": {"dist": "expon"}}, clients=5)
    assert all(len(set(times)) == 1 for times in fixed)
    assert len({times[0] for times in fixed}) == 5
    jittered = computing({"seconds_per_task": 1, "jitter": {"dist": "expon"}}, clients=5)
    assert len({time for times in jittered for time in times}) == 15


def test_draws_have_their_documented_addresses() -> None:
    compute = {
        "seconds_per_task": {"dist": "expon", "scale": 2},
        "jitter": {"dist": "uniform", "loc": 0.5},
        "jitter_seconds": {"dist": "expon"},
    }
    found = computing(compute, seed=11)
    streams = Streams(11)
    for client, times in enumerate(found):
        level = -2 * math.log1p(-streams.uniform("compute.level", client))
        for task, seconds in enumerate(times):
            jitter = 0.5 + streams.uniform("compute.jitter", client, task)
            more = -math.log1p(-streams.uniform("compute.jitter_seconds", client, task))
            assert seconds == pytest.approx(level * jitter + more, abs=1e-6)


def test_jitter_per_step_adds_up_the_steps() -> None:
    compute = {"seconds_per_step": 2, "jitter": {"dist": "expon"}, "jitter_per": "step"}
    found = computing(compute, seed=4, training={"steps": 6})
    for client, times in enumerate(found):
        for task, seconds in enumerate(times):
            uniform = Streams(4).generator("compute.jitter", client, task).random(6)
            assert seconds == pytest.approx(-2 * np.log1p(-uniform).sum(), abs=1e-6)


def test_jitter_per_step_follows_the_law_of_a_sum() -> None:
    compute = {"seconds_per_task": 1, "jitter": {"dist": "expon"}, "jitter_per": "step"}
    found = computing(compute, clients=400, tasks=1, training={"steps": 4}, size=lambda client: 8)
    law = stats.gamma(4, scale=0.25)  # four steps of a quarter of the task
    assert stats.kstest(np.ravel(found), law.cdf).pvalue > 1e-3


def test_a_client_without_samples_does_no_step_and_takes_no_time() -> None:
    assert computing({"seconds_per_task": 3}, size=lambda client: 4 * client) == [[0] * 3, [3] * 3]


def test_what_a_profile_expects_is_the_mean_round_trip() -> None:
    compute = {
        "seconds_per_sample": {"values": [0.5, 2]},
        "jitter": {"dist": "uniform", "loc": 0.5, "scale": 2},
        "jitter_seconds": {"dist": "expon", "scale": 3},
    }
    settings = scenario(2, compute=compute, down=0.25, up=1, training={"epochs": 2})

    def schedule(server: Any) -> Schedule:
        expected = [server.expected_seconds(client) for client in range(2)]
        assert expected == pytest.approx([0.5 * 20 * 1.5 + 4.25, 2 * 20 * 1.5 + 4.25])
        yield server.sleep(1)

    run(settings, schedule)


# -- transfers -----------------------------------------------------------------------------------


def test_a_transfer_takes_its_latency_and_its_bytes_over_the_bandwidth() -> None:
    settings = scenario(1, down=0.5, stop={"virtual_seconds": 100})
    network = {
        "download": {"latency": 0.5, "bandwidth": MODEL_BYTES * 2},
        "upload": {"bandwidth": MODEL_BYTES / 4},
    }
    clients = settings.clients.model_copy(
        update={"network": type(settings.clients.network)(**network)}
    )
    outcome = run(settings.model_copy(update={"clients": clients}), tasks_of_everyone(1))
    assert leg(outcome, "dispatched", "downloaded") == {(0, 0): SECOND}
    assert leg(outcome, "computed", "arrived") == {(0, 0): 4 * SECOND}


def test_latency_and_bandwidth_are_a_client_s_own_and_stay() -> None:
    outcome = run(scenario(4, up={"dist": "expon"}, seed=2), tasks_of_everyone(3))
    found = leg(outcome, "computed", "arrived")
    for client in range(4):
        seconds = -math.log1p(-Streams(2).uniform("network.upload.latency", client))
        for task in range(3):
            assert found[client, task] == pytest.approx(seconds * SECOND, abs=1)


# -- common random numbers -----------------------------------------------------------------------

HETEROGENEOUS = {
    "seconds_per_sample": {"dist": "lognorm", "s": 1.0, "scale": 0.1},
    "jitter": {"dist": "gamma", "a": 20, "scale": 0.05},
    "jitter_seconds": {"dist": "expon", "scale": 0.1},
}
STRATEGIES = [
    {"kind": "fedavg", "clients_per_round": 10},
    {"kind": "fedasync", "concurrency": 10},
    {"kind": "fedbuff", "concurrency": 10, "buffer_size": 4},
    {"kind": "fedat", "tiers": 3, "clients_per_round": 4},
]


def durations(strategy: dict[str, Any], seed: int) -> dict[tuple[int, int], int]:
    settings = scenario(
        30, strategy=strategy, compute=HETEROGENEOUS, seed=seed, stop={"updates": 400}
    )
    return leg(run(settings), "downloaded", "computed")


def test_a_client_s_third_task_takes_as_long_under_every_strategy() -> None:
    baseline = durations(STRATEGIES[0], seed=1)
    for strategy in STRATEGIES[1:]:
        other = durations(strategy, seed=1)
        common = baseline.keys() & other.keys()
        assert {(client, 2) for client, _ in common} & common
        assert len(common) > 100
        assert {task: baseline[task] for task in common} == {task: other[task] for task in common}


def test_another_seed_draws_other_durations() -> None:
    first, second = (durations(STRATEGIES[1], seed) for seed in (1, 2))
    common = first.keys() & second.keys()
    assert common
    assert all(first[task] != second[task] for task in common)


# -- lists in an order of the seed's -----------------------------------------------------------


def speeds_of(seed: int, **compute: Any) -> list[float]:
    return [own[0] for own in computing(compute, clients=40, tasks=1, seed=seed)]


def test_a_shuffled_list_is_dealt_out_anew_by_every_seed() -> None:
    listed = {"values": list(range(1, 41)), "shuffle": True}
    first, again, other = (speeds_of(seed, seconds_per_task=listed) for seed in (1, 1, 2))
    assert sorted(first) == list(range(1, 41))
    assert first == again
    assert first != other
    assert first != sorted(first)


def test_each_key_has_an_order_of_its_own_and_what_is_not_shuffled_stays() -> None:
    listed = {"values": list(range(1, 41)), "shuffle": True}
    both = speeds_of(1, seconds_per_task=listed, jitter_seconds=listed)
    alone = speeds_of(1, seconds_per_task=listed)
    assert sorted(b - a for a, b in zip(alone, both, strict=True)) == list(range(1, 41))
    assert [b - a for a, b in zip(alone, both, strict=True)] != alone
    still = speeds_of(1, seconds_per_task={"values": list(range(1, 41))})
    assert still == list(range(1, 41))


def test_data_goes_with_the_speeds_that_clients_really_have() -> None:
    compute = {"seconds_per_task": {"values": list(range(1, 41)), "shuffle": True}}
    settings = scenario(40, compute=compute, seed=7)
    found = speeds(settings.clients, Streams(settings.seed))
    assert list(found) == speeds_of(7, **compute)
