"""CA2FL, FADAS and MIFA: caches and moments, worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from places import SMALLEST
from vectors import assert_is, models_after, moved, population, step, vec
from world_runs import run, scenario

from afl_sim.run.api import load_scenario, simulate
from afl_sim.strategies import CA2FL, FADAS, MIFA
from afl_sim.testing.comparing import same


def test_ca2fls_first_step_is_the_mean_of_the_buffer() -> None:
    # h_i = 0: v = ((2, 0) + (0, 4)) / 2 = (1, 2)
    batch = [moved(2, 0, client=0), moved(0, 4, client=1)]
    (model,) = models_after(CA2FL(buffer_size=2), vec(1, 1), batch, clients=4)
    assert_is(model, 2, 3)


def test_ca2fl_corrects_the_mean_of_all_cached_updates() -> None:
    models = models_after(
        CA2FL(buffer_size=2),
        vec(0, 0),
        [moved(2, 0, client=0), moved(0, 4, client=1)],
        [moved(6, 0, client=0), moved(0, 2, client=2)],
        [moved(6, 0, client=0), moved(0, 4, client=1)],
        clients=4,
    )
    # h = ((2, 0) + (0, 4)) / 4 = (0.5, 1); changes (4, 0) and (0, 2): v = h + (2, 1) = (2.5, 2)
    assert_is(models[1] - models[0], 2.5, 2)
    # Cached (6, 0), (0, 4), (0, 2): h = (1.5, 1.5); nothing has changed: v = h
    assert_is(models[2] - models[1], 1.5, 1.5)


def test_the_mean_is_over_the_buffer_that_is_in_force() -> None:
    # A controller has made M 4 in place of 2: v = ((2, 4) + (2, 4)) / 4 = (1, 2), where the second
    # update is of another client.
    batch = [moved(2, 4, client=0), moved(2, 4, client=1)]
    state = CA2FL().initial_state(vec(0, 0), population(4))
    assert_is(step(CA2FL(buffer_size=2), vec(0, 0), batch, state, buffer_size=4), 1, 2)
    start, grown = vec(0, 0), {"buffer_size": 4}
    changed = FADAS(buffer_size=2).aggregate(start, None, batch, grown)
    assert same(changed, FADAS(buffer_size=4).aggregate(start, None, batch, {}))
    assert not same(changed, FADAS(buffer_size=2).aggregate(start, None, batch, {}))


def test_ca2fl_compares_a_clients_second_update_in_a_buffer_with_its_first() -> None:
    models = models_after(
        CA2FL(buffer_size=2, server_lr=0.5),
        vec(0, 0),
        [moved(1, 0, client=0), moved(3, 0, client=0)],
        [moved(3, 0, client=0), moved(3, 0, client=0)],
        clients=2,
    )
    # The changes are (1, 0) - 0 and (3, 0) - (1, 0): 0.5 ((1, 0) + (2, 0)) / 2.
    assert_is(models[0], 0.75, 0)
    # The cache is the later one, (3, 0): h = (1.5, 0), no change.
    assert_is(models[1] - models[0], 0.75, 0)


def test_ca2fl_compares_with_the_last_arrival_and_not_with_the_mean_of_two() -> None:
    models = models_after(
        CA2FL(buffer_size=3),
        vec(0),
        [moved(6, client=0), moved(3, client=1), moved(0, client=1)],
        [moved(0, client=1), moved(9, client=1), moved(6, client=0)],
        clients=3,
    )
    # (6 - 0) + (3 - 0) + (0 - 3) = 6, over 3; h = 0.
    assert_is(models[0], 2)
    # h = (6 + 0 + 0) / 3 = 2, and (0 - 0) + (9 - 0) + (6 - 6) = 9, over 3.
    assert_is(models[1] - models[0], 5)


@pytest.mark.parametrize("kind", ["ca2fl", "fadas"])
def test_the_schedule_is_fedbuffs(kind: str) -> None:
    digests = {
        run(
            scenario(
                [1, 2, 5, 3],
                strategy={"kind": name, "concurrency": 3, "buffer_size": 2},
                stop={"updates": 20},
            )
        ).schedule_digest
        for name in ("fedbuff", kind)
    }
    assert len(digests) == 1


@pytest.mark.parametrize("kind", ["ca2fl", "fadas"])
def test_a_version_takes_the_next_two_arrivals_and_who_comes_second_gets_it(kind: str) -> None:
    strategy = {"kind": kind, "concurrency": "all", "buffer_size": 2}
    outcome = run(scenario([1, 2.5, 4.25], strategy=strategy, stop={"versions": 3}))
    rows = [(e.time_us / 1e6, e.client, e.version, e.staleness) for e in outcome.of("aggregated")]
    # Client 0 comes at 1, 2, 3 and 4 s, client 1 at 2.5 s, client 2 at 4.25 s. Two by two:
    assert rows == [
        (2.0, 0, 1, 0),
        (2.0, 0, 1, 0),
        (3.0, 1, 2, 1),
        (3.0, 0, 2, 0),
        (4.25, 0, 3, 0),
        (4.25, 2, 3, 2),
    ]
    sent = [(e.time_us / 1e6, e.client, e.base_version) for e in outcome.of("dispatched")[3:]]
    # Who fills a buffer goes on at the version that it made, the others at the one before.
    assert sent == [(1.0, 0, 0), (2.0, 0, 1), (2.5, 1, 1), (3.0, 0, 2), (4.0, 0, 2)]


@pytest.mark.parametrize("strategy", [CA2FL, FADAS])
def test_check_finds_a_concurrency_beyond_the_clients(strategy: type) -> None:
    assert not list(strategy(concurrency=2, buffer_size=3).check(5))
    assert [p for p, _ in strategy(concurrency=6, buffer_size=3).check(5)] == [("concurrency",)]
    assert not list(strategy(concurrency=3, buffer_size=3).check(5))


def fadas(**settings: float | None) -> FADAS:
    return FADAS(buffer_size=2, server_lr=0.1, beta1=0.5, beta2=0.5, eps=1e-12, **settings)


def test_fadass_first_step_has_the_size_of_eta() -> None:
    # Bias-corrected, m = Delta and vhat = Delta^2: each element moves by 0.1 in its direction.
    (model,) = models_after(fadas(), vec(0, 0), [moved(2, 0), moved(0, -6)])
    assert_is(model, 0.1, -0.1)


def test_fadas_keeps_the_largest_second_moment() -> None:
    models = models_after(fadas(), vec(0), [moved(4), moved(4)], [moved(1), moved(1)])
    # m = 2, then 1.5, corrected by 1 - 1/4: 2. v = 8, then 4.5; the largest, 8, corrected by the
    # same: 32/3. Without the maximum the step would be 0.1 * 2 / sqrt(6).
    assert_is(models[1] - models[0], 0.1 * 2 / (32 / 3) ** 0.5)


def test_fadas_divides_eta_by_the_largest_staleness_beyond_the_threshold() -> None:
    def moved_by(staleness: int, **settings: int | None) -> float:
        batch = [moved(1, tau=0), moved(1, tau=staleness)]
        return float(models_after(fadas(**settings), vec(0), batch)[0])

    assert moved_by(2, delay_threshold=2) == pytest.approx(0.1)
    assert moved_by(4, delay_threshold=2) == pytest.approx(0.025)
    assert moved_by(4, delay_threshold=None) == pytest.approx(0.1)


def test_mifa_moves_by_the_mean_of_everybodys_last_update() -> None:
    models = models_after(
        MIFA(),
        vec(0, 0),
        [moved(2, 0, client=0), moved(0, 4, client=1)],
        [moved(4, 2, client=0)],
    )
    assert_is(models[0], 1, 2)
    # ((4, 2) + (0, 4)) / 2 = (2, 3), though client 1 was away
    assert_is(models[1], 3, 5)


def test_mifa_weighs_all_clients_alike() -> None:
    batch = [moved(2, 0, client=0, n=100), moved(0, 4, client=1, n=1)]
    (model,) = models_after(MIFA(server_lr=0.5), vec(0, 0), batch)
    assert_is(model, 0.5, 1)


def test_mifa_takes_a_clients_last_update_before_the_first_step() -> None:
    batch = [moved(9, 9, client=0), moved(2, 0, client=0), moved(0, 4, client=1)]
    assert_is(models_after(MIFA(), vec(0, 0), batch)[0], 1, 2)


def test_mifas_table_holds_gradients_where_the_local_rate_is_scheduled() -> None:
    # G_0 = (4, 0), G_1 = (0, 8) at rate 1; then client 1 alone at rate 1/4, its delta (0, 1):
    # G_1 = (0, 4), and w moves by 1/4 ((4, 0) + (0, 4))/2.
    first = [moved(4, 0, client=0), moved(0, 8, client=1)]
    second = [replace(moved(0, 1, client=1), lr_factor=0.25)]
    models = models_after(MIFA(), vec(0, 0), first, second)
    assert_is(models[0], 2, 4)
    assert_is(models[1], 2.5, 4.5)


def test_mifa_follows_the_schedule_of_a_run() -> None:
    settings = ["strategy={kind: mifa}", "training.optimizer.lr=0.1", "stop={versions: 2}"]
    constant, falling = (
        simulate(load_scenario(SMALLEST, [*settings, f"training.lr_schedule={schedule}"]))
        for schedule in ("constant", "{kind: step, every: 1, factor: 1.0e-6}")
    )
    # The second step is 1e-6 as large as the first, not as large.
    end = [run.model() for run in (constant, falling)]
    only = simulate(load_scenario(SMALLEST, [*settings[:2], "stop={versions: 1}"])).model()
    for name, tensor in only.items():
        np.testing.assert_allclose(end[1][name], tensor, atol=1e-5)
        assert not np.allclose(end[0][name], tensor, atol=1e-5)


def test_mifas_rounds_last_as_long_as_their_slowest_client() -> None:
    outcome = run(scenario([1, 4, 2], strategy={"kind": "mifa"}, stop={"versions": 3}))
    rows = [(e.time_us // 1_000_000, e.version) for e in outcome.of("aggregated")]
    assert rows == [(4 * v, v) for v in (1, 2, 3) for _ in range(3)]


def test_mifas_first_version_waits_until_every_client_has_answered() -> None:
    strategy = {"kind": "mifa", "clients_per_round": 2}
    outcome = run(scenario([1, 1, 1, 1, 1], strategy=strategy, stop={"versions": 3}))
    aggregated = outcome.of("aggregated")
    # Two of the five, two of the other three, then the last alone: version 1 at 3 s.
    assert [e.time_us for e in aggregated if e.version == 1] == [3_000_000] * 5
    assert {e.client for e in aggregated if e.version == 1} == {0, 1, 2, 3, 4}
    assert [e.time_us for e in aggregated if e.version == 2] == [4_000_000] * 2


def test_check_finds_rounds_larger_than_the_population() -> None:
    assert [p for p, _ in MIFA(clients_per_round=3).check(2)] == [("clients_per_round",)]
    assert not list(MIFA().check(2))
