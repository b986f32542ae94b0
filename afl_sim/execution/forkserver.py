"""The fork server leaves nothing behind, however the process that started it ended.

It listens on a socket in a temporary folder, which that process removes at its own end, but not if
it is killed. The fork server outlives it by a moment, and so removes the folder then. It imports
this module first; `multiprocessing` offers it nothing else that would run there.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from multiprocessing import forkserver, util
from multiprocessing.context import ForkServerContext

from afl_sim.errors import InputError

_FOLDER = "AFL_SIM_FORKSERVER_FOLDER"
_LONGEST_SOCKET = 103  # bytes that the address of a socket may have; Linux takes four more
_LONGEST_FOLDER = _LONGEST_SOCKET - len("/pymp-01234567/listener-01234567")
_SHORT_FOLDERS = ("/tmp", "/var/tmp")


def start(context: ForkServerContext, modules: list[str]) -> None:
    """Start the fork server, unless it runs; it imports ``modules``.

    It leaves Ctrl-C and SIGHUP, which a whole terminal gets, to others.

    Raises:
        InputError: there is no folder for its socket.
        OSError: it cannot be started.
    """
    context.set_forkserver_preload([__name__, *modules])
    # It ignores Ctrl-C once it is ready, but not yet while it imports; SIGHUP it never would.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        os.environ[_FOLDER] = f"{os.getpid()} {_temporary_folder()}"
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _temporary_folder() -> str:
    """`multiprocessing`'s folder, made in a short one where the user's is too deep for a socket."""
    users = tempfile.gettempdir()
    if len(os.fsencode(users)) > _LONGEST_FOLDER:
        short = next((folder for folder in _SHORT_FOLDERS if os.access(folder, os.W_OK)), None)
        if short is None:
            raise InputError(
                f"TMPDIR: {users} is too long for the sockets of worker processes; expected a "
                f"folder of at most {_LONGEST_FOLDER} bytes"
            )
        tempfile.tempdir = short
    try:
        return util.get_temp_dir()
    finally:
        tempfile.tempdir = users


def _clean_up_after(starter: int, was_parent: bool, folder: str) -> None:
    """Remove the folder if its maker was killed; else it does so itself."""
    if os.getppid() != starter if was_parent else not _exists(starter):
        shutil.rmtree(folder, ignore_errors=True)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


if _FOLDER in os.environ:
    _starter, _, _folder = os.environ[_FOLDER].partition(" ")
    # It may have been killed before this line.
    _was_parent = int(_starter) == os.getppid()
    atexit.register(_clean_up_after, int(_starter), _was_parent, _folder)
