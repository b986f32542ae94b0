"""Files that a reader never sees partly written.

Everything is written as a `Draft` beside its place, forced to the disk and renamed. When anything
fails on the way, the draft is deleted and the file that was there before stays. The operating
system's error becomes one sentence.
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from afl_sim.errors import AflSimError, InputError, RunFolderError
from afl_sim.recording.drafts import Draft, remove_drafts

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than the limit allows",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EEXIST: "a file with that name exists",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "the folder does not exist",
    errno.EISDIR: "it is a folder",
    errno.ELOOP: "a symbolic link is in its place",
}


def os_reason(error: OSError) -> str:
    """The cause of an operating system's error, in a few plain words."""
    code = error.errno if error.errno is not None else 0
    return _REASONS.get(code) or error.strerror or str(error) or type(error).__name__


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an operating system's error on ``path`` into an `AflSimError` of one line."""
    try:
        yield
    except OSError as error:
        raise AflSimError(f"cannot write {path}: {os_reason(error)}") from error


def make_folder(folder: Path) -> None:
    """Make a folder for results, with those above it, where there is none.

    Raises:
        InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {os_reason(error)}") from error


def refuse_link(folder: Path) -> None:
    """Refuse to write into a folder through a symbolic link.

    What lies in a run folder may come from a stranger, and so may the place that a link leads to.

    Raises:
        RunFolderError: it is a link.
    """
    if folder.is_symlink():
        raise RunFolderError(
            f"{folder} is a symbolic link, and nothing is written through links: remove the link, "
            "or replace it with the folder"
        )


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the place of ``path`` when the block ends without an error.

    Raises:
        AflSimError: the file cannot be written (disk full, permission); nothing is left behind.
    """
    with writing(path):
        remove_drafts(path.parent, path.name)
        draft = Draft(path)
        try:
            yield draft.handle
            draft.publish()
        except BaseException:
            draft.withdraw()
            raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file at once, as `replacing` does."""
    with replacing(path) as handle:
        handle.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 text file at once, as `replacing` does."""
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Write indented JSON at once; numbers that are not finite become null (JSON has none).

    It is ASCII: a path or a word of the command line need not be text of any encoding.
    """
    text = json.dumps(_plain(content), indent=2, allow_nan=False)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:
    """``value`` in JSON's own types: NumPy scalars as numbers, paths as strings, NaN as None."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, os.PathLike):
        return str(value)
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
