"""Arrays in the cache are taken only for those of their files."""

from __future__ import annotations

import gc
import sys
import weakref
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from data_files import raw, write_mnist_like
from own_files import npz

from afl_sim.learning.data.arrays import store_arrays
from afl_sim.learning.data.content import data_digest
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.dataset_files import made_from
from afl_sim.learning.data.datasets import load_dataset, store_pool, stored_pool
from afl_sim.learning.data.inputs import RawInputs
from afl_sim.learning.data.sources.reading import read_source
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


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_once_samples_are_stored_this_process_keeps_no_copy_of_its_own(
    tmp_path: Path, storage: str
) -> None:
    images = np.random.default_rng(1).integers(256, size=(40, 1, 8, 8), dtype=np.uint8)
    file = npz(tmp_path / "a.npz", inputs=images, labels=np.arange(40) % 4)
    block = {"kind": "files", "train": file, "test": file}
    spec = DataSpec.model_validate({"dataset": block, "storage": storage})
    before = load_dataset(spec, Streams(1))
    first = next(iter(before.inputs.split(40))).clone()
    samples = before.inputs.raw if isinstance(before.inputs, RawInputs) else before.inputs
    own = weakref.ref(read_source(spec.dataset).train.inputs), weakref.ref(samples)
    folder = stored_pool(spec, tmp_path / "cache")
    del before, samples
    gc.collect()
    assert [each() for each in own] == [None, None]
    again = load_dataset(spec, Streams(1))
    assert again.stored == folder
    assert torch.equal(next(iter(again.inputs.split(40))), first)
    assert stored_pool(spec, tmp_path / "cache") == folder
    npz(tmp_path / "a.npz", inputs=255 - images, labels=np.arange(40) % 4)
    changed = load_dataset(spec, Streams(1))
    assert not torch.equal(next(iter(changed.inputs.split(40))), first)


def test_a_factory_is_called_once_although_its_samples_are_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def make() -> dict[str, Any]:
        calls.append(1)
        return {"train": (np.ones((8, 3), np.float32), np.arange(8) % 2)}

    module = ModuleType("counted_factory")
    module.make = make  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "counted_factory", module)
    block = {"kind": "counted_factory:make", "test_share": 0.5}
    spec = DataSpec.model_validate({"dataset": block})
    digest = data_digest(spec)
    stored_pool(spec, tmp_path)
    load_dataset(spec, Streams(1))
    assert data_digest(spec) == digest
    assert len(calls) == 1
