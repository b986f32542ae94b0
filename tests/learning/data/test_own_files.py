"""Data sets from files of the user's own, in their real formats."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from data_files import lengthen, raw, truncate, write_idx, write_mnist_like

from afl_sim.errors import DataError
from afl_sim.learning.data import dataset_files
from afl_sim.learning.data.dataset_files import read_images, read_labels
from afl_sim.learning.data.datasets import load_annotations, load_dataset
from afl_sim.scenario.sections.data import DATASETS, DataSpec
from afl_sim.streams import Streams


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist", "kmnist"])
def test_a_users_own_copy_is_read_from_root(tmp_path: Path, dataset: str) -> None:
    pictures = write_mnist_like(tmp_path, dataset, 10)
    data = load_dataset(raw(dataset, tmp_path), Streams(1), tmp_path / "unused")
    assert np.array_equal(data.inputs[:, 0].numpy(), pictures)
    assert data.labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert data.test_labels.tolist() == [2, 3, 4, 5, 6]
    labels = load_annotations(raw(dataset, tmp_path), Streams(1), tmp_path / "unused").labels
    assert labels.tolist() == data.labels.tolist()
    assert not (tmp_path / "unused").exists()


def test_a_users_own_copy_needs_no_cache_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_home() -> Path:
        raise DataError("there is no home folder")

    monkeypatch.setattr(dataset_files, "cache_folder", no_home)
    write_mnist_like(tmp_path, "kmnist", 10)
    assert len(load_dataset(raw("kmnist", tmp_path), Streams(1)).labels) == 12
    assert len(load_annotations(raw("kmnist", tmp_path), Streams(1))) == 12
    with pytest.raises(DataError, match="no home folder"):
        load_annotations(DataSpec(), Streams(1))


def write_legacy(root: Path, title: str) -> None:
    """What a torchvision of 2019 kept in place of the IDX files, here all of it zeros."""
    (root / title / "processed").mkdir(parents=True)
    for name in ("training.pt", "test.pt"):
        zeros = torch.zeros(12, 28, 28, dtype=torch.uint8), torch.zeros(12).long()
        torch.save(zeros, root / title / "processed" / name)


def test_files_of_an_old_torchvision_in_the_cache_replace_nothing(
    cache: Path, tmp_path: Path
) -> None:
    write_legacy(tmp_path, "MNIST")
    assert not torchvision.datasets.MNIST(tmp_path, train=True).data.any()  # it would believe them
    shutil.copytree(cache / "MNIST" / "raw", tmp_path / "MNIST" / "raw")
    for train in (True, False):
        images, labels = read_images(DataSpec(), tmp_path, train=train)
        right, targets = read_images(DataSpec(), cache, train=train)
        assert torch.equal(images, right)
        assert torch.equal(labels, targets)
        assert read_labels(DataSpec(), tmp_path, train=train).tolist() == targets.tolist()


@pytest.mark.parametrize("dataset", ["mnist", "fashion_mnist"])
def test_files_of_an_old_torchvision_in_a_root_replace_nothing(
    tmp_path: Path, dataset: str
) -> None:
    write_legacy(tmp_path, DATASETS[dataset].title)
    with pytest.raises(DataError, match=r"was not found; .*processed, of an old .* is not read"):
        load_dataset(raw(dataset, tmp_path), Streams(1))
    pictures = write_mnist_like(tmp_path, dataset, 10)
    data = load_dataset(raw(dataset, tmp_path), Streams(1))
    assert np.array_equal(data.inputs[:, 0].numpy(), pictures)
    annotations = load_annotations(raw(dataset, tmp_path), Streams(1))
    assert annotations.labels.tolist() == data.labels.tolist()


def test_packed_files_are_named_where_unpacked_ones_are_missing(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    path = tmp_path / "KMNIST" / "raw" / "t10k-images-idx3-ubyte"
    path.rename(path.with_name(f"{path.name}.gz"))
    with pytest.raises(DataError, match=r"only t10k-images-idx3-ubyte\.gz, which has to be unp"):
        load_dataset(raw("kmnist", tmp_path), Streams(1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing; expected an IDX file of 1 dimension"),
        (b"\0\0\x09\x01\0\0\0\x0c" + bytes(12), "begins with 00 00 09 01"),
        (b"\0\0\x08\x03\0\0\0\x0c" + bytes(12), "begins with 00 00 08 03; .* 00 00 08 01"),
        (b"\0\0\x08\x01\0\0", "begins with 00 00 08 01"),
        (b"\0\0\x08\x01\0\0\0\x0c" + bytes(11), "holds 11 bytes of data; its header says 12"),
        (
            b"\0\0\x08\x01\xff\xff\xff\xff" + bytes(12),
            "holds 12 bytes of data; its header says 4294967295",
        ),
    ],
)
def test_what_is_wrong_with_an_idx_file_is_said(
    tmp_path: Path, content: bytes, message: str
) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    (tmp_path / "KMNIST" / "raw" / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(DataError, match=f"train-labels-idx1-ubyte {message}"):
        load_annotations(raw("kmnist", tmp_path), Streams(1))


def test_emnist_letters_count_from_zero(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "emnist", 26, first_label=1)
    data = load_dataset(raw("emnist", tmp_path, split="letters"), Streams(1))
    assert data.labels.tolist() == list(range(12))
    assert data.form.outputs == 26
    with pytest.raises(DataError, match="emnist-balanced-train-images"):
        load_dataset(raw("emnist", tmp_path), Streams(1))


@pytest.mark.parametrize("dataset", ["fashion_mnist", "kmnist", "emnist", "cifar10"])
@pytest.mark.parametrize("load", [load_dataset, load_annotations])
def test_without_root_or_download_the_error_says_both_ways(
    tmp_path: Path, dataset: str, load: Callable[..., Any]
) -> None:
    with pytest.raises(DataError, match=r"data\.root.*data\.download: true"):
        load(raw(dataset, None), Streams(1), tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_an_empty_root_is_an_error_that_says_which_file_was_looked_for(tmp_path: Path) -> None:
    expected = tmp_path / "KMNIST" / "raw" / "train-images-idx3-ubyte"
    with pytest.raises(DataError, match=f"not found.*{expected}.*data.download: true"):
        load_dataset(raw("kmnist", tmp_path), Streams(1))


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"])
@pytest.mark.parametrize("damage", [truncate, lengthen, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_of_the_users_own_is_an_error(
    tmp_path: Path, name: str, damage: Callable[[Path], Any]
) -> None:
    write_mnist_like(tmp_path, "fashion_mnist", 10)
    damage(tmp_path / "FashionMNIST" / "raw" / name)
    with pytest.raises(DataError, match="cannot read FashionMNIST"):
        load_dataset(raw("fashion_mnist", tmp_path), Streams(1))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(11), "12 images with 11 labels"),
        ("train-labels-idx1-ubyte", np.full(12, 10), "labels from 10 to 10, expected 0 to 9"),
        ("train-labels-idx1-ubyte", np.zeros(0), "FashionMNIST"),
        ("t10k-images-idx3-ubyte", np.zeros((5, 28, 27)), r"images of \(1, 28, 27\)"),
    ],
)
def test_files_that_do_not_fit_together_are_an_error(
    tmp_path: Path, name: str, content: np.ndarray, message: str
) -> None:
    write_mnist_like(tmp_path, "fashion_mnist", 10)
    write_idx(tmp_path / "FashionMNIST" / "raw" / name, content)
    with pytest.raises(DataError, match=message):
        load_dataset(raw("fashion_mnist", tmp_path), Streams(1))
