"""Opens files and folders in order to lock them, on every system.

Windows opens no folder and has no flag against links. There a link is looked for before a file is
opened, and nobody can hold a folder.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

NO_LINK: Final[int] = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags with which to open what may be a link or a pipe: the link is refused, the pipe does not
block."""

_FOLDER: Final[int | None] = getattr(os, "O_DIRECTORY", None)

HOLDS_FOLDERS: Final = _FOLDER is not None
"""Whether a process can hold a folder, so that others see that it lives."""


def refuse_planted(path: Path) -> None:
    """Refuse a link on systems where `NO_LINK` cannot.

    Raises:
        OSError: it is a link.
    """
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))


def open_folder(folder: Path, *, through_link: bool = False) -> int | None:
    """A descriptor of a folder; None on a system that opens no folders.

    Raises:
        OSError: there is no such folder, or it is a link and ``through_link`` is not set.
    """
    if _FOLDER is not None:
        return os.open(folder, os.O_RDONLY | _FOLDER | (0 if through_link else NO_LINK))
    if not stat.S_ISDIR(os.stat(folder, follow_symlinks=through_link).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    return None


def close(descriptor: int | None) -> None:
    """Close a descriptor that `open_folder` returned."""
    if descriptor is not None:
        os.close(descriptor)
