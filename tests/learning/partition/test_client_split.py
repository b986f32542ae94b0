"""What clients keep for tests: how many samples, which, who refuses, and what is evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import SMALLEST

from afl_sim import load_scenario, simulate
from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import FixedPartition, Partition, make_partition
from afl_sim.learning.partition.client_split import Dealt, deal, kept_of
from afl_sim.run.preparation import prepare
from afl_sim.run.recipe import build_runner, recipe_of
from afl_sim.run.validation import check_study
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation
from afl_sim.streams import Streams

LABELS = np.random.default_rng(0).integers(0, 10, 3000)
SIZES = [10, 11, 70, 700, 2]


def spec(share: float, **partition: Any) -> DataSpec:
    return DataSpec.model_validate({"client_test": share, "partition": partition})


def dealt(share: float, seed: int = 1, clients: int = 5, **partition: Any) -> Dealt:
    partition = partition or {"kind": "sizes", "sizes": SIZES}
    return deal(spec(share, **partition), Annotations(LABELS, 10), clients, (), Streams(seed))


def whole(clients: int = 5, seed: int = 1, **partition: Any) -> Partition:
    partition = partition or {"kind": "sizes", "sizes": SIZES}
    return make_partition(spec(0.0, **partition), Annotations(LABELS, 10), clients, Streams(seed))


def kept(share: float, **more: Any) -> FixedPartition:
    testing = dealt(share, **more).testing
    assert isinstance(testing, FixedPartition)
    return testing


@pytest.mark.parametrize(
    ("samples", "share", "expected"),
    [
        (10, 0.1, 1),
        (11, 0.1, 2),  # int(0.9 * 11) = 9 are trained on
        (70, 0.1, 7),  # 0.1 * 70 in floating point is more than 7
        (700, 0.142857, 100),  # 1/7, and so 6/7 to train on
        (701, 0.142857, 101),
        (1, 0.001, 1),
        (5, 0.0, 0),
    ],
)
def test_the_share_is_rounded_up(samples: int, share: float, expected: int) -> None:
    assert kept_of(samples, share) == expected


def test_every_client_keeps_its_share_and_trains_on_the_rest() -> None:
    split, full = dealt(0.1), whole()
    assert split.testing is not None
    assert list(split.testing.sizes) == [1, 2, 7, 70, 1]
    assert list(split.training.sizes) == [9, 9, 63, 630, 1]
    for client in range(5):
        held = list(full.indices(client))
        trained, test = split.training.indices(client), split.testing.indices(client)
        assert set(trained) | set(test) == set(held)
        assert [each for each in held if each in set(trained)] == list(trained)
        assert [each for each in held if each in set(test)] == list(test)


def test_where_data_goes_with_speed_both_parts_of_a_clients_samples_change_hands() -> None:
    slowest_first = [5.0, 4.0, 3.0, 2.0, 1.0]
    chosen = {"of": "samples", "strength": 1.0}
    data = spec(0.1, kind="sizes", sizes=SIZES).model_copy(
        update={"speed_correlation": SpeedCorrelation.model_validate(chosen)}
    )
    together = deal(data, Annotations(LABELS, 10), 5, slowest_first, Streams(1))
    apart = dealt(0.1)
    assert together.testing is not None
    assert apart.testing is not None
    order = np.argsort(SIZES, kind="stable")  # the slowest has the fewest
    for client, holder in enumerate(order):
        for ours, theirs in zip(
            (together.training, together.testing), (apart.training, apart.testing), strict=True
        ):
            assert np.array_equal(ours.indices(client), theirs.indices(int(holder)))


def test_no_share_leaves_the_partition_as_it_was() -> None:
    split = dealt(0.0)
    assert split.testing is None
    assert all(np.array_equal(split.training.indices(u), whole().indices(u)) for u in range(5))


def test_the_draw_depends_on_the_seed_and_on_nothing_else() -> None:
    assert np.array_equal(kept(0.3).flat, kept(0.3).flat)
    in_order = {"kind": "iid", "order": "file"}  # who holds what is the same whatever the seed
    assert not np.array_equal(kept(0.3, **in_order).flat, kept(0.3, seed=2, **in_order).flat)


def test_a_larger_share_keeps_what_a_smaller_one_does_and_more() -> None:
    small, large = kept(0.1), kept(0.4)
    assert all(set(small.indices(u)) < set(large.indices(u)) for u in range(4))


def test_what_is_kept_is_no_stretch_of_a_client_that_holds_its_samples_in_order_of_label() -> None:
    testing = kept(0.2, kind="shards", clients=5)
    counts = testing.label_counts(LABELS, 10)
    full = whole(kind="shards").label_counts(LABELS, 10)
    # Of 600 samples in labels of a and b, 120 are drawn; six standard deviations are less than 30.
    expected = full * 0.2
    assert np.abs(counts - expected).max() < 30
    assert (counts[full > 100] > 0).all()


def test_a_client_that_would_train_on_nothing_is_an_error() -> None:
    one = r"data\.client_test: .*leaves client 1 none of its 1 .*; expected 0, or a larger"
    with pytest.raises(ScenarioError, match=one):
        dealt(0.1, clients=2, kind="sizes", sizes=[5, 1])
    with pytest.raises(ScenarioError, match=r"none of its 2 samples .*; expected a smaller share"):
        dealt(0.6)


def test_clients_that_share_samples_keep_none(tmp_path: Path) -> None:
    drawn = {"kind": "iid", "samples": 9, "replacement": True}
    with pytest.raises(ScenarioError, match=r"data\.client_test: clients that draw"):
        dealt(0.1, **drawn)
    ((path, message),) = spec(0.1, **drawn).problems(5)
    assert path == ("client_test",)
    assert "with replacement" in message


SMALL = ["stop.updates=3", "data.partition={kind: iid, samples: 40}", "evaluation.samples=null"]


def test_a_run_trains_on_what_is_left_and_is_tested_on_what_was_kept() -> None:
    settings = [*SMALL, "data.client_test=0.25", "evaluation.on=client_test"]
    scenario = load_scenario(SMALLEST, settings)
    prepared = prepare(scenario)
    assert prepared.testing is not None
    assert prepared.dataset is not None
    assert prepared.partition.size(0) == 30
    run = simulate(scenario)
    clients = scenario.clients.count
    assert run.label_counts.sum(axis=1).tolist() == [30] * clients
    # The last evaluation, by hand.
    rows = np.concatenate([prepared.testing.indices(client) for client in range(clients)])
    weights, bias = (array.astype(np.float64) for array in run.model().values())
    images = prepared.dataset.inputs.numpy()[rows].reshape(len(rows), -1)
    right = (images @ weights.T + bias).argmax(1) == prepared.samples.labels[rows]
    assert len(rows) == 10 * clients
    assert run.metrics.accuracy.iloc[-1] == pytest.approx(right.mean(), abs=1e-9)


def test_the_loss_on_client_train_is_the_mean_of_the_clients_losses_by_their_samples() -> None:
    settings = [*SMALL, "data.client_test=0.25", "evaluation.on=client_train"]
    scenario = load_scenario(SMALLEST, settings)
    prepared = prepare(scenario)
    assert prepared.dataset is not None
    run = simulate(scenario)
    weights, bias = (array.astype(np.float64) for array in run.model().values())
    losses, sizes = [], []
    for client in range(scenario.clients.count):
        held = prepared.partition.indices(client)
        outputs = prepared.dataset.inputs.numpy()[held].reshape(len(held), -1) @ weights.T + bias
        top = outputs.max(1, keepdims=True)
        log_sum = np.log(np.exp(outputs - top).sum(1)) + top[:, 0]
        right = outputs[np.arange(len(held)), prepared.samples.labels[held]]
        losses.append((log_sum - right).mean())
        sizes.append(len(held))
    expected = np.average(losses, weights=sizes)
    assert run.metrics.loss.iloc[-1] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("on", ["client_test", "client_train"])
def test_worker_processes_see_the_same_split(on: str) -> None:
    settings = [*SMALL, "data.client_test=0.25", "data.validation=0.1", f"evaluation.on={on}"]
    alone = simulate(load_scenario(SMALLEST, settings))
    spread = simulate(load_scenario(SMALLEST, [*settings, "execution.executor=processes"]))
    assert spread.summary["model_digest"] == alone.summary["model_digest"]
    assert spread.metrics.equals(alone.metrics)


def test_the_schedule_knows_the_split_without_training() -> None:
    settings = ["stop.updates=3", "data.client_test=0.25", "training.batch_size=full"]
    scenario = load_scenario(SMALLEST, settings)
    events = simulate(scenario, timing_only=True).events
    done = events[events.kind == "dispatched"]
    held = prepare(scenario, timing_only=True).partition.size(0)
    assert held == prepare(load_scenario(SMALLEST, settings[:1])).partition.size(0) * 3 // 4
    assert set(done.samples.dropna()) == {held * s for s in set(done.steps.dropna())}


def test_a_subset_larger_than_what_clients_hold_is_an_error_before_and_in_the_run() -> None:
    settings = [*SMALL, "data.client_test=0.25", "evaluation.on=client_test"]
    scenario = load_scenario(SMALLEST, settings)
    most = 10 * scenario.clients.count
    too_many = [*settings, f"evaluation.samples={most + 1}"]
    with pytest.raises(ScenarioError, match=f"client_test set has; expected at most {most}"):
        check_study(SMALLEST, too_many)
    with pytest.raises(ScenarioError, match=f"expected at most {most}"):
        prepare(load_scenario(SMALLEST, too_many))
    fits = load_scenario(SMALLEST, [*settings, f"evaluation.samples={most}"])
    prepared = prepare(fits)
    assert prepared.dataset is not None
    build_runner(recipe_of(fits), prepared.dataset, prepared.partition, prepared.testing)
