"""Replacing a run: the old one is kept until the new one has made a version."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Collection
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from afl_sim.errors import RunFolderError
from afl_sim.recording import Run, RunFolder, load_head
from afl_sim.recording.drafts import HeldFolder, hold_folder, remove_drafts, remove_folder
from afl_sim.recording.files import os_reason
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.holding import HOLDS_FOLDERS
from afl_sim.recording.locking import LOCK

FINISHED: Final = ("complete", "diverged")
"""Statuses of a run that has come to its end, and has a result to tell."""

_ASIDE: Final = re.compile(r"\.(?P<name>.+)\.before-[0-9a-f]{8}", re.DOTALL)
_MOST_BYTES: Final = 100  # of the old run's name, in the hidden one


class Replacement(AbstractContextManager["Replacement"]):
    """A ``with`` block that makes a run where another run is, which waits under a hidden name.

    The old one goes when the block ends or calls `let_go`. Where an exception ends it before that,
    the old one comes back: it is what a user would lose to a cluster that is away or a mistyped
    setting. What has failed and left no checkpoint is no loss, and gives way to a new failure.
    Where the process is killed before that, `bring_back` does the same at the next start.

    Args:
        old: the run that is there, its lock held by the caller until this is made.

    Raises:
        RunFolderError: it cannot be moved.
    """

    def __init__(self, old: Run) -> None:
        self._place = old.path.resolve()  # where a link points to
        hidden = f".{_shown(self._place.name)}.before-{secrets.token_hex(4)}"
        self._aside = self._place.with_name(hidden)
        self._held: HeldFolder | None = None
        self._let_go = False
        self._precious = _is_precious(old)
        if self._place == Path.cwd():
            raise RunFolderError(f"cannot replace {old.path}: it is the working directory")
        try:
            self._held = hold_folder(self._place)
            os.rename(self._place, self._aside)
        except OSError as error:
            self._release()
            raise RunFolderError(f"cannot replace {old.path}: {os_reason(error)}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        there = (self._place / SCENARIO).exists()
        try:
            if error is not None and not self._let_go and (self._precious or not there):
                with suppress(OSError, RunFolderError):  # else it stays under its hidden name
                    _put_back(self._aside, self._place)
            else:
                self.let_go()
        finally:
            self._release()

    def let_go(self) -> None:
        """Remove the old run; a second call does nothing."""
        if not self._let_go:
            self._let_go = True
            with suppress(OSError):
                remove_folder(self._aside, self._place)

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None


def bring_back(folder: Path, names: Collection[str]) -> None:
    """Put runs back that a killed process had set aside for new ones that it did not begin.

    What is left of runs that it was about to remove goes.

    Args:
        folder: where the runs lie.
        names: the names of their folders.
    """
    remove_drafts(folder, *names)
    place_of = {_shown(name): folder / name for name in names}
    with suppress(OSError):
        for entry in sorted(os.listdir(folder)):
            found = _ASIDE.fullmatch(entry)
            if found is not None and found["name"] in place_of:
                with suppress(OSError, RunFolderError):
                    _settle(folder / entry, place_of[found["name"]])


def _shown(name: str) -> str:
    """A short form of a name, for hidden names that must not become too long."""
    encoded = os.fsencode(name)
    if len(encoded) <= _MOST_BYTES:
        return name
    beginning = encoded[:_MOST_BYTES].decode(errors="ignore")
    return f"{beginning}~{hashlib.sha256(encoded).hexdigest()[:12]}"


def _settle(aside: Path, place: Path) -> None:
    if not HOLDS_FOLDERS:  # nobody knows whether its process lives
        return
    held = hold_folder(aside)
    if held is None:  # its process lives
        return
    try:
        old = load_head(aside)
        new = load_head(place) if (place / SCENARIO).exists() else None
        if new is not None and (_has_begun(new) or not _is_precious(old)):
            remove_folder(aside, place)
        else:
            _put_back(aside, place)
    finally:
        held.release()


def _put_back(aside: Path, place: Path) -> None:
    """Restore the old run. What is in its place is removed, unless another process made it."""
    if (place / SCENARIO).exists():
        with RunFolder.open(place).locked():
            if load_head(place).status not in FINISHED:
                remove_folder(place, place)
    (aside / LOCK).unlink(missing_ok=True)
    os.rename(aside, place)


def _is_precious(run: Run) -> bool:
    return run.status in FINISHED or RunFolder.open(run.path).checkpoint_path.exists()


def _has_begun(run: Run) -> bool:
    return _is_precious(run) or bool(run.summary.get("versions"))
