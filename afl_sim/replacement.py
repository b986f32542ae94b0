"""A run in place of an older one, which is there until the new one has something to show."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from afl_sim.errors import RunFolderError
from afl_sim.recording import Run, RunFolder, load_run
from afl_sim.recording.files import reason
from afl_sim.recording.folder import SCENARIO
from afl_sim.recording.locking import LOCK

FINISHED: Final = ("complete", "diverged")
"""Statuses of a run that has come to its end, and has a result to tell."""

_MOST_BYTES: Final = 100
"""Of the old run's name, in the hidden one."""


class Replacement(AbstractContextManager["Replacement"]):
    """A ``with`` block that makes a run where another run is, which waits under a hidden name.

    The old one goes when the block ends or calls `let_go`. Where an exception ends it before that,
    the old one comes back: it is what a user would lose to a cluster that is away or a mistyped
    setting. What has failed and left no checkpoint is no loss, and gives way to a new failure.

    Args:
        old: the run that is there, its lock held by the caller until this is made.

    Raises:
        RunFolderError: it cannot be moved.
    """

    def __init__(self, old: Run) -> None:
        self._place = old.path.resolve()  # where a link points to
        # A name may have as many bytes as a file system takes, so that nothing can be added to it.
        beginning = os.fsencode(self._place.name)[:_MOST_BYTES].decode(errors="ignore")
        self._aside = self._place.with_name(f".{beginning}.before-{secrets.token_hex(4)}")
        self._let_go = False
        checkpoint = RunFolder.open(old.path).checkpoint_path
        self._precious = old.status in FINISHED or checkpoint.exists()
        if self._place == Path.cwd():
            raise RunFolderError(f"cannot replace {old.path}: it is the working directory")
        try:
            os.rename(self._place, self._aside)
        except OSError as error:
            raise RunFolderError(f"cannot replace {old.path}: {reason(error)}") from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        there = (self._place / SCENARIO).exists()
        if error is not None and not self._let_go and (self._precious or not there):
            with suppress(OSError, RunFolderError):  # else it stays under its hidden name
                if there:
                    self._remove_new()
                (self._aside / LOCK).unlink(missing_ok=True)
                os.rename(self._aside, self._place)
        else:
            self.let_go()

    def _remove_new(self) -> None:
        """Remove what has come in the old run's place, unless it is another process's."""
        with RunFolder.open(self._place).locked():
            if load_run(self._place).status not in FINISHED:
                shutil.rmtree(self._place)

    def let_go(self) -> None:
        """Remove the old run; a second call does nothing."""
        if not self._let_go:
            self._let_go = True
            shutil.rmtree(self._aside, ignore_errors=True)
