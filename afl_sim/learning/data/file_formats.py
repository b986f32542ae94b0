"""The file formats of data sets: IDX for the MNIST family, batches for CIFAR.

Files are checked before they are used, and nothing in them is executed.
"""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_UNSIGNED_BYTE, _INT32 = 8, 12
_CIFAR_ROW = 3 * 32 * 32
# What a pickled NumPy array or number imports; NumPy sometimes renames these modules.
_MAKERS: tuple[Any, ...] = (
    np.empty(0).__reduce_ex__(2)[0],
    np.empty(0).__reduce_ex__(5)[0],
    np.int64(0).__reduce__()[0],
)
_NUMPY = {make.__name__: make for make in _MAKERS}


def read_idx(path: Path, rank: int) -> Bytes:
    """The array in an IDX file of unsigned bytes.

    The file begins with two zero bytes, the type, the rank and, as big-endian numbers of four
    bytes, the sizes; the entries follow.

    Args:
        path: the file.
        rank: how many dimensions are expected.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such file, or not as long as its sizes say.
    """
    return _read_idx(path, rank, _UNSIGNED_BYTE, np.dtype(np.uint8))


def read_idx_whole(path: Path, rank: int) -> npt.NDArray[np.int64]:
    """The array in an IDX file of whole numbers of four bytes; see `read_idx`."""
    return _read_idx(path, rank, _INT32, np.dtype(">i4")).astype(np.int64)


def _read_idx(path: Path, rank: int, code: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    with open(path, "rb") as file:
        header = file.read(4 * (1 + rank))
        magic = bytes([0, 0, code, rank])
        if header[:4] != magic or len(header) < 4 * (1 + rank):
            raise ValueError(
                f"{path.name} begins with {header[:4].hex(' ') or 'nothing'}; expected an IDX file "
                f"of {rank} dimension{'s' * (rank > 1)}, which begins with {magic.hex(' ')}"
            )
        shape = tuple(int.from_bytes(header[i : i + 4], "big") for i in range(4, len(header), 4))
        found = path.stat().st_size - len(header)
        expected = math.prod(shape) * kind.itemsize
        if found != expected:
            raise ValueError(f"{path.name} holds {found} bytes of data; its header says {expected}")
        return np.fromfile(file, dtype=kind).reshape(shape)


def read_cifar(folder: Path, *, train: bool) -> tuple[Bytes, list[int]]:
    """Images (N, 3, 32, 32) and labels from CIFAR-10's Python batches of any length.

    Raises:
        OSError: a batch cannot be read.
        ValueError: a file is no such batch.
    """
    names = [f"data_batch_{number}" for number in range(1, 6)] if train else ["test_batch"]
    images, labels = np.empty((0, _CIFAR_ROW), np.uint8), []
    for name in names:
        batch_images, batch_labels = _cifar_batch(folder / name)
        labels += batch_labels
        images.resize((len(labels), _CIFAR_ROW), refcheck=False)  # nothing is copied for it
        images[-len(batch_images) :] = batch_images
    return images.reshape(-1, 3, 32, 32), labels


def read_cifar100(path: Path) -> tuple[Bytes, list[int]]:
    """Images (N, 3, 32, 32) and fine labels from a Python batch of CIFAR-100.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no such batch.
    """
    images, labels = _cifar_batch(path, "fine_labels")
    return images.reshape(-1, 3, 32, 32), labels


def _cifar_batch(path: Path, key: str = "labels") -> tuple[Bytes, list[int]]:
    with open(path, "rb") as file:
        try:
            batch = _PlainUnpickler(file, encoding="latin1").load()
        except Exception as error:  # with a file that is not a pickle it may raise any exception
            raise ValueError(f"{path.name} is no batch of CIFAR: {error}") from error
    found = {}
    if isinstance(batch, dict):
        found = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    images, labels = found.get("data"), found.get(key)
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 2:
        raise ValueError(f"{path.name} holds no images; expected a matrix of bytes named data")
    if images.shape[1] != _CIFAR_ROW:
        raise ValueError(
            f"{path.name} has {images.shape[1]} bytes for an image; expected {_CIFAR_ROW}"
        )
    labels = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if not isinstance(labels, list) or len(labels) != len(images):
        raise ValueError(f"{path.name} has no list of labels as long as its {len(images)} images")
    if not all(isinstance(label, int | np.integer) for label in labels):
        raise ValueError(f"{path.name} has labels that are no whole numbers")
    return images, [int(label) for label in labels]


class _PlainUnpickler(pickle.Unpickler):
    """Reads the types that a batch consists of, and refuses to import anything else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}:
            return super().find_class(module, name)
        if module.startswith(("numpy.core.", "numpy._core.")) and name in _NUMPY:
            return _NUMPY[name]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
