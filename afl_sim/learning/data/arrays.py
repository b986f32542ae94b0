"""Arrays in the cache folder as memory maps: many processes share one copy.

A stored set is a folder with one ``.npy`` file per array, and ``sums.json`` with their digests. It
is built under a temporary name and then renamed. The first process of a run that opens it checks
the digests. All processes that map the files share the pages that they read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Arrays = dict[str, npt.NDArray[Any]]
_SUMS = "sums.json"
_STORING = ".storing-"
_BLOCK = 1 << 20  # bytes
_ABANDONED = 3600.0  # seconds; an older temporary folder was left by a killed process


def content_key(arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """A digest of the names, types, shapes and contents of arrays, 16 hex digits."""
    hasher = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        hasher.update(f"{name} {array.dtype} {array.shape};".encode())
        hasher.update(np.ascontiguousarray(array).data)
    return hasher.hexdigest()[:16]


def store_arrays(folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a set of arrays, unless it is there already.

    Raises:
        OSError: the folder cannot be written.
    """
    if (folder / _SUMS).is_file():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_over(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=_STORING, dir=folder.parent))
    try:
        sums = {}
        for name, array in arrays.items():
            path = temporary / f"{name}.npy"
            np.save(path, array)
            sums[name] = _digest(path)
        (temporary / _SUMS).write_text(json.dumps(sums), encoding="utf-8")
        os.chmod(temporary, 0o755)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not (folder / _SUMS).is_file():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_left_over(parent: Path) -> None:
    """Remove the temporary folders of processes that were killed while they stored a set."""
    for left in parent.glob(f"{_STORING}*"):
        with suppress(OSError):
            if time.time() - left.lstat().st_mtime > _ABANDONED:
                shutil.rmtree(left)


def open_arrays(folder: Path, *, check: bool = True) -> Arrays | None:
    """Map a stored set; None if there is none. A damaged set that ``check`` finds is removed."""
    try:
        sums = json.loads((folder / _SUMS).read_text(encoding="utf-8"))
        paths = {name: folder / f"{name}.npy" for name in sums}
        if check and any(_digest(path) != sums[name] for name, path in paths.items()):
            raise ValueError("a digest differs")
        # Copy-on-write: torch asks for writable memory, although nobody writes to it.
        return {name: np.load(path, mmap_mode="c") for name, path in paths.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError):
        shutil.rmtree(folder, ignore_errors=True)
        return None


def holds(folder: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether a stored set is equal to these arrays. It is read in blocks, and not mapped."""
    return all(_is_stored(folder / f"{name}.npy", array) for name, array in arrays.items())


def _is_stored(path: Path, array: npt.NDArray[Any]) -> bool:
    try:
        mapped = np.load(path, mmap_mode="r")
        if mapped.shape != array.shape or mapped.dtype != array.dtype:
            return False
        if not array.flags.c_contiguous or not mapped.flags.c_contiguous:
            return np.array_equal(mapped, array)
        flat: Any = array.reshape(-1).view(np.uint8)
        expected = memoryview(flat)
        with open(path, "rb") as file:
            file.seek(path.stat().st_size - array.nbytes)
            return all(
                file.read(_BLOCK) == expected[first : first + _BLOCK]
                for first in range(0, array.nbytes, _BLOCK)
            )
    except (OSError, ValueError):
        return False


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
