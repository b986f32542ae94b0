"""A digest of the files that a block names: changed files are other data."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from afl_sim.learning.data.sources.image_folder import parts_of
from afl_sim.learning.data.sources.images import IMAGE_ENDINGS
from afl_sim.learning.data.sources.leaf_files import leaf_folders
from afl_sim.learning.data.sources.opening import files_of
from afl_sim.learning.data.sources.source import bad
from afl_sim.scenario.sections.datasets import (
    FilesDataset,
    ImageFolderDataset,
    LeafDataset,
    OwnDataset,
)
from afl_sim.stamps import stamp_of

_BLOCK = 1 << 22
_ZEROS = hashlib.sha256(bytes(_BLOCK)).digest()


def content_digest(spec: OwnDataset) -> str:
    """16 hex digits that identify the contents of a block's files, wherever they lie.

    Raises:
        DataError: a file is missing or cannot be read.
    """
    return files_digest(_files(spec))


def files_digest(files: Iterator[tuple[str, Path]]) -> str:
    """16 hex digits that identify the contents of files and their names.

    Args:
        files: name and path of each.

    Raises:
        DataError: one cannot be read.
    """
    hasher = hashlib.sha256()
    for name, path in files:
        hasher.update(f"{name}\n{_file_digest(path)}\n".encode())
    return hasher.hexdigest()[:16]


def _files(spec: OwnDataset) -> Iterator[tuple[str, Path]]:
    if isinstance(spec, FilesDataset):
        for key, place in (("train", spec.train), ("test", spec.test)):
            if place is not None:
                yield from ((key, path) for path in files_of(place, key))
    elif isinstance(spec, LeafDataset):
        for folder in leaf_folders(Path(spec.root).expanduser()):
            if folder is not None:
                yield from _below(folder, (".json",))
        if spec.images is not None:
            yield from _below(Path(spec.images).expanduser(), IMAGE_ENDINGS)
    elif isinstance(spec, ImageFolderDataset):
        for folder in parts_of(spec):
            if folder is not None:
                yield from _below(folder, IMAGE_ENDINGS)


def _below(folder: Path, endings: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in endings:
            yield path.relative_to(folder.parent).as_posix(), path


def _file_digest(path: Path) -> str:
    try:
        return _digest(path, stamp_of(path.stat()))
    except OSError as error:
        raise bad(path, "train", f"cannot be read: {error.strerror}") from error


@lru_cache(maxsize=1 << 18)
def _digest(path: Path, unchanged: tuple[int, ...]) -> str:
    """The digest of the digests of a file's blocks, so that holes of sparse files cost nothing."""
    hasher = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        data = _next_data(file.fileno(), 0)
        for begin in range(0, size, _BLOCK):
            if data < begin:
                data = _next_data(file.fileno(), begin)
            if data >= begin + _BLOCK <= size:
                hasher.update(_ZEROS)
                continue
            file.seek(begin)
            hasher.update(hashlib.sha256(file.read(_BLOCK)).digest())
    return hasher.hexdigest()


def _next_data(descriptor: int, begin: int) -> int:
    """Where the next bytes are stored; a large number if only a hole follows."""
    try:
        return os.lseek(descriptor, begin, os.SEEK_DATA)
    except OSError as error:
        import errno

        return 1 << 62 if error.errno == errno.ENXIO else begin
