"""Laws that every partition keeps, whatever the data, the fleet and the seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import Partition, make_partition
from afl_sim.learning.partition.dealing import apportion, raise_to_minimum
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.streams import Streams

MINIMUM = st.integers(1, 4)
USES_ALL = st.one_of(
    st.fixed_dictionaries({"kind": st.just("iid"), "min_samples": MINIMUM}),
    st.fixed_dictionaries(
        {
            "kind": st.just("dirichlet"),
            "alpha": st.floats(1e-6, 1e3) | st.just(0),
            "min_samples": MINIMUM,
            "equal_sizes": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {"kind": st.just("shards"), "per_client": st.integers(1, 4), "min_samples": MINIMUM}
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("classes"),
            "per_client": st.integers(1, 10),
            "assignment": st.sampled_from(["random", "cyclic"]),
            "min_samples": MINIMUM,
        }
    ),
    st.fixed_dictionaries(
        {
            "kind": st.just("quantity"),
            "law": st.sampled_from(["lognormal", "power_law", "normal"]),
            "sigma": st.floats(0, 20),
            "exponent": st.floats(1.001, 50),
            "std": st.floats(0, 10),
            "min_samples": MINIMUM,
        }
    ),
)
USES_PART = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["iid", "classes"]),
        "samples": st.integers(2, 30),
        "replacement": st.booleans(),
    }
) | st.fixed_dictionaries(
    {
        "kind": st.just("dirichlet"),
        "alpha": st.floats(1e-6, 1e3) | st.just(0),
        "samples": st.integers(1, 30),
        "replacement": st.booleans(),
    }
)
LABELS = st.tuples(st.integers(1, 400), st.integers(1, 10), st.integers(0, 99)).map(
    lambda drawn: np.random.default_rng(drawn[2]).integers(0, drawn[1], drawn[0])
)
CLIENTS = st.integers(1, 40)
SEEDS = st.integers(0, 2**63 - 1)


def deal(partition: dict[str, Any], labels: np.ndarray, clients: int, seed: int) -> Partition:
    spec = DataSpec.model_validate({"partition": partition})
    return make_partition(spec, Annotations(labels, 10), clients, Streams(seed))


def names_its_key(error: ScenarioError) -> None:
    assert all(line.startswith("data.partition.") for line in str(error).splitlines())


def pieces(partition: Partition) -> list[np.ndarray]:
    return [partition.indices(client) for client in range(partition.clients)]


def same_table(partition: Partition, labels: np.ndarray) -> bool:
    by_hand = [np.bincount(labels[piece], minlength=10) for piece in pieces(partition)]
    return np.array_equal(partition.label_counts(labels, 10), by_hand)


@settings(max_examples=300, deadline=None)
@given(USES_ALL, LABELS, CLIENTS, SEEDS)
def test_every_sample_goes_to_one_client_and_every_client_has_the_minimum(
    partition: dict[str, Any], labels: np.ndarray, clients: int, seed: int
) -> None:
    try:
        dealt = deal(partition, labels, clients, seed)
    except ScenarioError as error:
        names_its_key(error)
        # An even deal can always be made where there are enough samples; the others also ask
        # something of labels, shards or classes.
        if partition["kind"] in ("iid", "quantity") or partition.get("alpha", 0) > 0:
            assert clients * partition["min_samples"] > len(labels)
        return
    every = pieces(dealt)
    assert sorted(np.concatenate(every)) == list(range(len(labels)))
    assert [len(piece) for piece in every] == [dealt.size(u) for u in range(clients)]
    assert np.array_equal(dealt.sizes, [len(piece) for piece in every])
    assert dealt.sizes.min() >= partition["min_samples"]
    assert all(piece.dtype == np.int64 for piece in every)
    assert same_table(dealt, labels)


@settings(max_examples=200, deadline=None)
@given(USES_PART, LABELS, CLIENTS, SEEDS)
def test_a_part_of_the_set_is_dealt_in_the_sizes_asked_for(
    partition: dict[str, Any], labels: np.ndarray, clients: int, seed: int
) -> None:
    try:
        dealt = deal(partition, labels, clients, seed)
    except ScenarioError as error:
        names_its_key(error)
        if partition["kind"] != "classes":
            assert not partition["replacement"]
            assert clients * partition["samples"] > len(labels)
        return
    every = np.concatenate(pieces(dealt))
    assert list(dealt.sizes) == [partition["samples"]] * clients
    assert len(every) == clients * partition["samples"]
    assert every.min() >= 0
    assert every.max() < len(labels)
    if not partition["replacement"]:
        assert len(set(every)) == len(every)
    assert same_table(dealt, labels)


@settings(max_examples=100, deadline=None)
@given(USES_ALL | USES_PART, LABELS, st.integers(2, 40), SEEDS)
def test_the_same_seed_deals_the_same_in_the_same_order_whoever_is_asked_first(
    partition: dict[str, Any], labels: np.ndarray, clients: int, seed: int
) -> None:
    try:
        first = deal(partition, labels, clients, seed)
    except ScenarioError:
        return
    second = deal(partition, labels, clients, seed)
    backwards = [second.indices(client) for client in reversed(range(clients))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(pieces(first), backwards, strict=True))


@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=50).map(np.array), st.integers(0, 10**6))
def test_apportioned_numbers_sum_to_the_total_and_are_within_one_of_their_share(
    weights: np.ndarray, total: int
) -> None:
    numbers = apportion(weights, total)
    assert numbers.sum() == total
    assert numbers.min() >= 0
    scaled = weights / weights.max() if weights.max() > 0 else np.ones_like(weights)
    assert np.abs(numbers - scaled / scaled.sum() * total).max() <= 1 + 1e-6


@given(
    st.lists(st.integers(0, 30), min_size=6, max_size=60).map(
        lambda cells: np.array(cells[: len(cells) // 3 * 3]).reshape(-1, 3)
    ),
    st.integers(0, 20),
)
def test_raising_to_a_minimum_loses_nothing_and_leaves_the_large_the_largest(
    counts: np.ndarray, minimum: int
) -> None:
    if minimum * len(counts) > counts.sum():
        return
    raised = raise_to_minimum(counts, minimum)
    assert np.array_equal(raised.sum(axis=0), counts.sum(axis=0))
    assert raised.min() >= 0
    before, after = counts.sum(axis=1), raised.sum(axis=1)
    assert after.min() >= minimum
    assert np.array_equal(after[before < minimum], np.full((before < minimum).sum(), minimum))
    order = np.argsort(before, kind="stable")
    rises = np.diff(after[order])
    assert rises.min() >= -1  # among the levelled, some have given one more than others


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 8), st.integers(2, 5), st.integers(0, 10**6), st.integers(1, 12))
def test_a_minimum_within_fixed_labels_is_reached_wherever_a_maximum_flow_says_it_can_be(
    clients: int, classes: int, seed: int, minimum: int
) -> None:
    random = np.random.default_rng(seed)
    counts = random.integers(1, 15, (clients, classes)) * (random.random((clients, classes)) < 0.5)
    held = counts > 0
    # One sample of each label a client holds is its own; the rest may flow along held labels.
    spare = counts.sum(axis=0) - held.sum(axis=0)
    needed = np.maximum(minimum - held.sum(axis=1), 0)
    capacity = np.zeros((2 + classes + clients,) * 2, dtype=np.int32)
    capacity[0, 2 : 2 + classes] = np.maximum(spare, 0)
    capacity[2 : 2 + classes, 2 + classes :] = held.T * 10**6
    capacity[2 + classes :, 1] = needed
    possible = maximum_flow(csr_array(capacity), 0, 1).flow_value == needed.sum()
    if not possible:
        with pytest.raises(ScenarioError, match="min_samples"):
            raise_to_minimum(counts, minimum, keep_labels=True)
        return
    raised = raise_to_minimum(counts, minimum, keep_labels=True)
    assert raised.sum(axis=1).min() >= minimum
    assert np.array_equal(raised > 0, held)
    assert np.array_equal(raised.sum(axis=0), counts.sum(axis=0))
