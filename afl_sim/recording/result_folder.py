"""Folders for results: made as a draft beside their place, they appear by one rename."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording.drafts import draft_folder
from afl_sim.recording.files import os_reason, write_bytes, write_json

# The rename itself is refused where the place is a mount point or its parent takes no entries.
_NO_RENAME: Final = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV}


class Folder:
    """A folder that was made by `create` and belongs to this process.

    Attributes:
        path: where it is, absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._existed = True
        self._made_parents: list[Path] = []

    @classmethod
    def _appear(cls, path: Path, files: Mapping[str, bytes]) -> Self:
        place = path.resolve()
        check_free(place)
        folder = cls(place)
        folder._existed = place.exists()
        try:
            folder._made_parents = _make_parents(place)
            _appear(place, files)
        except (AflSimError, OSError) as error:
            _remove_empty(folder._made_parents)
            if isinstance(error, RunFolderError):
                raise
            cause = error if isinstance(error, OSError) else error.__cause__
            why = os_reason(cause) if isinstance(cause, OSError) else str(error)
            raise RunFolderError(f"cannot make the folder {path}: {why}") from error
        return folder

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file; numbers that are not finite become null. Returns its path."""
        write_json(self.path / name, content)
        return self.path / name

    def discard(self) -> None:
        """Remove the folder and all in it, as if it had never been made."""
        if self._existed:
            with suppress(OSError):
                for entry in list(self.path.iterdir()):
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry, ignore_errors=True)
                    else:
                        entry.unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            _remove_empty(self._made_parents)


def check_free(path: Path) -> None:
    """Raise `RunFolderError` unless ``path`` is missing or an empty folder."""
    try:
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_dir():
            raise RunFolderError(f"{path} exists and is not a folder")
        if any(path.iterdir()):
            raise RunFolderError(f"{path} is not empty; choose another folder or remove it")
    except OSError as error:
        raise RunFolderError(f"cannot use {path}: {os_reason(error)}") from error


def _appear(place: Path, files: Mapping[str, bytes]) -> None:
    try:
        if place.exists() and place == Path.cwd():
            raise OSError(errno.EBUSY, "in use")  # a rename would pull the shell's folder away
        with draft_folder(place) as draft:
            for name, content in files.items():
                write_bytes(draft / name, content)
            os.rename(draft, place)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise RunFolderError(f"{place} was just made by another run") from error
        if error.errno not in _NO_RENAME or not place.exists():
            raise
        # An empty folder that cannot be replaced is filled instead, the scenario last.
        for name, content in files.items():
            write_bytes(place / name, content)


def _make_parents(place: Path) -> list[Path]:
    """Make the missing parents of ``place``; returns them, the innermost first."""
    missing = []
    for parent in place.parents:
        if parent.exists():
            break
        missing.append(parent)
    place.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def as_json(content: Any) -> bytes:
    """JSON text with a newline at its end."""
    # In ASCII, since a word of the command line need not be text of any encoding.
    return (json.dumps(content, indent=2, default=str) + "\n").encode()
