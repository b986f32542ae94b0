"""CIFAR10 from its batches."""

from __future__ import annotations

import collections
import hashlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from data_files import flip, raw

from afl_sim.errors import DataError
from afl_sim.learning.data.datasets import load_annotations, load_dataset
from afl_sim.learning.data.file_formats import read_cifar
from afl_sim.streams import Streams


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """CIFAR10's pickled batches of four images each.

    torchvision refuses batches whose MD5 is not the published one, so the list of digests it checks
    is that of these files; the check itself runs.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    random = np.random.default_rng(9)
    pictures = random.integers(0, 256, (24, 3, 32, 32), dtype=np.uint8)

    def write(name: str, content: dict[str, Any]) -> str:
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
        return hashlib.md5((folder / name).read_bytes()).hexdigest()

    names = [f"data_batch_{number}" for number in range(1, 6)] + ["test_batch"]
    listed = []
    for number, name in enumerate(names):
        part = pictures[4 * number : 4 * number + 4].reshape(4, 3072)
        listed.append([name, write(name, {"data": part, "labels": [number, 7, 8, 9]})])
    reader = torchvision.datasets.CIFAR10
    monkeypatch.setattr(reader, "train_list", listed[:5])
    monkeypatch.setattr(reader, "test_list", listed[5:])
    meta = write("batches.meta", {"label_names": [f"class {label}" for label in range(10)]})
    monkeypatch.setattr(reader, "meta", {**reader.meta, "md5": meta})
    return pictures[:20]


def test_cifar_batches_become_channels_first_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = write_cifar(tmp_path, monkeypatch)
    data = load_dataset(raw("cifar10", tmp_path), Streams(1))
    assert np.array_equal(data.inputs.numpy(), pictures)
    assert data.inputs.is_contiguous()
    assert data.form.input_shape == (3, 32, 32)
    assert data.labels.tolist() == [label for n in range(5) for label in (n, 7, 8, 9)]
    annotations = load_annotations(raw("cifar10", tmp_path), Streams(1))
    assert annotations.labels.tolist() == data.labels.tolist()
    standard = load_dataset(raw("cifar10", tmp_path, normalize="standard"), Streams(1))
    assert standard.inputs.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-5)


def test_a_damaged_cifar_batch_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, monkeypatch)
    flip(tmp_path / "cifar-10-batches-py" / "data_batch_2")
    with pytest.raises(DataError, match=r"cannot read CIFAR10 .*corrupted"):
        load_dataset(raw("cifar10", tmp_path), Streams(1))


def test_a_part_of_cifar_is_read_where_the_scenario_asks_for_no_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        pictures = write_cifar(tmp_path, patched)
    with pytest.raises(DataError, match=r"MD5 sums are the published.*data\.check: false reads"):
        load_dataset(raw("cifar10", tmp_path), Streams(1))
    data = load_dataset(raw("cifar10", tmp_path, check=False), Streams(1))
    assert np.array_equal(data.inputs.numpy(), pictures)
    assert data.labels.tolist() == [label for n in range(5) for label in (n, 7, 8, 9)]
    assert data.test_labels.tolist() == [5, 7, 8, 9]
    labels = load_annotations(raw("cifar10", tmp_path, check=False), Streams(1)).labels
    assert labels.tolist() == data.labels.tolist()


@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("keys", [str, str.encode])
@pytest.mark.parametrize("labels", [list, np.array, lambda all_of: list(np.array(all_of))])
def test_batches_may_be_pickled_in_any_usual_way(
    tmp_path: Path, protocol: int, keys: Any, labels: Any
) -> None:
    images = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    batch = {keys("data"): images, keys("labels"): labels([3, 4])}
    (tmp_path / "test_batch").write_bytes(pickle.dumps(batch, protocol=protocol))
    found, numbers = read_cifar(tmp_path, train=False)
    assert np.array_equal(found.reshape(2, 3072), images)
    assert numbers == [3, 4]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (collections.OrderedDict(data=1), "asks for collections.OrderedDict"),
        ([1, 2], "holds no images"),
        ({"data": np.zeros((2, 3072)), "labels": [1, 2]}, "holds no images"),
        ({"data": np.zeros((2, 30), np.uint8), "labels": [1, 2]}, "has 30 bytes for an image"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1]}, "as long as its 2 images"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1, "b"]}, "no whole numbers"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [1, 10]}, "labels from 1 to 10"),
    ],
)
def test_what_is_no_batch_of_cifar_is_an_error(tmp_path: Path, batch: Any, message: str) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        (folder / name).write_bytes(pickle.dumps(batch))
    with pytest.raises(DataError, match=message):
        load_dataset(raw("cifar10", tmp_path, check=False), Streams(1))
