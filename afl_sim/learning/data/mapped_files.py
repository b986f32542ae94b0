"""Arrays that are mapped from a user's own files, so that other processes can map them too."""

from __future__ import annotations

import json
import mmap
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.errors import DataError


@dataclass(frozen=True)
class MappedFile:
    """Where a mapped array lies.

    Attributes:
        path: of the file.
        offset: of the array in the file, in bytes.
        dtype: of its numbers.
        shape: of the array, in C order.
        changed: when the file was last changed, in nanoseconds.
    """

    path: str
    offset: int
    dtype: str
    shape: tuple[int, ...]
    changed: int

    def encoded(self) -> npt.NDArray[np.uint8]:
        """The same as bytes, to be stored beside arrays."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), dtype=np.uint8)

    @staticmethod
    def decoded(stored: npt.NDArray[np.uint8]) -> MappedFile:
        """The inverse of `encoded`."""
        found = json.loads(bytes(stored))
        return MappedFile(**{**found, "shape": tuple(found["shape"])})

    def open(self) -> npt.NDArray[Any]:
        """The array, mapped to memory.

        Raises:
            DataError: the file is gone or has changed.
        """
        try:
            if os.stat(self.path).st_mtime_ns != self.changed:
                raise DataError(f"{self.path} has changed since the run began")
            return np.memmap(self.path, np.dtype(self.dtype), "c", self.offset, self.shape)
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror}") from error


def mapped_file(array: npt.NDArray[Any]) -> MappedFile | None:
    """Where an array lies, if it is mapped from a file whole and in C order; else None."""
    found: Any = array
    if not isinstance(array, np.memmap) or not isinstance(found.base, mmap.mmap):
        return None
    if found.filename is None or not array.flags.c_contiguous:
        return None
    changed = Path(found.filename).stat().st_mtime_ns
    return MappedFile(str(found.filename), found.offset, array.dtype.str, array.shape, changed)
