"""The real command, started as a user starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from places import ROOT
from warm import warm

QUICK = ("--set", "stop.updates=10", "--set", "evaluation.samples=200")
ENDLESS = ("--set", "stop.updates=100000000", "--set", "evaluation.samples=200")

# Runs several command lines through the entry point in one interpreter. Prints one JSON list of
# [exit code, stdout, stderr].
_BATCH = """
import contextlib, io, json, sys
from afl_sim import cli
results = []
for line in json.loads(sys.stdin.read()):
    sys.argv = ["afl-sim", *line]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main()
        except SystemExit as ending:
            code = ending.code or 0
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of stderr, each of which must be an error message."""
        lines = self.err.splitlines()
        assert lines, f"no message, exit code {self.code}"
        assert all(line.startswith("error: ") for line in lines), self.err
        return [line.removeprefix("error: ") for line in lines]

    def succeeded(self) -> Result:
        """This result, after checking that all went well."""
        assert self.code == 0, f"exit code {self.code}\n{self.out}\n{self.err}"
        return self


@dataclass(frozen=True)
class Command:
    """Starts `afl-sim` in a folder, with a cache of unpacked data."""

    folder: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        """That of the tests, with this source tree and cache, and a plain terminal of 100."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in {"PYTHONPATH", "FORCE_COLOR", "TTY_COMPATIBLE", "TERMINAL_WIDTH"}
        }
        return kept | {
            "PYTHONPATH": str(ROOT),
            "AFL_SIM_CACHE": str(self.cache),
            "COLUMNS": "100",
            "NO_COLOR": "1",
        }

    def __call__(
        self, *arguments: str | Path, before: Callable[[], None] | None = None, **variables: str
    ) -> Result:
        """Run a command line to its end."""
        ended = subprocess.run(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            preexec_fn=before,
        )
        return _checked(Result(ended.returncode, ended.stdout, ended.stderr))

    def line(self, *arguments: str | Path) -> list[str]:
        """The whole command line."""
        return [sys.executable, "-m", "afl_sim", *map(str, arguments)]

    def python(self, code: str, stdin: str = "", **variables: str) -> Result:
        """Run Python code in the same folder and environment."""
        ended = subprocess.run(
            [sys.executable, "-c", code],
            input=stdin,
            cwd=self.folder,
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Result(ended.returncode, ended.stdout, ended.stderr)

    def forked(self, code: str, stdin: str = "", beside: str = "") -> Result:
        """The same in a process that is forked from one that has imported everything.

        Args:
            code, stdin: as for `python`.
            beside: a module path for packages that are installed beside ours.
        """
        forks = warm(ROOT, self.environment)
        environment = self.environment
        if beside:
            environment["PYTHONPATH"] = beside
            code = f"import sys\nsys.path[1:1] = {beside.split(os.pathsep)!r}\n{code}"
        return Result(*forks.python(code, stdin, self.folder, environment, 300))

    def batch(
        self, lines: Sequence[Sequence[str | Path]], beside: str = "", **variables: str
    ) -> list[Result]:
        """Run several command lines one after the other in one interpreter.

        It is forked from one that has imported everything; with variables of its own, which
        imports may depend on, it is started anew.
        """
        wanted = json.dumps([[str(argument) for argument in line] for line in lines])
        if variables:
            done = self.python(_BATCH, wanted, **variables)
        else:
            done = self.forked(_BATCH, wanted, beside)
        done.succeeded()
        return [_checked(Result(*result)) for result in json.loads(done.out)]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command that can be interrupted, and come back at once."""
        return subprocess.Popen(
            self.line(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A shell in the background hands down an ignored SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL) and None,
        )


def _checked(result: Result) -> Result:
    assert "Traceback" not in result.out + result.err, result.err
    return result


def summary(run: Path) -> dict[str, Any]:
    """A run's ``summary.json``."""
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


def digests(run: Path) -> tuple[str, str | None]:
    """The digests of a run's schedule and model."""
    content = summary(run)
    return content["schedule_digest"], content["model_digest"]


def leftovers(folder: Path) -> list[Path]:
    """Files and folders with a temporary name."""
    return sorted(folder.rglob("*.tmp"))
