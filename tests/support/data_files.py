"""Files of data sets in their real formats, whole and damaged."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.learning.data import mnist_cache
from afl_sim.scenario.sections.data import DATASETS, DataSpec

PACKED = Path(mnist_cache.__file__).parent / "mnist"


NAMES = [
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
]


def digests(folder: Path) -> dict[str, str]:
    raw = folder / "MNIST" / "raw"
    names = [name for name in os.listdir(raw) if name != ".lock"]
    return {name: hashlib.sha256((raw / name).read_bytes()).hexdigest() for name in names}


def expected_digests(package: Path) -> dict[str, str]:
    lines = (package / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in map(str.split, lines)}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    status = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a failing disk would


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def write_idx(path: Path, array: np.ndarray) -> None:
    """The IDX format: two zero bytes, type 8 (unsigned byte), rank, big-endian sizes, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes())


def write_mnist_like(root: Path, dataset: str, classes: int, first_label: int = 0) -> np.ndarray:
    """Twelve training and five test images where torchvision looks; returns the training ones."""
    random = np.random.default_rng(8)
    folder = root / DATASETS[dataset].title / "raw"
    prefixes = ("train", "t10k")
    if dataset == "emnist":
        prefixes = ("emnist-letters-train", "emnist-letters-test")
    pictures = random.integers(0, 256, (17, 28, 28), dtype=np.uint8)
    for prefix, part in zip(prefixes, (slice(0, 12), slice(12, 17)), strict=True):
        labels = np.arange(17)[part] % classes + first_label
        write_idx(folder / f"{prefix}-images-idx3-ubyte", pictures[part])
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return pictures[:12]


def raw(dataset: str, root: Path | None, **more: Any) -> DataSpec:
    place = None if root is None else str(root)
    return DataSpec.model_validate({"dataset": dataset, "root": place, "normalize": "raw"} | more)
