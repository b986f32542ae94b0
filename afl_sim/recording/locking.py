"""One process at a time in a folder; a lock ends with the process that holds it."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from filelock import lock_descriptor

from afl_sim.errors import RunFolderError
from afl_sim.recording.files import os_reason
from afl_sim.recording.holding import NO_LINK, refuse_planted

LOCK: Final = ".lock"


@contextmanager
def lock_of(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Lock a folder against other processes.

    Args:
        folder: which.
        wait: wait until the other process releases the lock, instead of refusing.

    Raises:
        RunFolderError: another process holds it, or it cannot be locked.
    """
    while True:
        with _opened(folder) as lock:
            _take(lock, folder, wait)
            if _is_at(lock, folder / LOCK):
                try:
                    yield
                finally:
                    # Where the folder has been moved meanwhile, another may be in its place.
                    if _is_at(lock, folder / LOCK):
                        with suppress(OSError):  # one that is left behind holds nobody up
                            (folder / LOCK).unlink()
                return
        if not wait:  # its last holder has just removed it
            raise RunFolderError(f"another process was writing to {folder}; try again")


def _opened(folder: Path) -> io.FileIO:
    def opener(path: str, flags: int) -> int:  # a link that lies there is not followed
        return os.open(path, flags | os.O_CREAT | NO_LINK, 0o666)

    try:
        refuse_planted(folder / LOCK)
        lock = io.FileIO(folder / LOCK, "r+", opener=opener)
        if not stat.S_ISREG(os.fstat(lock.fileno()).st_mode):
            lock.close()
            raise OSError(errno.EEXIST, "in the way")
        return lock
    except OSError as error:
        raise RunFolderError(f"cannot write to {folder}: {LOCK}: {os_reason(error)}") from error


def _take(lock: io.FileIO, folder: Path, wait: bool) -> None:
    # The lock of an open file ends with its process. A `filelock.FileLock` would not do: where the
    # file system has no such locks, it takes a file for the lock, which outlives its process.
    try:
        taken = lock_descriptor(lock.fileno(), blocking=wait)
    except OSError as error:
        raise RunFolderError(f"cannot lock {folder}: {os_reason(error)}") from error
    if not taken:
        raise RunFolderError(f"another process is writing to {folder}")


def _is_at(file: io.FileIO, path: Path) -> bool:
    """Whether this open file is still the file at that path."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except OSError:
        return False
