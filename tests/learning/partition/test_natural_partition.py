"""The data's own clients as clients of the simulation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.partition import FixedPartition, make_partition
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.streams import Streams

# Owner 7 has 2 samples, owner 3 has 4, owner 5 has 1; they appear in this order.
OWNERS = np.array([7, 3, 3, 5, 7, 3, 3])
LABELS = np.array([0, 1, 0, 1, 1, 0, 1])


def deal(
    clients: int,
    owners: np.ndarray | None = OWNERS,
    labels: np.ndarray = LABELS,
    seed: int = 1,
    **words: Any,
) -> FixedPartition:
    spec = DataSpec.model_validate({"partition": {"kind": "natural", **words}})
    dealt = make_partition(spec, Annotations(labels, 2, owners), clients, Streams(seed))
    assert isinstance(dealt, FixedPartition)
    return dealt


def held(partition: FixedPartition) -> list[list[int]]:
    return [partition.indices(client).tolist() for client in range(partition.clients)]


def test_each_client_holds_the_samples_of_one_of_the_datas_own() -> None:
    assert held(deal(3, order="file")) == [[0, 4], [1, 2, 5, 6], [3]]
    assert held(deal(2, order="file")) == [[0, 4], [1, 2, 5, 6]]


def test_those_with_too_few_samples_take_no_part() -> None:
    assert held(deal(2, min_samples=2)) == [[0, 4], [1, 2, 5, 6]]
    assert held(deal(1, min_samples=3)) == [[1, 2, 5, 6]]


def test_others_are_drawn_in_other_seeds_and_keep_the_order_of_the_data() -> None:
    found = {str(held(deal(2, seed=seed))) for seed in range(40)}
    assert found == {
        str([[0, 4], [1, 2, 5, 6]]),
        str([[0, 4], [3]]),
        str([[1, 2, 5, 6], [3]]),
    }


def test_a_cap_keeps_a_random_part_that_does_not_depend_on_who_else_takes_part() -> None:
    parts = [held(deal(3, order="file", max_samples=2, seed=seed))[1] for seed in range(20)]
    assert all(len(part) == 2 and set(part) <= {1, 2, 5, 6} for part in parts)
    assert len({tuple(part) for part in parts}) > 3
    alone = deal(1, order="file", min_samples=3, max_samples=3, seed=3)
    assert held(alone) == [held(deal(3, order="file", max_samples=3, seed=3))[1]]


def test_the_samples_of_one_can_be_divided_among_several_clients() -> None:
    owners = np.repeat([4, 9], 12)
    labels = np.tile([0, 1], 12)
    equal = deal(6, owners, labels, split=3)
    assert equal.sizes.tolist() == [4] * 6
    for first, members in ((0, range(12)), (3, range(12, 24))):
        parts = [equal.indices(client).tolist() for client in range(first, first + 3)]
        assert sorted(sample for part in parts for sample in part) == list(members)
    skewed = deal(4, np.repeat([4, 9], 400), np.tile([0, 1], 400), split=2, alpha=0.3)
    shares = skewed.label_counts(np.tile([0, 1], 400), 2) / 200
    np.testing.assert_allclose(shares[0] + shares[1], [1, 1])
    assert np.ptp(shares[0]) > 0.1 or np.ptp(shares[2]) > 0.1


@pytest.mark.parametrize(
    ("clients", "words", "message"),
    [
        (4, {}, r"clients.count: 4 clients need 4 of the data's own, but the data has 3; expected"),
        (
            3,
            {"min_samples": 2},
            r"need 3 of the data's own, but 2 of the data's 3 clients have at least 2 samples; "
            "expected at most 2",
        ),
        (6, {"split": 2}, r"each split into 2, but 2 of the data's 3 clients have at least 2 sa"),
        (3, {"split": 2}, r"data.partition.split: 3 clients cannot come in groups of 2"),
        (2, {"alpha": 1.0}, r"data.partition.alpha: it divides the samples .* split is 1"),
        (2, {"min_samples": 3, "max_samples": 2}, r"max_samples: got 2; expected at least min_s"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(
    clients: int, words: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        deal(clients, **words)
    assert len(str(caught.value).splitlines()) == 1


def test_data_without_clients_has_no_natural_partition() -> None:
    with pytest.raises(ScenarioError, match="natural needs data that says whose a sample is"):
        deal(2, owners=None)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(1, 3),
    st.none() | st.integers(1, 9),
    st.none() | st.floats(0.05, 10),
    st.integers(0, 99),
)
def test_no_sample_has_two_holders_and_no_holder_two_owners(
    owners: list[int], clients: int, split: int, cap: int | None, alpha: float | None, seed: int
) -> None:
    whose = np.array(owners)
    labels = np.arange(len(owners)) % 2
    words = {"split": split, "max_samples": cap, "alpha": alpha}
    try:
        partition = deal(clients, whose, labels, seed, **words)
    except ScenarioError:
        return
    everything = np.concatenate([partition.indices(client) for client in range(clients)])
    assert len(set(everything.tolist())) == len(everything)
    for client in range(clients):
        assert len(set(whose[partition.indices(client)])) == 1
        assert partition.size(client) >= 1
    groups = [whose[partition.indices(client)][0] for client in range(0, clients, split)]
    assert len(set(groups)) == len(groups)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"partition": {"kind": "dirichlet", "alpha": 1}}, "partition.kind: dirichlet deals samp"),
        ({"partition": {"kind": "classes"}}, "partition.kind: classes deals samples out by"),
        ({"partition": {"kind": "shards"}}, "partition.kind: shards deals samples out by"),
        ({"partition": {"kind": "natural", "split": 2, "alpha": 1}}, "partition.alpha: it divides"),
        ({"speed_correlation": {"of": "labels"}}, "speed_correlation.of: labels is about labels"),
    ],
)
def test_samples_without_a_single_label_are_not_dealt_out_by_label(
    data: dict[str, Any], message: str
) -> None:
    several = Annotations(np.zeros(6, dtype=np.int64), 1, np.arange(6) % 2, labelled=False)
    with pytest.raises(ScenarioError, match=message):
        make_partition(DataSpec.model_validate(data), several, 4, Streams(1))
