"""Starts the fork server, which leaves nothing behind, however its parent process ends.

The server listens on a socket in a temporary folder. The process that made the folder removes it
when it ends, but not if it is killed. So a shell is started before the folder is made. The shell
waits until a pipe is closed, as it is when that process ends, and then removes the folder.
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

_LONGEST_SOCKET = 103  # bytes in the address of a socket; Linux allows four more
_WITHIN = "/pymp-01234567/listener-01234567"  # what `multiprocessing` adds to the folder
_NAME = len("/afl-0123456789a")
_LONGEST_FOLDER = _LONGEST_SOCKET - len(_WITHIN) - _NAME
_SHORT_FOLDERS = ("/tmp", "/var/tmp")
_WATCH = ("/bin/sh", "-c", 'read -r _; exec rm -rf -- "$0"')


def start(context: ForkServerContext, modules: list[str]) -> None:
    """Start the fork server, unless it is running; it imports ``modules``.

    The server ignores Ctrl-C and SIGHUP, which all processes of a terminal get.

    Raises:
        InputError: there is no folder for its socket.
        OSError: the server cannot be started.
    """
    context.set_forkserver_preload(modules)
    # By itself the server ignores Ctrl-C only once it has imported the modules, and SIGHUP never.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        _temporary_folder(_place(), os.getpid())
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@cache
def _temporary_folder(place: Path, process: int) -> str:
    """The folder that `multiprocessing` uses, made in a folder that is removed in any case."""
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
    """The user's folder for temporary files, or a shorter path if a socket needs one."""
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
    """Make sure that a folder is removed when this process ends, even if it is killed."""
    # The shell has a process group of its own, so that Ctrl-C on a terminal does not reach it.
    watch = subprocess.Popen((*_WATCH, folder), stdin=subprocess.PIPE, cwd="/", process_group=0)
    util.Finalize(None, _end, args=(watch,), exitpriority=-101)  # after `multiprocessing`'s own


def _end(watch: subprocess.Popen[bytes]) -> None:
    assert watch.stdin is not None
    watch.stdin.close()
    watch.wait()
