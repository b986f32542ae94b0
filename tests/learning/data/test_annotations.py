"""What samples are dealt out by."""

from __future__ import annotations

import numpy as np

from afl_sim.learning.data.annotations import BINS, Annotations, bins_of


def test_numbers_fall_into_bins_of_equal_size() -> None:
    numbers = np.random.default_rng(1).permutation(200).astype(np.float32)
    bins = bins_of(numbers)
    assert np.array_equal(bins, numbers // 20)
    assert np.bincount(bins).tolist() == [20] * BINS
    assert np.array_equal(bins_of(np.stack([numbers, -numbers], axis=1)), bins)


def test_equal_numbers_share_a_bin() -> None:
    numbers = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 7], dtype=np.float32)
    bins = bins_of(numbers)
    assert len(set(bins[:9])) == 1
    assert bins[0] < bins[9] == bins[10]
    assert set(bins_of(np.full(4, 2, np.float32))) == {BINS - 1}
    assert bins_of(np.array([3], np.float32)).tolist() == [BINS - 1]


def test_annotations_of_some_samples_keep_their_owners() -> None:
    whole = Annotations(np.array([3, 4, 5]), 6, np.array([0, 1, 1]), ("a", "b"))
    part = whole.of(np.array([2, 0]))
    assert part.labels.tolist() == [5, 3]
    assert part.owners is not None
    assert part.owners.tolist() == [1, 0]
    assert (part.classes, part.owner_names, len(part)) == (6, ("a", "b"), 2)
