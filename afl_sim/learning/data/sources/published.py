"""The file formats of published data sets that are not in MNIST's or CIFAR-10's.

They lie where torchvision puts them. Files are checked before they are used, and nothing in them is
executed.
"""

from __future__ import annotations

import bz2
import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.file_formats import read_cifar100, read_idx, read_idx_whole
from afl_sim.learning.data.sources.images import ImageFiles, decode_images
from afl_sim.learning.data.sources.source import Array, SourcePart

_ATTRIBUTES = 40  # of a face
_STL_BYTES = 3 * 96 * 96
_USPS_PIXELS = 16 * 16


@dataclass(frozen=True)
class Published:
    """How a published data set is read.

    Attributes:
        reader: torchvision's class, which downloads it.
        read: takes the root and whether the training set is wanted, and gives its samples; owners
            are whatever numbers the files have.
        files: takes whether the training set is wanted, and gives its files below the root; a
            folder stands for all that is in it.
        sums: published MD5 sums of files, by name.
        parts: what torchvision's class takes to mean the training set and the test set.
    """

    reader: str
    read: Callable[[Path, bool], SourcePart]
    files: Callable[[bool], tuple[str, ...]]
    sums: Callable[[Any], dict[str, str]] = lambda cls: {}
    parts: tuple[dict[str, Any], dict[str, Any]] = ({"train": True}, {"train": False})


def _cifar100(root: Path, train: bool) -> SourcePart:
    images, labels = read_cifar100(root / "cifar-100-python" / ("train" if train else "test"))
    return SourcePart(images, np.array(labels, dtype=np.int64))


def _svhn(root: Path, train: bool) -> SourcePart:
    from scipy.io import loadmat

    path = root / f"{'train' if train else 'test'}_32x32.mat"
    content = loadmat(path, variable_names=["X", "y"])
    images, labels = content.get("X"), content.get("y")
    if images is None or labels is None or images.dtype != np.uint8 or images.ndim != 4:
        raise ValueError(f"{path.name} has no X of bytes with four dimensions, or no y")
    digits = labels.astype(np.int64).reshape(-1)
    # The digit 0 is written as 10.
    return SourcePart(np.ascontiguousarray(images.transpose(3, 2, 0, 1)), digits % 10)


def _qmnist(root: Path, train: bool) -> SourcePart:
    start = root / "QMNIST" / "raw" / f"qmnist-{'train' if train else 'test'}"
    images = read_idx(Path(f"{start}-images-idx3-ubyte"), 3)[:, None]
    about = read_idx_whole(Path(f"{start}-labels-idx2-int"), 2)
    if about.shape[1] != 8:
        raise ValueError(f"{start.name}-labels-idx2-int has {about.shape[1]} columns; expected 8")
    return SourcePart(images, about[:, 0], about[:, 2])  # class; writer


def _usps(root: Path, train: bool) -> SourcePart:
    path = root / ("usps.bz2" if train else "usps.t.bz2")
    images, labels = [], []
    with bz2.open(path, "rt", encoding="ascii") as file:
        for number, line in enumerate(file, 1):
            label, *pixels = line.split()
            values = [float(pixel.rpartition(":")[2]) for pixel in pixels]
            if len(values) != _USPS_PIXELS or not all(-1 <= value <= 1 for value in values):
                raise ValueError(f"{path.name}:{number} has no 256 pixels from -1 to 1")
            images.append(values)
            labels.append(int(label) - 1)
    # As torchvision does: -1 to 1 becomes 0 to 255, rounded towards 0.
    grey = ((np.array(images, dtype=np.float32) + 1) / 2 * 255).astype(np.uint8)
    return SourcePart(grey.reshape(-1, 1, 16, 16), np.array(labels, dtype=np.int64))


def _stl10(root: Path, train: bool) -> SourcePart:
    start = root / "stl10_binary" / ("train" if train else "test")
    pixels = np.fromfile(f"{start}_X.bin", dtype=np.uint8)
    if len(pixels) % _STL_BYTES:
        raise ValueError(f"{start.name}_X.bin has {len(pixels)} bytes; an image has {_STL_BYTES}")
    labels = np.fromfile(f"{start}_y.bin", dtype=np.uint8).astype(np.int64) - 1
    columns_first = pixels.reshape(-1, 3, 96, 96)
    return SourcePart(np.ascontiguousarray(columns_first.transpose(0, 1, 3, 2)), labels)


def _gtsrb(root: Path, train: bool) -> SourcePart:
    base = root / "gtsrb"
    if train:
        folder = base / "GTSRB" / "Training"
        found = sorted(folder.glob("*/*.ppm"))
        names = {path: path.parent.name for path in found}
        if odd := [name for name in names.values() if not name.isdigit()]:
            raise ValueError(f"{folder / odd[0]} is not named after the number of a class")
        labels = [int(names[path]) for path in found]
    else:
        folder = base / "GTSRB" / "Final_Test" / "Images"
        with open(base / "GT-final_test.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter=";", skipinitialspace=True))
        found = [folder / row["Filename"] for row in rows]
        labels = [int(row["ClassId"]) for row in rows]
    if not found:
        raise FileNotFoundError(f"{folder} has no .ppm files")
    return SourcePart(_decoded(found, (32, 32)), np.array(labels, dtype=np.int64))


def _celeba(root: Path, train: bool) -> SourcePart:
    base = root / "celeba"
    part = _table(base / "list_eval_partition.txt", 1, skipped=0)
    owners = _table(base / "identity_CelebA.txt", 1, skipped=0)
    about = _table(base / "list_attr_celeba.txt", _ATTRIBUTES, skipped=2)
    names = [name for name, (place,) in part.items() if place == (0 if train else 2)]
    for table, file in ((owners, "identity_CelebA.txt"), (about, "list_attr_celeba.txt")):
        if missing := [name for name in names if name not in table]:
            raise ValueError(f"{file} has no line for {missing[0]}")
    attributes = np.array([about[name] for name in names]).reshape(-1, _ATTRIBUTES)
    return SourcePart(
        _decoded([base / "img_align_celeba" / name for name in names], (84, 84)),
        (attributes == 1).astype(np.float32),
        np.array([owners[name][0] for name in names], dtype=np.int64),
    )


def _table(path: Path, columns: int, skipped: int) -> dict[str, list[int]]:
    """Whole numbers by the name of an image file."""
    found = {}
    lines = path.read_text("ascii").splitlines()
    for number, line in enumerate(lines[skipped:], skipped + 1):
        name, *values = line.split()
        if len(values) != columns:
            raise ValueError(f"{path.name}:{number} has {len(values)} values; expected {columns}")
        found[name] = [int(value) for value in values]
    return found


def _decoded(paths: list[Path], size: tuple[int, int]) -> Array:
    def blame(row: int, problem: str) -> DataError:
        return DataError(f"{paths[row]}: {problem}")

    return decode_images(ImageFiles(paths, "root"), blame, size, channels=3)


def _of_lists(cls: Any) -> dict[str, str]:
    return dict([*cls.train_list, *cls.test_list])


def _of_splits(cls: Any) -> dict[str, str]:
    return {name: md5 for _, name, md5 in cls.split_list.values()}


PUBLISHED: dict[str, Published] = {
    "cifar100": Published(
        "CIFAR100",
        _cifar100,
        lambda train: (f"cifar-100-python/{'train' if train else 'test'}",),
        _of_lists,
    ),
    "svhn": Published(
        "SVHN",
        _svhn,
        lambda train: (f"{'train' if train else 'test'}_32x32.mat",),
        _of_splits,
        ({"split": "train"}, {"split": "test"}),
    ),
    "qmnist": Published(
        "QMNIST",
        _qmnist,
        lambda train: tuple(
            f"QMNIST/raw/qmnist-{'train' if train else 'test'}-{kind}"
            for kind in ("images-idx3-ubyte", "labels-idx2-int")
        ),
    ),
    "usps": Published(
        "USPS", _usps, lambda train: ("usps.bz2" if train else "usps.t.bz2",), _of_splits
    ),
    "stl10": Published(
        "STL10",
        _stl10,
        lambda train: tuple(
            f"stl10_binary/{'train' if train else 'test'}_{kind}.bin" for kind in "Xy"
        ),
        _of_lists,
        ({"split": "train"}, {"split": "test"}),
    ),
    "gtsrb": Published(
        "GTSRB",
        _gtsrb,
        lambda train: (
            ("gtsrb/GTSRB/Training",)
            if train
            else ("gtsrb/GT-final_test.csv", "gtsrb/GTSRB/Final_Test/Images")
        ),
        parts=({"split": "train"}, {"split": "test"}),
    ),
    "celeba": Published(
        "CelebA",
        _celeba,
        lambda train: (
            "celeba/list_eval_partition.txt",
            "celeba/identity_CelebA.txt",
            "celeba/list_attr_celeba.txt",
            "celeba/img_align_celeba",
        ),
        lambda cls: {name: md5 for _, md5, name in cls.file_list if name.endswith(".txt")},
        ({"split": "train"}, {"split": "test"}),
    ),
}
"""The published data sets that are read here, by name."""
