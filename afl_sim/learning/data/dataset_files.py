"""The files of a data set: 8-bit images and labels, read and checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.errors import DataError
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.data.arrays import Arrays
from afl_sim.learning.data.file_formats import read_cifar, read_idx
from afl_sim.learning.data.mnist_cache import cache_folder, locked, unpack_mnist
from afl_sim.scenario.sections.data import DataSpec

Ints = npt.NDArray[np.int64]

_COMPARED = 64  # number of images of each set that are compared with their files
_READERS = {
    "mnist": "MNIST",
    "fashion_mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "cifar10": "CIFAR10",
}
"""Torchvision's class for each data set; most folders of data sets are named after it."""


def read_images(spec: DataSpec, cache: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    """Images as uint8 (samples, C, H, W), and labels."""
    folder = _folder(spec, cache)
    found, targets = _read(spec, folder, train=train, images=True)
    images = torch.from_numpy(found)
    labels = torch.from_numpy(_checked_labels(spec, folder, targets))
    if len(images) != len(labels):
        raise _unreadable(spec, folder, f"{len(images)} images with {len(labels)} labels")
    if (shape := tuple(images.shape[1:])) != spec.info.input_shape:
        raise _unreadable(spec, folder, f"images of {shape}, expected {spec.info.input_shape}")
    return images, labels


def read_labels(spec: DataSpec, cache: Path, *, train: bool) -> Ints:
    """Labels alone: int64, shape (samples,)."""
    folder = _folder(spec, cache)
    _, targets = _read(spec, folder, train=train, images=False)
    return _checked_labels(spec, folder, targets)


def made_from(arrays: Arrays, spec: DataSpec, cache: Path) -> bool:
    """Whether stored arrays were made from these files; some of the images are compared.

    The digests beside the arrays do not show this: anybody could have stored other arrays.
    """
    folder = _folder(spec, cache)
    (train, labels), (test, test_labels) = (
        tuple(map(torch.from_numpy, _read_once(spec, folder, train=part, images=True)))
        for part in (True, False)
    )
    if spec.pool == "train_and_test":
        train, labels = torch.cat([train, test]), torch.cat([labels, test_labels])
    expected = {"inputs": train, "labels": labels, "test_inputs": test, "test_labels": test_labels}
    if arrays.keys() != expected.keys():
        return False
    for name, source in expected.items():
        stored = torch.from_numpy(arrays[name])
        if stored.shape != source.shape:
            return False
        if source.ndim == 1:
            if not torch.equal(stored, source.long()):
                return False
            continue
        rows = torch.linspace(0, len(source) - 1, _COMPARED).long()
        pair = [part[rows].flatten(1).float() for part in (source, stored)]
        if spec.normalize == "pixelwise":
            pair = [part.T for part in pair]
        if stored.dtype != torch.float32 or not _alike(*pair):
            return False
    return True


def _alike(source: Tensor, stored: Tensor) -> bool:
    """Whether each row of ``stored`` is an increasing function of ``source``, as normalizing is."""
    ordered, places = source.sort(dim=1)
    rises, steps = stored.gather(1, places).diff(dim=1), ordered.diff(dim=1)
    return torch.equal(rises.sign(), steps.sign())


def _checked_labels(spec: DataSpec, folder: Path, targets: Any) -> Ints:
    labels = np.array(targets, dtype=np.int64)
    if spec.split == "letters":  # counted from 1, the only such split
        labels = labels - 1
    if not len(labels):
        raise _unreadable(spec, folder, "it holds no samples")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= spec.info.classes:
        found = f"labels from {low} to {high}, expected 0 to {spec.info.classes - 1}"
        raise _unreadable(spec, folder, found)
    return labels


def files_read(spec: DataSpec) -> Iterator[Path]:
    """The files of the user's own copy of a data set, in a fixed order, if they are there."""
    folder = _folder(spec, Path())
    for train in (True, False):
        for name in _files(spec, train=train):
            if (folder / name).is_file():
                yield folder / name


def _files(spec: DataSpec, *, train: bool) -> list[str]:
    if spec.dataset == "cifar10":
        batches = [f"data_batch_{n}" for n in range(1, 6)] if train else ["test_batch"]
        return [f"cifar-10-batches-py/{batch}" for batch in batches]
    return list(_idx_files(spec, train=train))


def cache_for(spec: DataSpec, cache: Path | None) -> Path:
    """The cache folder; none is needed if the user has a copy of the data set."""
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


def _read(spec: DataSpec, folder: Path, *, train: bool, images: bool) -> tuple[Any, Any]:
    """Images as (samples, C, H, W), if they are asked for, and labels as they are in the files.

    Missing files are downloaded if the scenario says so.
    """
    try:
        return _read_once(spec, folder, train=train, images=images)
    except Exception as error:  # with a damaged file torchvision may raise any exception
        if not spec.download:
            raise _unreadable(spec, folder, error) from error
    try:
        with locked(folder):
            _torchvisions(spec, folder, train=train, download=True)
        return _read_once(spec, folder, train=train, images=images)
    except Exception as error:
        raise _unreadable(spec, folder, error) from error


def _read_once(spec: DataSpec, folder: Path, *, train: bool, images: bool) -> tuple[Any, Any]:
    if spec.dataset == "cifar10":
        if spec.check:
            _check_cifar(folder)
        # Torchvision's own reader holds the images three times while it reads them.
        return read_cifar(folder / _first_file(spec).parent, train=train)
    pictures, labels = (folder / name for name in _idx_files(spec, train=train))
    for path in (pictures, labels):
        if not path.exists():
            raise FileNotFoundError(f"{path.name} was not found{_instead(path)}")
    # Torchvision's own readers prefer the files of its old versions in a folder `processed`, even
    # if they hold something else.
    found = read_idx(pictures, 3)[:, None] if images else None
    if found is not None and spec.dataset == "emnist":  # rows and columns are swapped there
        found = np.ascontiguousarray(found.swapaxes(2, 3))
    return found, read_idx(labels, 1)


def _check_cifar(folder: Path) -> None:
    """Compare the MD5 sums of CIFAR-10's files with the published ones, which torchvision knows.

    Raises:
        ValueError: a file is missing or has another sum.
    """
    from torchvision.datasets import CIFAR10
    from torchvision.datasets.utils import check_integrity

    for name, md5 in (*CIFAR10.train_list, *CIFAR10.test_list):
        if not check_integrity(folder / CIFAR10.base_folder / name, md5):
            raise ValueError(f"{name} is missing or corrupted")


def _idx_files(spec: DataSpec, *, train: bool) -> tuple[str, str]:
    """Images and labels, relative to the root."""
    if spec.dataset == "emnist":
        part = f"emnist-{spec.split or 'balanced'}-{'train' if train else 'test'}"
    else:
        part = "train" if train else "t10k"
    start = f"{_READERS[spec.title]}/raw/{part}"
    return f"{start}-images-idx3-ubyte", f"{start}-labels-idx1-ubyte"


def _instead(path: Path) -> str:
    """What lies in place of a missing file, in words."""
    if path.with_name(f"{path.name}.gz").exists():
        return f", only {path.name}.gz, which has to be unpacked"
    processed = path.parent.parent / "processed"
    if processed.is_dir():
        return f"; {processed}, of an old version of torchvision, is not read"
    return ""


def _torchvisions(spec: DataSpec, folder: Path, *, train: bool, download: bool = False) -> Any:
    """Torchvision's reader; with ``download`` it downloads missing files."""
    options: dict[str, Any] = {"root": folder, "train": train, "download": download}
    if spec.dataset == "emnist":
        options["split"] = spec.split or "balanced"
    import torchvision.datasets

    return getattr(torchvision.datasets, _READERS[spec.title])(**options)


def _unreadable(spec: DataSpec, folder: Path, why: object) -> DataError:
    reason = " ".join(str(why).split()) or type(why).__name__
    tried = " or download it" if spec.download else ""
    other = "" if spec.download else ", or data.download: true"
    if spec.dataset == "cifar10" and spec.check and (folder / _first_file(spec)).exists():
        other = (
            ". Only files whose MD5 sums are the published ones are taken; data.check: false "
            "reads others in the same format, such as a part of the data set"
        )
    return DataError(
        f"cannot read {spec.info.title} from {folder}{tried}: {reason}; expected "
        f"{folder / _first_file(spec)} and the files beside it{other}"
    )


def _first_file(spec: DataSpec) -> Path:
    if spec.dataset == "cifar10":
        return Path("cifar-10-batches-py/data_batch_1")
    return Path(_idx_files(spec, train=True)[0])
