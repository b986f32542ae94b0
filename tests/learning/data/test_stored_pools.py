"""Arrays in the cache are taken only for those of their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import raw, write_mnist_like

from afl_sim.learning.data.arrays import store_arrays
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.dataset_files import made_from
from afl_sim.learning.data.datasets import load_dataset, store_pool
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.streams import Streams

STORED = ("inputs", "labels", "test_inputs", "test_labels")


def arrays_of(data: Dataset) -> dict[str, np.ndarray]:
    """Copies of what is stored of a data set."""
    return {name: getattr(data, name).numpy().copy() for name in STORED}


@pytest.mark.parametrize("normalize", ["standard", "pixelwise", "unit_norm"])
@pytest.mark.parametrize("pool", ["train", "train_and_test"])
def test_arrays_are_known_for_those_of_their_files(
    tmp_path: Path, normalize: str, pool: str
) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    spec = raw("kmnist", tmp_path, normalize=normalize, pool=pool)
    right = arrays_of(load_dataset(spec, Streams(1)))
    assert made_from(right, spec, tmp_path)
    black, turned, labels = (dict(right) for _ in range(3))
    black["test_inputs"] = np.zeros_like(right["test_inputs"])
    turned["inputs"] = right["inputs"][::-1].copy()
    labels["labels"] = right["labels"][::-1].copy()
    part = {name: array[:3] for name, array in right.items()}
    wide = {name: array.astype(np.float64) for name, array in right.items()}
    for wrong in (black, turned, labels, part, wide, {"pictures": right["inputs"]}):
        assert not made_from(wrong, spec, tmp_path)


def test_foreign_arrays_in_the_cache_are_made_anew(cache: Path, tmp_path: Path) -> None:
    right = load_dataset(DataSpec(), Streams(1), cache)
    black = arrays_of(right)
    black["inputs"][:] = 0
    assert right.stored is not None
    store_arrays(tmp_path / "arrays" / right.stored.name, black)  # with digests of their own
    data = load_dataset(DataSpec(), Streams(1), tmp_path)
    assert torch.equal(data.inputs, right.inputs)
    assert made_from(arrays_of(data), DataSpec(), tmp_path)


def test_another_set_under_the_name_of_a_pool_is_not_shared(cache: Path, tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    data = load_dataset(raw("kmnist", tmp_path), Streams(1))
    store_arrays(tmp_path / "place", {"inputs": np.zeros((12, 1, 28, 28), np.float32)})
    shared = store_pool(data, tmp_path / "place")
    assert shared is not None
    assert torch.equal(shared.inputs, data.inputs)
    assert shared.stored == tmp_path / "place"
