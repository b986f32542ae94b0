"""The files of a data set, read by torchvision: 8-bit images and labels, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from afl_sim.errors import DataError
from afl_sim.learning.mnist_cache import cache_folder, locked, unpack_mnist
from afl_sim.scenario.data import DataSpec

_READERS = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "cifar10": "CIFAR10",
}
_LABEL_HEADER = 8  # bytes before the labels in an IDX file
_FIRST_FILE = {
    "mnist": "MNIST/raw/train-images-idx3-ubyte",
    "fashion_mnist": "FashionMNIST/raw/train-images-idx3-ubyte",
    "kmnist": "KMNIST/raw/train-images-idx3-ubyte",
    "emnist": "EMNIST/raw/emnist-{split}-train-images-idx3-ubyte",
    "cifar10": "cifar-10-batches-py/data_batch_1",
}


def read_images(spec: DataSpec, cache: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """Images as uint8 (samples, C, H, W), and labels."""
    folder = _folder(spec, cache)
    reader = _open(spec, folder, train=train)
    images = torch.as_tensor(reader.data)
    # The MNIST family comes as (N, H, W), CIFAR as (N, H, W, C).
    images = images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()
    labels = _checked_labels(spec, folder, reader.targets)
    if len(images) != len(labels):
        raise _unreadable(spec, folder, f"{len(images)} images with {len(labels)} labels")
    if (shape := tuple(images.shape[1:])) != spec.info.input_shape:
        raise _unreadable(spec, folder, f"images of {shape}, expected {spec.info.input_shape}")
    return images, labels


def read_labels(spec: DataSpec, cache: Path, *, train: bool) -> Tensor:
    """Labels alone: int64, shape (samples,)."""
    folder = _folder(spec, cache)
    if spec.dataset != "mnist" or spec.root is not None:
        return _checked_labels(spec, folder, _open(spec, folder, train=train).targets)
    name = f"{'train' if train else 't10k'}-labels-idx1-ubyte"
    # The file's contents are known by their checksum; torchvision takes longer to import than this
    # takes to read.
    content = np.fromfile(folder / "MNIST" / "raw" / name, dtype=np.uint8, offset=_LABEL_HEADER)
    return _checked_labels(spec, folder, content)


def _checked_labels(spec: DataSpec, folder: Path, targets: Any) -> Tensor:
    labels = torch.as_tensor(targets, dtype=torch.int64)
    if spec.split == "letters":  # counted from 1, the only such split
        labels = labels - 1
    if not len(labels):
        raise _unreadable(spec, folder, "it holds no samples")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= spec.info.classes:
        found = f"labels from {low} to {high}, expected 0 to {spec.info.classes - 1}"
        raise _unreadable(spec, folder, found)
    return labels


def cache_for(spec: DataSpec, cache: Path | None) -> Path:
    """The cache folder; where the user has a copy of their own, none is needed or asked for."""
    return cache or (cache_folder() if spec.root is None else Path())


def _folder(spec: DataSpec, cache: Path) -> Path:
    """The ``root`` to hand to torchvision's reader."""
    if spec.root is not None:
        return Path(spec.root).expanduser()
    if spec.dataset == "mnist":
        return unpack_mnist(cache)
    if spec.download:
        return cache
    raise DataError(
        f"{spec.info.title} does not come with the package: set data.root to a folder that holds "
        f"{_first_file(spec)}, or data.download: true to download it into {cache}"
    )


def _open(spec: DataSpec, folder: Path, *, train: bool) -> Any:
    """Torchvision's reader, its files read; it downloads only if the scenario says so."""
    options: dict[str, Any] = {"root": folder, "train": train}
    if spec.dataset == "emnist":
        options["split"] = spec.split or "balanced"
    import torchvision.datasets

    reader = getattr(torchvision.datasets, _READERS[spec.dataset])
    try:
        return reader(**options)
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        if not spec.download:
            raise _unreadable(spec, folder, error) from error
    try:
        with locked(folder):
            return reader(**options, download=True)
    except Exception as error:
        raise _unreadable(spec, folder, error) from error


def _unreadable(spec: DataSpec, folder: Path, why: object) -> DataError:
    reason = " ".join(str(why).split()) or type(why).__name__
    tried = " or download it" if spec.download else ""
    other = "" if spec.download else ", or data.download: true"
    return DataError(
        f"cannot read {spec.info.title} from {folder}{tried}: {reason}; expected "
        f"{folder / _first_file(spec)} and the files beside it{other}"
    )


def _first_file(spec: DataSpec) -> str:
    return _FIRST_FILE[spec.dataset].format(split=spec.split or "balanced")
