"""Published data sets by name, in tiny files of their real formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from data_files import raw, write_idx
from published_files import WRITERS, pixels

from afl_sim.errors import DataError
from afl_sim.learning.data.content import data_digest
from afl_sim.learning.data.datasets import load_annotations, load_dataset
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.data.sources.published import PUBLISHED
from afl_sim.scenario.sections.datasets import WITH_SUMS
from afl_sim.streams import Streams


def made(name: str, root: Path, **more: Any) -> Any:
    if not any(root.iterdir()):
        WRITERS[name](root)
    unchecked = {"check": False} if name in WITH_SUMS else {}
    return load_dataset(raw(name, root, **(unchecked | more)), Streams(1))


@pytest.mark.parametrize(
    ("name", "shape", "labels"),
    [
        ("cifar100", (3, 32, 32), [99, 98, 97, 96, 95, 94]),
        ("svhn", (3, 32, 32), [0, 1, 2, 9, 0, 3]),
        ("qmnist", (1, 28, 28), [0, 1, 2, 3, 4, 5]),
        ("usps", (1, 16, 16), [0, 1, 2, 3, 4, 5]),
        ("stl10", (3, 96, 96), [0, 1, 2, 3, 4, 5]),
        ("gtsrb", (3, 32, 32), [40, 40, 41, 41, 42, 42]),
    ],
)
def test_images_and_labels_are_those_of_the_files(
    name: str, shape: tuple[int, ...], labels: list[int], tmp_path: Path
) -> None:
    data = made(name, tmp_path)
    assert data.form.input_shape == shape
    assert data.labels.tolist() == labels
    assert data.test_inputs.shape == (4, *shape)
    if name not in ("usps", "gtsrb"):
        flat = pixels(6, 3072).reshape(6, *shape) if name == "cifar100" else pixels(6, *shape)
        assert torch.equal(data.inputs, torch.from_numpy(flat).float())


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("usps", {"train": True}),
        ("qmnist", {"train": True}),
        ("gtsrb", {"split": "test"}),
    ],
)
def test_torchvision_reads_the_same_from_these_files(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    # Its readers of the other sets compare sums of the files, which tiny files cannot have.
    data = made(name, tmp_path)
    theirs = getattr(torchvision.datasets, PUBLISHED[name].reader)(tmp_path, **options)
    train = options.get("train", False)
    ours, labels = (data.inputs, data.labels) if train else (data.test_inputs, data.test_labels)
    assert len(theirs) == len(labels)
    for i in range(len(labels)):
        image, label = theirs[i]
        array = np.atleast_3d(np.array(image)).transpose(2, 0, 1)
        assert np.array_equal(ours[i].numpy(), array)
        assert int(labels[i]) == label


def test_the_writers_of_qmnist_are_its_clients(tmp_path: Path) -> None:
    data = made("qmnist", tmp_path)
    assert data.owner_names == ("7", "300", "2424", "1007", "3424")
    assert data.owners.tolist() == [2, 0, 2, 0, 0, 1]
    both = load_annotations(raw("qmnist", tmp_path, pool="train_and_test"), Streams(1))
    assert both.owners is not None
    assert both.owners.tolist() == [2, 0, 2, 0, 0, 1, 4, 3, 4, 3]


def test_celeba_has_forty_attributes_and_people_as_clients(tmp_path: Path) -> None:
    data = made("celeba", tmp_path)
    assert data.form == SampleForm((3, 84, 84), 40, "several")
    signs = np.random.default_rng(1).choice([-1, 1], (11, 40))
    assert np.array_equal(data.labels.numpy(), signs[:6] > 0)
    assert np.array_equal(data.test_labels.numpy(), signs[7:] > 0)  # the seventh is for validation
    assert data.owner_names == ("4998", "4999", "5000")
    assert data.owners.tolist() == [2, 1, 0, 2, 1, 0]


def test_emnist_is_turned_as_mnist_is(tmp_path: Path) -> None:
    seven = np.zeros((28, 28), dtype=np.uint8)
    seven[4, 6:20] = 255  # the bar at the top
    seven[4:24, 19] = 255
    for part in ("train", "test"):
        start = f"EMNIST/raw/emnist-digits-{part}"
        write_idx(tmp_path / f"{start}-images-idx3-ubyte", seven.T[None])  # as EMNIST stores it
        write_idx(tmp_path / f"{start}-labels-idx1-ubyte", np.array([7]))
    data = load_dataset(raw("emnist", tmp_path, split="digits"), Streams(1))
    assert np.array_equal(data.inputs[0, 0].numpy(), seven)
    assert np.array_equal(data.test_inputs[0, 0].numpy(), seven)


@pytest.mark.parametrize("name", sorted(set(WITH_SUMS) - {"cifar10"}))
def test_files_without_the_published_sums_need_check_false(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has the MD5 sum .*data.check: false reads"):
        made(name, tmp_path, check=True)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_missing_and_damaged_files_are_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root.*data\.download: true"):
        load_dataset(raw(name, None), Streams(1), tmp_path / "cache")
    with pytest.raises(DataError, match=r"was not found; expected .*data\.download: true"):
        load_dataset(raw(name, tmp_path), Streams(1))
    WRITERS[name](tmp_path)
    digest = data_digest(raw(name, tmp_path))
    first = next(
        path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path.suffix != ".csv"
    )
    first.write_bytes(first.read_bytes()[:-9])
    with pytest.raises(DataError, match="cannot read ") as error:
        made(name, tmp_path)
    assert "\n" not in str(error.value)
    assert data_digest(raw(name, tmp_path)) != digest


def test_labels_outside_the_classes_are_refused(tmp_path: Path) -> None:
    WRITERS["stl10"](tmp_path)
    (np.arange(6, dtype=np.uint8)).tofile(tmp_path / "stl10_binary" / "train_y.bin")
    with pytest.raises(DataError, match="labels from -1 to 4, expected 0 to 9"):
        made("stl10", tmp_path)
