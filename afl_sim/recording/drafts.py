"""Files and folders that are made under a hidden name beside their place, and then renamed.

The name is random and is taken only where nothing is, so no link that lies in wait is followed.
Whoever makes a draft holds a lock on it. A draft that nobody holds was left by a process that was
killed, and may be removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
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
        os.replace(self._hidden, self.path)
        self.handle.close()  # not before: the lock goes with it

    def withdraw(self) -> None:
        """Delete it; never raises an `OSError`."""
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
            descriptor = held_folder(hidden)
            if descriptor is not None:
                break
    with _closing(descriptor):
        try:
            yield hidden
        finally:
            shutil.rmtree(hidden, ignore_errors=True)


def remove_folder(folder: Path, place: Path) -> None:
    """Remove a folder; a kill in the middle leaves no part of it but as a draft of ``place``.

    Raises:
        OSError: it is not there, or cannot be renamed.
    """
    hidden = _draft_of(place)
    os.rename(folder, hidden)
    shutil.rmtree(hidden, ignore_errors=True)


def held_folder(folder: Path) -> int | None:
    """Hold a folder as a draft is held; its descriptor, or None where another process holds it.

    Raises:
        OSError: there is no such folder, or it is a link.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    if _hold(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def remove_drafts(folder: Path, *names: str) -> None:
    """Remove what killed processes left in a folder; never raises an `OSError`.

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
    found = draft.lstat()
    if found.st_uid != os.geteuid():
        return
    flags = {stat.S_IFREG: os.O_RDWR, stat.S_IFDIR: os.O_RDONLY | os.O_DIRECTORY}
    kind = stat.S_IFMT(found.st_mode)
    if kind not in flags:  # a link, or what else somebody has put there
        return
    descriptor = os.open(draft, flags[kind] | os.O_NOFOLLOW | os.O_NONBLOCK)
    with _closing(descriptor):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if kind == stat.S_IFDIR:
            shutil.rmtree(draft, ignore_errors=True)
        elif os.path.samestat(os.fstat(descriptor), draft.lstat()):
            draft.unlink()


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _hold(descriptor: int) -> bool:
    """Take the lock of a draft; False where another process has taken it for one that was left."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, on which nothing is ever removed
        return True
    return os.fstat(descriptor).st_nlink > 0
