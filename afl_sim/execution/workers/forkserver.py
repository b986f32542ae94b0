"""The fork server leaves nothing behind, however the process that started it ended.

It listens on a socket in a temporary folder. The process that made the folder removes it at its own
end, but not if it is killed. So a shell is started before the folder is made. It waits for the end
of a pipe, which comes with the end of that process, and then removes the folder.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import tempfile
from functools import cache
from multiprocessing import forkserver, util
from pathlib import Path
from typing import TYPE_CHECKING

from afl_sim.errors import InputError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext  # not on Windows

_LONGEST_SOCKET = 103  # bytes that the address of a socket may have; Linux takes four more
_WITHIN = "/pymp-01234567/listener-01234567"  # what `multiprocessing` adds to the folder
_NAME = len("/afl-0123456789a")
_LONGEST_FOLDER = _LONGEST_SOCKET - len(_WITHIN) - _NAME
_SHORT_FOLDERS = ("/tmp", "/var/tmp")
_WATCH = ("/bin/sh", "-c", 'read -r _; exec rm -rf -- "$0"')


def start(context: ForkServerContext, modules: list[str]) -> None:
    """Start the fork server, unless it runs; it imports ``modules``.

    It leaves Ctrl-C and SIGHUP, which a whole terminal gets, to others.

    Raises:
        InputError: there is no folder for its socket.
        OSError: it cannot be started.
    """
    context.set_forkserver_preload(modules)
    # It ignores Ctrl-C once it is ready, but not yet while it imports; SIGHUP it never would.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        _temporary_folder(_place(), os.getpid())
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _temporary_folder(place: Path, process: int) -> str:
    """`multiprocessing`'s folder of this process, made in one that is removed in any case."""
    folder = place / f"afl-{secrets.token_urlsafe(8)}"
    _remove_at_the_end(folder)
    folder.mkdir(0o700)
    users = tempfile.gettempdir()
    tempfile.tempdir = str(folder)
    try:
        return util.get_temp_dir()
    finally:
        tempfile.tempdir = users


def _place() -> Path:
    """The user's folder for temporary files, or a short one where that is too deep for a socket."""
    users = os.path.abspath(tempfile.gettempdir())
    if len(os.fsencode(users)) <= _LONGEST_FOLDER:
        return Path(users)
    short = next((folder for folder in _SHORT_FOLDERS if os.access(folder, os.W_OK)), None)
    if short is None:
        raise InputError(
            f"TMPDIR: {users} is too long for the sockets of worker processes; expected a "
            f"folder of at most {_LONGEST_FOLDER} bytes"
        )
    return Path(short)


def _remove_at_the_end(folder: Path) -> None:
    """Have a folder that is not there yet removed at the end of this process, even if killed."""
    # In a process group of its own, so that Ctrl-C on a terminal does not reach it.
    watch = subprocess.Popen((*_WATCH, folder), stdin=subprocess.PIPE, cwd="/", process_group=0)
    util.Finalize(None, _end, args=(watch,), exitpriority=-101)  # after `multiprocessing`'s own


def _end(watch: subprocess.Popen[bytes]) -> None:
    assert watch.stdin is not None
    watch.stdin.close()
    watch.wait()
