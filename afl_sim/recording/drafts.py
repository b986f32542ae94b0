"""Files and folders that are made under a hidden name beside their place, and then renamed.

The name is random and is taken only where nothing is, so no link that lies in wait is followed.
Whoever makes a draft holds a lock on it. A draft that nobody holds was left by a process that was
killed, and may be removed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import lock_descriptor

from afl_sim.recording.holding import HOLDS_FOLDERS, NO_LINK, close, open_folder

_DRAFT = re.compile(r"\.(?P<place>.+)\.afl-sim-[0-9a-f]{12}\.tmp", re.DOTALL)
_SHOWN = 40  # characters of the place's name: the longest name that a file may have is short


class Draft:
    """A file on its way to its place.

    Args:
        path: the place.

    Attributes:
        path: the place.
        handle: where its content is written to.

    Raises:
        OSError: it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
        while True:
            self._hidden = _draft_of(path)
            descriptor = os.open(self._hidden, flags, 0o666)
            self.handle = os.fdopen(descriptor, "wb")
            if _hold(descriptor):
                return
            self.handle.close()

    def publish(self) -> None:
        """Force the content to the disk, and give the file its name."""
        self.handle.flush()
        os.fsync(self.handle.fileno())
        if os.name == "nt":  # Windows renames no open file
            self.handle.close()
        os.replace(self._hidden, self.path)
        self.handle.close()  # not before, where that can be: the lock goes with it

    def withdraw(self) -> None:
        """Delete it; never raises an `OSError`."""
        if os.name == "nt":  # Windows deletes no open file
            with suppress(OSError):
                self.handle.close()
        with suppress(OSError):
            self._hidden.unlink(missing_ok=True)
        with suppress(OSError):
            self.handle.close()


@contextmanager
def draft_folder(place: Path) -> Iterator[Path]:
    """A new folder, to be filled and renamed to ``place``; removed if that has not happened.

    Raises:
        OSError: it cannot be made.
    """
    remove_drafts(place.parent, place.name)
    while True:
        hidden = _draft_of(place)
        hidden.mkdir()
        with suppress(FileNotFoundError):  # it was taken for one that was left
            held = hold_folder(hidden)
            if held is not None:
                break
    try:
        yield hidden
    finally:
        try:
            shutil.rmtree(hidden, ignore_errors=True)
        finally:
            held.release()


def remove_folder(folder: Path, place: Path) -> None:
    """Remove a folder. If the process is killed meanwhile, the rest is a draft of ``place``.

    Raises:
        OSError: it is not there, or cannot be renamed.
    """
    hidden = _draft_of(place)
    os.rename(folder, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


@dataclass(frozen=True)
class HeldFolder:
    """A folder that is locked against other processes, on systems that can lock folders."""

    descriptor: int | None

    def release(self) -> None:
        """Release it."""
        close(self.descriptor)


def hold_folder(folder: Path) -> HeldFolder | None:
    """Lock a folder as drafts are locked; None if another process has locked it.

    Raises:
        OSError: there is no such folder, or it is a link.
    """
    descriptor = open_folder(folder)
    if descriptor is None or _hold(descriptor):
        return HeldFolder(descriptor)
    os.close(descriptor)
    return None


def remove_drafts(folder: Path, *names: str) -> None:
    """Remove the remains of killed processes in a folder; never raises an `OSError`.

    Args:
        folder: where to look.
        names: only drafts of the places of these names; without any, all.
    """
    for draft in _drafts_in(folder, {name[:_SHOWN] for name in names}):
        with suppress(OSError):
            _remove_if_left(draft)


def _draft_of(place: Path) -> Path:
    return place.with_name(f".{place.name[:_SHOWN]}.afl-sim-{secrets.token_hex(6)}.tmp")


def _drafts_in(folder: Path, names: set[str]) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".tmp"):  # most names of a large folder need no more
                continue
            found = _DRAFT.fullmatch(entry.name)
            if found is not None and (not names or found["place"] in names):
                yield folder / entry.name


def _remove_if_left(draft: Path) -> None:
    if not HOLDS_FOLDERS:  # Windows, which does not delete what is open either
        return
    found = draft.lstat()
    kind = stat.S_IFMT(found.st_mode)
    if found.st_uid != os.geteuid():
        return
    if kind == stat.S_IFDIR:
        descriptor = open_folder(draft)
    elif kind == stat.S_IFREG:
        descriptor = os.open(draft, os.O_RDWR | NO_LINK)
    else:  # a link, or what else somebody has put there
        return
    try:
        if descriptor is None or not lock_descriptor(descriptor, blocking=False):
            return
        if kind == stat.S_IFDIR:
            shutil.rmtree(draft, ignore_errors=True)
        elif os.path.samestat(os.fstat(descriptor), draft.lstat()):
            draft.unlink()
    finally:
        close(descriptor)


def _hold(descriptor: int) -> bool:
    """Lock a draft; False if another process has just locked it in order to remove it."""
    try:
        if not lock_descriptor(descriptor, blocking=False):
            return False
    except OSError:  # a file system without locks, on which nothing is ever removed
        return True
    return os.fstat(descriptor).st_nlink > 0
