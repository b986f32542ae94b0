"""MindFlayer SGD: trials with a time limit, and the division by their expected number, by hand."""

from __future__ import annotations

from vectors import assert_is, moved, server_steps, step, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import MindFlayer

BATCH = [moved(-1, 2), moved(-3, 0)]


def test_the_step_is_the_sum_over_the_mean_number_of_gradients() -> None:
    # 9 gradients in 3 rounds: (1, 1) - 0.3 / 3 ((1, -2) + (3, 0)) = (0.6, 1.2)
    strategy = MindFlayer(allotted_seconds=1, lr=0.3)
    assert_is(step(strategy, vec(1, 1), BATCH, gradients=9, rounds=3), 0.6, 1.2)


def test_the_expected_number_can_be_given() -> None:
    # 0.3 / 6 (4, -2)
    strategy = MindFlayer(allotted_seconds=1, lr=0.3, expected_batch=6)
    assert_is(step(strategy, vec(1, 1), BATCH, gradients=9, rounds=3), 0.8, 1.1)


def test_a_server_optimizer_gets_the_sum_over_the_expected_number() -> None:
    sgd = {"kind": "SGD", "lr": 0.5}
    strategy = MindFlayer(allotted_seconds=1, expected_batch=4, server_optimizer=sgd)
    assert_is(server_steps(strategy, vec(1, 1), BATCH)[0], 0.5, 1.25)


def used(outcome: Outcome) -> list[tuple[float, int, int, int]]:
    """(second, client, task, version) of the gradients used."""
    return [(e.time_us / 1e6, e.client, e.task, e.version) for e in outcome.of("aggregated")]


def world(durations: object, stop: dict[str, float] | None = None, **more: object) -> Outcome:
    strategy = {"kind": "mindflayer", "allotted_seconds": 2, **more}
    found = scenario(durations, strategy=strategy, stop=stop or {"versions": 2})  # type: ignore[arg-type]
    return run(found)


def test_a_trial_that_takes_too_long_is_given_up_and_the_next_one_begins() -> None:
    # Client 0 needs 1, 5, 1 and 1 s: its second trial ends at 3 s without a gradient. Client 1
    # needs 1.5 s each time.
    outcome = world([[1, 5, 1, 1], 1.5], trials=2)
    assert used(outcome) == [
        (3.0, 0, 0, 1),
        (3.0, 1, 0, 1),
        (3.0, 1, 1, 1),
        (6.0, 0, 2, 2),
        (6.0, 1, 2, 2),
        (6.0, 0, 3, 2),
        (6.0, 1, 3, 2),
    ]
    assert outcome.story("cancelled") == [(3.0, "cancelled", 0)]


def test_a_gradient_at_the_very_end_of_its_time_counts() -> None:
    outcome = world([2, 2])
    assert [row[1] for row in used(outcome)] == [0, 1, 0, 1]
    assert not outcome.of("cancelled")


def test_a_round_without_a_gradient_makes_no_version() -> None:
    outcome = world([[3, 3, 1], [3, 3, 1]], {"versions": 1})
    assert used(outcome) == [(5.0, 0, 2, 1), (5.0, 1, 2, 1)]
    context = outcome.of("aggregated")[0].context
    assert context == '{"gradients": 2, "rounds": 3}'


def test_all_trials_of_a_round_are_at_one_model() -> None:
    outcome = world([[1, 5, 1], 1.5, 0.5], {"versions": 6}, trials=3)
    assert {event.staleness for event in outcome.of("aggregated")} == {0}


def test_a_lost_trial_ends_when_it_is_noticed() -> None:
    strategy = {"kind": "mindflayer", "allotted_seconds": 5, "trials": 4}
    fleet = {"faults": {"crash": 0.5, "noticed_after": 0}}
    outcome = run(scenario([1, 1], strategy=strategy, fleet=fleet, stop={"versions": 5}))
    assert outcome.of("failed")
    assert not outcome.of("cancelled")


def test_a_second_rate_is_refused_beside_a_server_optimizer() -> None:
    strategy = MindFlayer(allotted_seconds=1, lr=0.3, server_optimizer="FedAdam")
    assert [path for path, _ in strategy.check(5)] == [("lr",)]


def test_no_round_begins_after_all_workers_have_left_for_good() -> None:
    strategy = {"kind": "mindflayer", "allotted_seconds": 5}
    for leaves in (0, 2.5):
        fleet = {"availability": {"kind": "always", "leaves": leaves}}
        outcome = run(scenario([1, 1], strategy=strategy, fleet=fleet))
        assert all(event.time_us <= leaves * 1e6 for event in outcome.of("aggregated"))
