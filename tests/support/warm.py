"""A process that has imported all that commands do, and forks where an interpreter would start.

Imports are most of what a short command costs. What is forked has computed nothing yet: no thread
pool of PyTorch's exists that a fork would break, and the libraries that do have a thread by then,
OpenBLAS and Arrow's allocator, provide for forks.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

# For each line of stdin it forks. The child leaves the loop and runs the code that it is asked to.
# It ends without taking the modules apart, which would copy the memory of all of them.
# The end of stdin is the end.
_WAITING = """
import gc
gc.disable()
import atexit, json, multiprocessing.process, os, sys, traceback
import afl_sim.cli, afl_sim.cli.display, afl_sim.cli.listing, afl_sim.papers, afl_sim.run.api
import afl_sim.study.study, afl_sim.run.validation, afl_sim.analysis.compare
import afl_sim.analysis.drawing, afl_sim.analysis.report, afl_sim.analysis.theme
import pandas, pyarrow.parquet, safetensors.numpy, torch._dynamo, typer.rich_utils
gc.freeze()
gc.enable()
while line := sys.stdin.readline():
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
if line:
    asked = json.loads(line)
    os.chdir(asked["folder"])
    multiprocessing.process.ORIGINAL_DIR = asked["folder"]
    os.environ.clear()
    os.environ.update(asked["environment"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        file = os.open(os.path.join(asked["streams"], name), os.O_RDWR | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = open(0, closefd=False)
    failed = 0
    try:
        exec(asked["code"], {"__name__": "__main__"})
    except BaseException:
        traceback.print_exc()
        failed = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(failed)
"""


class Warm:
    """The process; it ends with the one that started it.

    Args:
        folder: where it is started.
        environment: in which it is started; imports may depend on it.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WAITING],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        atexit.register(self.end)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def python(
        self, code: str, stdin: str, folder: Path, environment: Mapping[str, str], timeout: float
    ) -> tuple[int, str, str]:
        """Run code in a process of its own: its exit code, stdout and stderr.

        Folder, environment, module path and signal handlers are those of a new ``python -c``.

        Raises:
            TimeoutError: it took longer than so many seconds, and was killed.
        """
        with tempfile.TemporaryDirectory() as streams:
            written = {name: Path(streams, name) for name in ("stdin", "stdout", "stderr")}
            for name, path in written.items():
                path.write_text(stdin if name == "stdin" else "")
            asked = {
                "code": code,
                "folder": str(folder),
                "environment": dict(environment),
                "streams": streams,
            }
            try:
                exit_code = self._exit_code(json.dumps(asked), timeout)
            except BaseException:
                self.end()
                raise
            return exit_code, written["stdout"].read_text(), written["stderr"].read_text()

    def _exit_code(self, asked: str, timeout: float) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(asked, file=self._process.stdin, flush=True)
        if not select.select([self._process.stdout], [], [], timeout)[0]:
            raise TimeoutError(f"not ended after {timeout} s")
        answer = self._process.stdout.readline()
        if not answer:
            raise ChildProcessError(f"{sys.executable} ended with {self._process.wait()}")
        return int(answer)

    def end(self) -> None:
        """Kill it, and what it has forked."""
        atexit.unregister(self.end)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()


_latest: list[Warm] = []


def warm(folder: Path, environment: Mapping[str, str]) -> Warm:
    """The one process of these tests, started where there is none."""
    if not _latest or _latest[0].ended:
        _latest[:] = [Warm(folder, environment)]
    return _latest[0]
