"""Partitions: what each kind deals out, what it refuses, and that nothing is kept per client."""

from __future__ import annotations

import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from calls import calls
from pydantic import ValidationError

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import Partition, make_partition
from afl_sim.learning.partition.dealing import (
    apportion,
    balanced_labels,
    raise_to_minimum,
    scaled_sizes,
)
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.partitions import Classes, Quantity
from afl_sim.streams import Streams

TEN_LABELS = np.random.default_rng(0).integers(0, 10, 6000)


def deal(
    clients: int = 20, labels: np.ndarray = TEN_LABELS, seed: int = 1, **partition: Any
) -> Partition:
    spec = DataSpec.model_validate({"partition": partition})
    return make_partition(spec, Annotations(labels, 10), clients, Streams(seed))


def table(partition: Partition, labels: np.ndarray = TEN_LABELS) -> np.ndarray:
    return partition.label_counts(labels, 10)


def everything(partition: Partition) -> np.ndarray:
    return np.concatenate([partition.indices(client) for client in range(partition.clients)])


def test_iid_uses_every_sample_once_in_sizes_that_differ_by_one_at_most() -> None:
    partition = deal(clients=7, kind="iid")
    assert sorted(everything(partition)) == list(range(6000))
    assert set(partition.sizes) == {857, 858}


def test_iid_with_samples_uses_a_part_and_no_sample_twice() -> None:
    partition = deal(clients=7, kind="iid", samples=100)
    used = everything(partition)
    assert list(partition.sizes) == [100] * 7
    assert len(set(used)) == 700
    assert used.max() > 3000  # from the whole set, not its beginning


def test_file_order_gives_contiguous_stretches() -> None:
    sizes = [10, 30, 5]
    partition = deal(clients=3, kind="sizes", sizes=sizes, order="file")
    assert list(partition.indices(1)) == list(range(10, 40))
    assert list(deal(clients=6, kind="iid", order="file").indices(1)) == list(range(1000, 2000))


def test_iid_with_replacement_lets_clients_outnumber_samples_and_costs_no_memory() -> None:
    tracemalloc.start()
    partition = deal(clients=100_000_000, kind="iid", samples=600, replacement=True)
    last = partition.indices(99_999_999)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # bytes
    assert len(last) == partition.size(99_999_999) == 600
    assert last.dtype == np.int64
    assert np.array_equal(last, partition.indices(99_999_999))
    assert not np.array_equal(last, partition.indices(99_999_998))
    assert len(set(last)) < 600  # some sample came up twice, as among 6000 it must


def test_labels_of_samples_drawn_on_demand_are_those_of_their_indices() -> None:
    for more in ({"kind": "iid"}, {"kind": "dirichlet", "alpha": 0.2}):
        partition = deal(clients=9, samples=50, replacement=True, **more)
        counted = partition.label_counts(TEN_LABELS, 10, 7)
        held = [TEN_LABELS[partition.indices(client)] for client in range(7)]
        assert counted.tolist() == [np.bincount(each, minlength=10).tolist() for each in held]


def test_draws_with_replacement_do_not_depend_on_the_number_of_clients() -> None:
    few = deal(clients=10, kind="dirichlet", alpha=0.2, samples=50, replacement=True)
    many = deal(clients=10_000, kind="dirichlet", alpha=0.2, samples=50, replacement=True)
    assert np.array_equal(few.indices(3), many.indices(3))


def test_dirichlet_is_skewed_for_small_alpha_and_uniform_for_large() -> None:
    def labels_held(alpha: float, **more: Any) -> float:
        return float((table(deal(kind="dirichlet", alpha=alpha, **more)) > 0).sum(axis=1).mean())

    for more in ({}, {"equal_sizes": True}, {"samples": 200}, {"samples": 300}):
        assert labels_held(0.05, **more) < 6
        assert labels_held(1000.0, **more) == 10
    assert labels_held(0.05, samples=300, replacement=True) < 6


def test_dirichlet_mixture_has_the_variance_of_its_distribution() -> None:
    # A component of Dir(alpha, ..., alpha) over 10 labels has variance 0.09 / (10 alpha + 1).
    # Drawn with replacement, the share of a label in 1000 samples adds (mean p(1-p)) / 1000.
    alpha = 0.5
    partition = deal(clients=2000, kind="dirichlet", alpha=alpha, samples=1000, replacement=True)
    shares = table(partition) / 1000
    between = 0.09 / (10 * alpha + 1)
    expected = between + (0.09 - between) / 1000
    by_label = shares.var(axis=0)
    assert abs(by_label.mean() - expected) < 5 * by_label.std() / np.sqrt(10)


@pytest.mark.parametrize("alpha", [1e-300, 1e-8, 1e9])
def test_dirichlet_bears_extreme_concentrations(alpha: float) -> None:
    for more in ({}, {"equal_sizes": True}, {"samples": 20}):
        partition = deal(kind="dirichlet", alpha=alpha, **more)
        assert len(set(everything(partition))) == (400 if "samples" in more else 6000)


def test_dirichlet_alpha_zero_is_one_class_per_client() -> None:
    every_sample = table(deal(kind="dirichlet", alpha=0))
    assert np.array_equal((every_sample > 0).sum(axis=1), np.ones(20))
    assert every_sample.sum() == 6000
    part = table(deal(kind="dirichlet", alpha=0, samples=100))
    assert np.array_equal(np.sort(part, axis=1)[:, -1], np.full(20, 100))
    assert np.array_equal((part > 0).sum(axis=0), np.full(10, 2))
    drawn = table(deal(kind="dirichlet", alpha=0, samples=100, replacement=True))
    assert np.array_equal((drawn > 0).sum(axis=1), np.ones(20))


def test_dirichlet_equal_sizes_prefers_no_client_by_its_number() -> None:
    # What runs out must not be settled in favour of low numbers: the skew of the first and the
    # last half of the clients is the same to within chance.
    counts = table(deal(clients=1000, kind="dirichlet", alpha=0.1, equal_sizes=True))
    largest = counts.max(axis=1) / counts.sum(axis=1)
    first, last = largest[:500], largest[500:]
    error = np.sqrt(first.var() / 500 + last.var() / 500)
    assert abs(first.mean() - last.mean()) < 4 * error


def test_dirichlet_minimum_is_kept_by_moving_samples() -> None:
    free = table(deal(clients=50, kind="dirichlet", alpha=0.05)).sum(axis=1)
    kept = table(deal(clients=50, kind="dirichlet", alpha=0.05, min_samples=60)).sum(axis=1)
    assert free.min() < 60 <= kept.min()
    assert kept.sum() == 6000
    at_the_limit = deal(clients=50, kind="dirichlet", alpha=0.05, min_samples=120)
    assert list(at_the_limit.sizes) == [120] * 50


def test_moving_takes_from_the_largest_client_and_its_commonest_label() -> None:
    counts = np.array([[1, 0], [4, 6], [5, 0]])
    assert raise_to_minimum(counts, 3).tolist() == [[1, 2], [4, 4], [5, 0]]
    assert counts.tolist() == [[1, 0], [4, 6], [5, 0]]


def test_shards_are_equal_stretches_of_the_label_sorted_set() -> None:
    labels = np.arange(6000) % 10
    partition = deal(clients=100, labels=labels, kind="shards", per_client=2)
    counts = partition.label_counts(labels, 10)
    assert sorted(everything(partition)) == list(range(6000))
    assert list(partition.sizes) == [60] * 100
    assert set(counts.ravel()) <= {0, 30, 60}
    assert (counts == 30).any()


def test_shards_lose_nothing_when_they_do_not_divide_the_set() -> None:
    partition = deal(clients=7, kind="shards", per_client=3)
    assert sorted(everything(partition)) == list(range(6000))
    assert partition.sizes.max() - partition.sizes.min() <= 3


@pytest.mark.parametrize("per_client", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("assignment", ["random", "cyclic"])
def test_classes_gives_every_client_exactly_k_labels_and_uses_every_sample(
    per_client: int, assignment: str
) -> None:
    partition = deal(clients=20, kind="classes", per_client=per_client, assignment=assignment)
    counts = table(partition)
    assert np.array_equal((counts > 0).sum(axis=1), np.full(20, per_client))
    assert np.array_equal((counts > 0).sum(axis=0), np.full(10, 2 * per_client))
    assert sorted(everything(partition)) == list(range(6000))


def test_classes_cyclic_is_u_and_u_plus_one() -> None:
    counts = table(deal(kind="classes", assignment="cyclic"))
    assert list(np.flatnonzero(counts[13])) == [3, 4]
    assert set(np.flatnonzero(counts[19])) == {9, 0}


def test_classes_random_mixes_labels_beyond_neighbours() -> None:
    spec = Classes(kind="classes", per_client=2)
    held = balanced_labels(spec, 1000, 10, np.random.default_rng(0))
    assert len({frozenset(pair) for pair in held.tolist()}) == 45
    assert (held[:, 0] != held[:, 1]).all()


def test_classes_keeps_the_minimum_within_the_labels_a_client_has() -> None:
    free = table(deal(kind="classes", per_client=2))
    minimum = int(free.sum(axis=1).min()) + 8
    kept = table(deal(kind="classes", per_client=2, min_samples=minimum))
    assert kept.sum(axis=1).min() == minimum
    assert np.array_equal(kept > 0, free > 0)
    assert kept.sum() == 6000


def test_classes_with_sigma_shares_each_label_in_lognormal_parts_above_a_minimum() -> None:
    """The recipe of FedProx's MNIST: two cyclic labels, five of each and lognormal(0, 2) extras."""
    many = np.arange(70_000) % 10
    recipe = {"assignment": "cyclic", "min_per_label": 5, "sigma": 2.0}
    partition = deal(clients=1000, labels=many, kind="classes", **recipe)
    counts = table(partition, many)
    assert sorted(everything(partition)) == list(range(70_000))
    assert list(np.flatnonzero(counts[13])) == [3, 4]
    assert counts[counts > 0].min() >= 5
    assert (counts > 0).sum() == 2000
    # From the upper quantiles, which hardly feel the rounding to whole samples. Over 40 seeds this
    # estimate is 1.99 with a standard deviation of 0.08, of which five are allowed.
    extras = np.log(np.maximum(counts[counts > 0] - 5, 0.5).astype(float))
    spread = np.subtract(*np.percentile(extras, [90, 50])) / 1.2816  # quantiles of a normal
    assert abs(spread - 2.0) < 0.4


def test_classes_with_a_minimum_per_label_refuses_a_label_that_has_too_few() -> None:
    with pytest.raises(ScenarioError, match="min_per_label: 4 clients hold label 0, 200 samples"):
        deal(kind="classes", assignment="cyclic", min_per_label=200)
    even = table(deal(kind="classes", assignment="cyclic", min_per_label=100))
    assert even[even > 0].min() >= 100


def test_classes_keeps_the_minimum_per_label_while_it_makes_up_for_small_clients() -> None:
    some = {"kind": "classes", "min_per_label": 20, "sigma": 2.0}
    free = table(deal(**some))
    minimum = int(np.median(free.sum(axis=1)))
    kept = table(deal(**some, min_samples=minimum))
    assert kept.sum(axis=1).min() == minimum
    assert np.array_equal(kept > 0, free > 0)
    assert kept[kept > 0].min() >= 20
    assert kept.sum() == 6000


def test_classes_with_samples_shares_them_evenly_over_the_labels() -> None:
    counts = table(deal(kind="classes", per_client=3, samples=100))
    assert [sorted(row)[-3:] for row in counts.tolist()] == [[33, 33, 34]] * 20
    lazy = deal(clients=10**7, kind="classes", per_client=3, samples=100, replacement=True)
    drawn = lazy.label_counts(TEN_LABELS, 10, first=50)
    assert drawn.shape == (50, 10)
    assert np.array_equal((drawn > 0).sum(axis=1), np.full(50, 3))


@pytest.mark.parametrize(
    "law", [{"law": "lognormal", "sigma": 2.0}, {"law": "power_law"}, {"law": "normal", "std": 2.0}]
)
def test_quantity_scales_to_the_whole_set_and_keeps_the_minimum(law: dict[str, Any]) -> None:
    partition = deal(clients=100, kind="quantity", min_samples=8, **law)
    assert sorted(everything(partition)) == list(range(6000))
    assert partition.sizes.min() >= 8
    assert partition.sizes.std() > 10


def test_quantity_sizes_follow_their_laws() -> None:
    many = np.arange(2_000_000) % 10

    def sizes(**law: Any) -> np.ndarray:
        partition = deal(clients=4000, labels=many, kind="quantity", **law)
        return np.asarray(partition.sizes, dtype=float)

    # Scaling shifts a logarithm and leaves its spread; 5 standard errors of a standard deviation.
    logs = np.log(sizes(law="lognormal", sigma=0.8))
    assert abs(logs.std() - 0.8) < 5 * 0.8 / np.sqrt(2 * 4000)
    # The logarithm of a density x**-3 on [1, inf) is exponential with mean 1/2.
    logs = np.log(sizes(law="power_law", exponent=3.0))
    assert abs((logs - logs.min()).mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)
    normal = sizes(law="normal", std=0.25)
    assert normal.mean() == 500
    assert abs(normal.std() / 500 - 0.25) < 5 * 0.25 / np.sqrt(2 * 4000)


def test_drawn_sizes_and_the_samples_drawn_have_nothing_in_common() -> None:
    """Client 0 would draw its samples by the very numbers that made the sizes."""
    spec = Quantity(kind="quantity", law="power_law", replacement=True)
    drawn = deal(clients=50, kind="quantity", law="power_law", replacement=True)
    client_0_s = Streams(1).generator("partition", 0)
    assert not np.array_equal(drawn.sizes, scaled_sizes(spec, 50, 6000, client_0_s))
    kept = deal(clients=50, kind="quantity", law="power_law")
    assert np.array_equal(
        kept.sizes, scaled_sizes(spec, 50, 6000, Streams(1).generator("partition"))
    )


def test_quantity_bears_an_extreme_spread() -> None:
    assert deal(kind="quantity", sigma=20.0).sizes.sum() == 6000
    assert deal(kind="quantity", law="power_law", exponent=1.0001).sizes.sum() == 6000


def test_shared_gives_everybody_the_same_samples_and_costs_no_memory() -> None:
    first = deal(clients=3, kind="shared", samples=100, order="file")
    assert [first.indices(u).tolist() for u in range(3)] == [list(range(100))] * 3
    assert first.sizes.tolist() == [100, 100, 100]
    assert (table(first) == np.bincount(TEN_LABELS[:100], minlength=10)).all()
    some = deal(clients=10**8, kind="shared", samples=100)
    assert len(set(some.indices(10**8 - 1))) == some.size(5) == 100
    assert not np.array_equal(some.indices(0), first.indices(0))
    assert np.array_equal(deal(clients=2, kind="shared").indices(1), np.arange(6000))


def test_explicit_sizes_are_those_sizes() -> None:
    sizes = [3, 500, 1]
    partition = deal(clients=3, kind="sizes", sizes=sizes)
    assert list(partition.sizes) == sizes
    assert len(set(everything(partition))) == 504
    drawn = deal(clients=2, kind="sizes", sizes=[7000, 8000], replacement=True)
    assert [len(drawn.indices(client)) for client in (0, 1)] == [7000, 8000]


@pytest.mark.parametrize(
    ("clients", "partition", "message"),
    [
        (7000, {"kind": "iid"}, "data.partition.min_samples: 7000 clients x 1 samples = 7000"),
        (6001, {"kind": "iid"}, "partition.min_samples: .*at most 6000 clients"),
        (6001, {"kind": "iid", "samples": 60}, "partition.samples: .*at most 100 clients"),
        (6001, {"kind": "quantity"}, "partition.min_samples: .*at most 6000 clients$"),
        (10, {"kind": "iid", "samples": 601}, "data.partition.samples: .*at most 600"),
        (10, {"kind": "dirichlet", "alpha": 1, "min_samples": 601}, "partition.min_samples: "),
        (5, {"kind": "dirichlet", "alpha": 0}, "partition.alpha: 5 clients hold 5 labels"),
        (700, {"kind": "shards", "per_client": 10}, "partition.per_client: 7000 shards"),
        (7, {"kind": "shards", "min_samples": 857}, "partition.min_samples: .*at most 856"),
        (10, {"kind": "classes", "per_client": 11}, "partition.per_client: 11 labels"),
        (4, {"kind": "classes"}, "partition.per_client: 4 clients hold 8 labels"),
        (
            2,
            {"kind": "classes", "per_client": 5, "assignment": "cyclic"},
            "2 clients hold 6 labels",
        ),
        (20, {"kind": "classes", "per_client": 1, "min_samples": 300}, "min_samples: .*was given"),
        (10, {"kind": "classes", "samples": 600, "per_client": 1}, "partition.samples: .*label"),
        (10, {"kind": "classes", "samples": 2, "per_client": 3}, "partition.samples: 2 samples"),
        (6000, {"kind": "classes"}, "partition.per_client: 1200 clients hold label"),
        (10, {"kind": "quantity", "min_samples": 601}, "partition.min_samples: "),
        (3, {"kind": "sizes", "sizes": [1, 2]}, "partition.sizes: 2 sizes for 3 clients"),
        (2, {"kind": "sizes", "sizes": [1, 6000]}, "partition.sizes: .*sum to 6001"),
    ],
)
def test_what_cannot_be_dealt_is_refused_and_names_its_key(
    clients: int, partition: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        deal(clients=clients, **partition)
    assert str(caught.value).startswith("data.partition.")


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        ({"kind": "iid", "replacement": True}, "needs `samples`"),
        ({"kind": "iid", "samples": 5, "min_samples": 6}, r"samples \(5\) is below min_samples"),
        ({"kind": "iid", "samples": 5, "replacement": True, "order": "file"}, "order: file"),
        ({"kind": "iid", "min_samples": 0}, "min_samples"),
        ({"kind": "dirichlet", "alpha": -1}, "alpha"),
        ({"kind": "dirichlet", "alpha": float("nan")}, "alpha"),
        ({"kind": "dirichlet"}, "alpha"),
        ({"kind": "quantity", "law": "power_law", "exponent": 1}, "exponent"),
        ({"kind": "classes", "samples": 10, "sigma": 1.0}, "sigma distributes all samples"),
        (
            {"kind": "classes", "samples": 10, "min_per_label": 2},
            "min_per_label distributes all samples",
        ),
        ({"kind": "classes", "sigma": -1}, "sigma"),
        ({"kind": "sizes", "sizes": [5, 0]}, r"sizes\[1\] is 0"),
        ({"kind": "sizes", "sizes": []}, "sizes"),
        ({"kind": "dirichelt", "alpha": 1}, "'dirichlet'"),
        ({"kind": "shards", "replacement": True}, "replacement"),
    ],
)
def test_settings_out_of_bounds_are_refused(partition: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSpec.model_validate({"partition": partition})


def test_more_shared_samples_than_there_are_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"partition\.samples: 6001 samples for every client"):
        deal(kind="shared", samples=6001)


def test_what_is_known_before_reading_files_is_checked_before_reading_them() -> None:
    spec = DataSpec.model_validate({"partition": {"kind": "iid", "samples": 600}})
    assert list(spec.problems(100)) == []
    ((path, message),) = spec.problems(101)
    assert path == ("partition", "samples")
    assert "60600" in message
    assert "60000" in message
    held_out = spec.model_copy(update={"validation": 0.5})
    assert "30000" in next(iter(held_out.problems(100)))[1]
    assert list(spec.model_copy(update={"root": "/my/copy"}).problems(101)) == []


def test_a_kind_alone_may_be_written_as_a_word_and_iid_is_the_default() -> None:
    assert DataSpec.model_validate({"partition": "shards"}).partition.kind == "shards"
    assert DataSpec().partition.kind == "iid"


def test_a_client_outside_the_fleet_is_an_index_error() -> None:
    for more in ({}, {"samples": 5, "replacement": True}):
        partition = deal(clients=3, kind="iid", **more)
        for client in (-1, 3):
            with pytest.raises(IndexError):
                partition.indices(client)
            with pytest.raises(IndexError):
                partition.size(client)


@pytest.mark.parametrize("alpha", [0.1, 10.0])
def test_dealing_costs_less_than_a_call_for_two_samples(alpha: float) -> None:
    labels = np.arange(60_000) % 10
    for more in ({"min_samples": 30}, {"equal_sizes": True}):

        def dealing(more: dict[str, Any] = more) -> Partition:
            return deal(clients=1000, labels=labels, kind="dirichlet", alpha=alpha, **more)

        assert calls(dealing) < 30_000  # 500 to 18,500: the fewest samples are dealt by chance


@pytest.mark.parametrize(
    "partition",
    [
        {"kind": "dirichlet", "alpha": 1},
        {"kind": "iid", "samples": 9, "replacement": 1},
        {"kind": "shared", "samples": 9},
    ],
)
def test_a_partition_travels_to_another_process(partition: dict[str, Any]) -> None:
    here = deal(**partition)
    there = pickle.loads(pickle.dumps(here))
    assert all(np.array_equal(here.indices(u), there.indices(u)) for u in range(20))


def test_apportion_gives_the_largest_remainders_the_odd_ones() -> None:
    assert apportion(np.array([1.0, 1.0, 1.0]), 4).tolist() == [2, 1, 1]
    assert apportion(np.array([0.5, 0.3, 0.2]), 7).tolist() == [4, 2, 1]
    assert apportion(np.zeros(2), 4).tolist() == [2, 2]
