"""FedProx: mu, an exact share of stragglers in every round, and what becomes of their work."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from vectors import assert_is, step, trained, vec
from world_runs import Outcome, run, scenario

from afl_sim.strategies import FedProx

EPOCH = 10  # steps: 100 samples in batches of 10


def rounds(versions: int = 12, **strategy: object) -> Outcome:
    return run(
        scenario(
            20,
            training={"epochs": 5, "batch_size": EPOCH},
            strategy={"kind": "fedprox", "clients_per_round": 10, **strategy},
            stop={"versions": versions},
        ),
        samples_of=lambda client: 100,
    )


def test_it_averages_models_by_samples() -> None:
    # (2 * 3 + 1 * 0) / 3 = 2,  (2 * 0 + 1 * 6) / 3 = 2
    assert_is(step(FedProx(mu=1.0), vec(9, 9), [trained(3, 0, n=2), trained(0, 6, n=1)]), 2, 2)


def test_partial_work_counts_by_the_samples_its_client_holds_not_by_its_steps() -> None:
    # (1 * 4 + 3 * 0) / 4 = 1, (1 * 0 + 3 * 8) / 4 = 6, though the second did a tenth of the steps.
    full = replace(trained(4, 0, n=1), steps=50)
    partial = replace(trained(0, 8, n=3), steps=5)
    assert_is(step(FedProx(mu=1.0), vec(9, 9), [full, partial]), 1, 6)


def test_weights_may_be_uniform() -> None:
    uniform = FedProx(mu=1.0, weighting="uniform")
    assert_is(step(uniform, vec(9, 9), [trained(4, 0, n=1), trained(0, 8, n=3)]), 2, 4)


def test_mu_is_the_weight_of_the_local_proximal_term() -> None:
    assert FedProx(mu=0.25).proximal == 0.25
    assert FedProx().proximal == 0.0


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.3, 3), (0.5, 5), (0.9, 9), (1.0, 10)])
def test_stragglers_are_an_exact_share_of_every_round(share: float, count: int) -> None:
    # Stragglers run 1 to 4 epochs, everyone else 5, so that each straggler can be told apart.
    outcome = rounds(stragglers=share, straggler_epochs=5)
    fewer = Counter(e.version for e in outcome.of("aggregated") if e.steps < 5 * EPOCH)
    assert [fewer[version] for version in range(1, 13)] == [count] * 12
    assert Counter(e.version for e in outcome.of("aggregated"))[1] == 10


@pytest.mark.parametrize(("size", "share"), [(1, 0.5), (1, 0.1), (3, 0.5), (7, 0.3)])
def test_a_share_that_is_no_whole_number_of_clients_holds_in_the_mean(
    size: int, share: float
) -> None:
    versions = 400
    outcome = rounds(versions, clients_per_round=size, stragglers=share, straggler_epochs=5)
    slow = Counter(e.version for e in outcome.of("aggregated") if e.steps < 5 * EPOCH)
    wanted, below = share * size, int(share * size)
    assert {slow[version] for version in range(1, versions + 1)} == {below, below + 1}
    part = wanted - below
    error = 5 * (part * (1 - part) / versions) ** 0.5
    assert slow.total() / versions == pytest.approx(wanted, rel=0, abs=error)


def test_a_straggler_runs_each_number_of_epochs_below_e() -> None:
    # E = 5, of which a straggler does 1 to 4: if it did all 5, it would be no straggler.
    outcome = rounds(versions=30, stragglers=1.0, straggler_epochs=5)
    epochs = Counter(e.steps / EPOCH for e in outcome.of("aggregated"))
    assert set(epochs) == {1, 2, 3, 4}
    # 300 draws, 75 of each expected, standard deviation 7.5: six of them either way.
    assert all(abs(count - 75) < 45 for count in epochs.values())


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_straggler_runs_one_epoch_if_there_is_no_other_choice(epochs: int) -> None:
    outcome = rounds(versions=3, stragglers=1.0, straggler_epochs=epochs)
    assert {e.steps for e in outcome.of("aggregated")} == {EPOCH}


def test_stragglers_are_drawn_anew_in_each_round() -> None:
    outcome = rounds(stragglers=0.5, straggler_epochs=5)
    slow = Counter(e.client for e in outcome.of("aggregated") if e.steps < 5 * EPOCH)
    all_rows = Counter(e.client for e in outcome.of("aggregated"))
    assert len(slow) > 10  # not the same five
    assert any(0 < slow[client] < all_rows[client] for client in all_rows)


def test_partial_work_can_be_dropped_as_fedavg_does() -> None:
    # 1000 clients, so that the dropped ones, who are still at work, hardly thin the next rounds.
    outcome = run(
        scenario(
            1000,
            training={"epochs": 5, "batch_size": EPOCH},
            strategy={
                "kind": "fedprox",
                "stragglers": 0.9,
                "straggler_epochs": 5,
                "partial": "drop",
            },
            stop={"versions": 5},
        ),
        samples_of=lambda client: 100,
    )
    assert Counter(e.version for e in outcome.of("aggregated")) == dict.fromkeys(range(1, 6), 1)
    assert all(e.steps == 5 * EPOCH for e in outcome.of("aggregated"))
    assert Counter(e.base_version for e in outcome.of("dispatched"))[0] == 10


def test_a_deadline_keeps_the_work_of_whoever_is_late() -> None:
    # FedProx keeps partial work unless told otherwise: 2 of 8 s done is 5 of 20 steps.
    outcome = run(
        scenario(
            [8, 1],
            training={"epochs": 2, "batch_size": EPOCH},
            strategy={"kind": "fedprox", "clients_per_round": 2, "deadline": 2.0},
            stop={"versions": 1},
        ),
        samples_of=lambda client: 100,
    )
    assert [(e.client, e.steps) for e in outcome.of("aggregated")] == [(1, 20), (0, 5)]


def test_check_finds_rounds_that_would_lose_everything() -> None:
    def complaints(**settings: object) -> list[str]:
        return [".".join(path) for path, _ in FedProx(clients_per_round=10, **settings).check(100)]

    assert complaints(stragglers=1.0, partial="drop") == ["stragglers"]
    assert complaints(stragglers=0.96, partial="drop") == ["stragglers"]  # 9.6 is all 10 in some
    assert complaints(stragglers=0.91, partial="drop") == ["stragglers"]
    assert complaints(stragglers=0.9, partial="drop") == []
    assert complaints(stragglers=1.0, partial="keep") == []
    assert complaints() == []  # keeping is the default, deadline or not


def test_check_finds_what_fedavg_finds() -> None:
    assert [path for path, _ in FedProx(clients_per_round=11).check(10)] == [("clients_per_round",)]
