"""FedStaleWeight: weights by the mean staleness of each client's last updates, by hand."""

from __future__ import annotations

from vectors import assert_is, models_after, moved, vec
from world_runs import run, scenario

from afl_sim.strategies import FedBuff, FedStaleWeight


def test_an_update_weighs_as_its_client_is_stale() -> None:
    # s = 1 and 3: (1 (4, 0) + 3 (0, 8)) / 4 = (1, 6)
    batch = [moved(4, 0, tau=1, client=0), moved(0, 8, tau=3, client=1)]
    assert_is(models_after(FedStaleWeight(), vec(10, 10), batch)[0], 11, 16)


def test_the_staleness_is_the_mean_over_the_clients_last_updates() -> None:
    first = [moved(0, 0, tau=2, client=0), moved(0, 0, tau=1, client=1)]
    second = [moved(6, 0, tau=4, client=0), moved(0, 6, tau=2, client=1)]
    models = models_after(FedStaleWeight(), vec(0, 0), first, second)
    # s_0 = (2 + 4) / 2 = 3 and s_1 = (1 + 2) / 2 = 1.5: two thirds and one third.
    assert_is(models[1], 4, 2)


def test_older_updates_leave_the_window() -> None:
    rounds = [
        [moved(0, 0, tau=9, client=0), moved(0, 0, tau=1, client=1)],
        [moved(0, 0, tau=1, client=0), moved(0, 0, tau=1, client=1)],
        [moved(4, 0, tau=1, client=0), moved(0, 4, tau=1, client=1)],
    ]
    assert_is(models_after(FedStaleWeight(window=2), vec(0, 0), *rounds)[2], 2, 2)
    # With three, s_0 = 11 / 3 and s_1 = 1.
    assert_is(models_after(FedStaleWeight(window=3), vec(0, 0), *rounds)[2], 44 / 14, 12 / 14)


def test_both_updates_of_a_client_in_a_buffer_weigh_by_the_mean_with_both() -> None:
    batch = [
        moved(6, 0, tau=1, client=0),
        moved(0, 6, tau=2, client=1),
        moved(6, 6, tau=3, client=0),
    ]
    # s_0 = 2 for both of them, s_1 = 2: the mean of the three.
    assert_is(models_after(FedStaleWeight(), vec(0, 0), batch)[0], 4, 4)


def test_fresh_updates_of_clients_that_were_never_stale_count_alike() -> None:
    batch = [moved(4, 0, tau=0, client=0), moved(0, 4, tau=0, client=1)]
    assert_is(models_after(FedStaleWeight(), vec(0, 0), batch)[0], 2, 2)


def test_a_client_that_was_never_stale_counts_nothing_beside_one_that_was() -> None:
    batch = [moved(4, 0, tau=0, client=0), moved(0, 4, tau=1, client=1)]
    assert_is(models_after(FedStaleWeight(), vec(0, 0), batch)[0], 0, 4)


def test_the_schedule_is_that_of_fedbuff() -> None:
    settings = {"concurrency": 3, "buffer_size": 2}
    stop = {"virtual_seconds": 30}
    durations = [[1, 4], 2.5, [3, 1], 5]
    one, other = (
        run(scenario(durations, strategy={"kind": kind, **settings}, stop=stop))
        for kind in ("fedstaleweight", "fedbuff")
    )
    assert one.schedule_digest == other.schedule_digest


def test_check_finds_a_concurrency_beyond_the_clients() -> None:
    found = [path for path, _ in FedStaleWeight(concurrency=6).check(5)]
    assert found == [path for path, _ in FedBuff(concurrency=6).check(5)] == [("concurrency",)]
