"""Asynchronous SGD and its delay-adaptive forms: plain steps, and steps that shrink."""

from __future__ import annotations

import pytest
from vectors import assert_is, models_after, moved, server_steps, step, vec
from world_runs import run, scenario

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import read_study
from afl_sim.strategies import AsyncSGD, DelayAdaptive


def test_each_gradient_is_a_plain_step_however_stale() -> None:
    # A gradient task's delta is -g:  (1, 1) - 0.1 (1, -2) = (0.9, 1.2)
    strategy = AsyncSGD(lr=0.1)
    assert_is(step(strategy, vec(1, 1), [moved(-1, 2)]), 0.9, 1.2)
    assert_is(step(strategy, vec(1, 1), [moved(-1, 2, tau=50)]), 0.9, 1.2)


def test_gradients_of_one_instant_are_all_applied_in_full() -> None:
    # (1, 1) - 0.1 (1, -2) - 0.1 (2, 0) = (0.7, 1.2)
    assert_is(step(AsyncSGD(lr=0.1), vec(1, 1), [moved(-1, 2), moved(-2, 0)]), 0.7, 1.2)


def test_a_server_optimizer_takes_the_step_in_place_of_lr() -> None:
    strategy = AsyncSGD(server_optimizer={"kind": "SGD", "lr": 1.0, "momentum": 0.5})
    # v = g, then 0.5 v + g: moves by (1, 2) and then by (1.5, 3).
    first, second = server_steps(strategy, vec(0, 0), [moved(1, 2)], [moved(1, 2)])
    assert_is(first, 1, 2)
    assert_is(second, 2.5, 5)


def test_every_arrival_is_a_version_and_its_worker_goes_on_at_it() -> None:
    outcome = run(scenario([2, 3], strategy={"kind": "asyncsgd"}, stop={"updates": 5}))
    rows = [
        (e.time_us // 1_000_000, e.client, e.version, e.staleness) for e in outcome.of("aggregated")
    ]
    # At 6 s both are due: client 1, sent at 3 s, was due first of the two in insertion order.
    assert rows == [(2, 0, 1, 0), (3, 1, 2, 1), (4, 0, 3, 1), (6, 1, 4, 1), (6, 0, 5, 1)]
    assert not outcome.of("cancelled", "discarded")


@pytest.mark.parametrize(("tau", "rate"), [(0, 0.1), (4, 0.1), (8, 0.05), (40, 0.01)])
def test_proportional_steps_shrink_beyond_n(tau: int, rate: float) -> None:
    # n = 4: 0.1 * 4 / max(4, tau)
    strategy = DelayAdaptive(concurrency=4, lr=0.1)
    (model,) = models_after(strategy, vec(1, 1), [moved(-1, 2, tau=tau)])
    assert_is(model, 1 - rate, 1 + 2 * rate)


@pytest.mark.parametrize(("tau", "rate"), [(3, 0.1), (4, 0.0625), (10, 0.025)])
def test_threshold_steps_shrink_beyond_the_critical_delay(tau: int, rate: float) -> None:
    # tau_C = 3, L = 1:  min(0.1, 1 / (4 tau)) = 1/16 at 4, 1/40 at 10
    strategy = DelayAdaptive(form="threshold", lr=0.1, critical_delay=3, smoothness=1)
    (model,) = models_after(strategy, vec(0, 0), [moved(1, -2, tau=tau)])
    assert_is(model, rate, -2 * rate)


def test_a_threshold_step_never_exceeds_gamma() -> None:
    # L = 0.01:  1 / (4 * 0.01 * 5) = 5 > 0.1
    strategy = DelayAdaptive(form="threshold", lr=0.1, critical_delay=3, smoothness=0.01)
    (model,) = models_after(strategy, vec(0, 0), [moved(1, 0, tau=5)])
    assert_is(model, 0.1, 0)


def test_n_and_the_critical_delay_are_the_number_of_workers() -> None:
    # Ten clients, all of them workers: 0.1 * 10 / 20
    (model,) = models_after(DelayAdaptive(lr=0.1), vec(0, 0), [moved(1, 0, tau=20)], clients=10)
    assert_is(model, 0.05, 0)
    strategy = DelayAdaptive(form="threshold", lr=0.1, smoothness=1)
    fresh, stale = models_after(
        strategy, vec(0, 0), [moved(1, 0, tau=10)], [moved(1, 0, tau=25)], clients=10
    )
    assert_is(fresh, 0.1, 0)
    assert_is(stale, 0.11, 0)  # 1 / (4 * 25) = 0.01


def test_delay_adaptive_has_the_schedule_of_asynchronous_sgd() -> None:
    digests = {
        run(scenario([2, 3, 7], strategy={"kind": kind}, stop={"updates": 30})).schedule_digest
        for kind in ("asyncsgd", "delay_adaptive")
    }
    assert len(digests) == 1


def test_every_delay_counts_from_the_model_that_the_worker_was_sent() -> None:
    # Client 2 is sent version 0 and arrives at 7 s, after five others: a delay of 5 with three
    # workers, and so 3/5 of the step.
    strategy = {"kind": "delay_adaptive", "lr": 0.1}
    outcome = run(scenario([2, 3, 7], strategy=strategy, stop={"updates": 6}))
    rows = [
        (e.time_us // 1_000_000, e.client, e.version, e.staleness) for e in outcome.of("aggregated")
    ]
    assert rows == [
        (2, 0, 1, 0),
        (3, 1, 2, 1),
        (4, 0, 3, 1),
        (6, 1, 4, 1),
        (6, 0, 5, 1),
        (7, 2, 6, 5),
    ]
    (model,) = models_after(
        DelayAdaptive(lr=0.1), vec(0, 0), [moved(1, -2, tau=5, client=2)], clients=3
    )
    assert_is(model, 0.06, -0.12)


def test_check_finds_settings_that_do_not_fit() -> None:
    def complaints(strategy: AsyncSGD | DelayAdaptive) -> list[str]:
        return [".".join(path) for path, _ in strategy.check(2)]

    assert complaints(AsyncSGD(concurrency=3)) == ["concurrency"]
    assert complaints(AsyncSGD(lr=0.1, server_optimizer="SGD")) == ["lr"]
    assert complaints(DelayAdaptive(concurrency=3)) == ["concurrency"]
    assert complaints(DelayAdaptive(form="threshold")) == ["smoothness"]
    assert complaints(DelayAdaptive(form="threshold", smoothness=2)) == []


@pytest.mark.parametrize("wrong", [{"lr": 0}, {"smoothness": 0}, {"form": "none"}])
def test_settings_outside_their_range_are_refused(wrong: dict) -> None:
    with pytest.raises(ScenarioError):
        DelayAdaptive(**wrong)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("proximal: 0.2", "training.proximal: got 0.2, but clients of asyncsgd send gradients"),
        (
            "lr_schedule: {kind: step, every: 5, factor: 0.5}",
            "training.lr_schedule: got 'step', but clients of asyncsgd send gradients",
        ),
    ],
)
def test_what_changes_local_training_is_refused_where_clients_send_gradients(
    setting: str, line: str
) -> None:
    text = f"clients: {{count: 4}}\nstop: {{updates: 9}}\ntraining: {{{setting}}}\nstrategy: "
    assert read_study(text + "{kind: fedavg, clients_per_round: 2}", catalogue()).cases
    with pytest.raises(ScenarioError) as caught:
        read_study(text + "asyncsgd", catalogue())
    assert str(caught.value).startswith(f"<text>:3: {line}")
