"""Two builds side by side: this tree, and the tree of an earlier commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parents[2]
JOBS = Path(__file__).with_name("schedule_job.py")
EARLIER = "be944e2"
"""The commit that this tree is compared with."""
_LOOK_EVERY = 0.05  # seconds between two looks at the memory of a command


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a temporary folder while the block lasts."""
    git = ["git", "-C", str(HERE)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / commit
        add = [*git, "worktree", "add", "--quiet", "--detach", str(place), commit]
        subprocess.run(add, check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(place)], check=True)


@contextmanager
def compiled(built: Path | None = None) -> Iterator[Path]:
    """This package with its schedules compiled, in a temporary folder while the block lasts.

    Args:
        built: a folder that has it already: its wheel, unpacked.
    """
    if built is not None:
        yield built
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, HERE],
            env={**os.environ, "AFL_SIM_COMPILE": "2"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(Path(folder) / "site")
        yield Path(folder) / "site"


@dataclass(frozen=True)
class Command:
    """What a command took.

    Attributes:
        cpu, wall: seconds, of all its processes and of the clock.
        peak: the most memory that it and its children held at the same time, in MB.
    """

    cpu: float
    wall: float
    peak: float


def command(tree: Path, *arguments: str) -> Command:
    """Run ``afl-sim`` of a tree in a process of its own, and watch it from outside."""
    began, peak = perf_counter(), 0.0
    with subprocess.Popen(
        [sys.executable, "-c", "from afl_sim.cli import main; main()", *arguments],
        stdout=subprocess.DEVNULL,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
    ) as process:
        ended = 0
        while not ended:
            peak = max(peak, sum(_megabytes(each) for each in _family(process.pid)))
            sleep(_LOOK_EVERY)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"afl-sim of {tree} has ended with {process.returncode}")
    peak = max(peak, usage.ru_maxrss * 1024 / 1e6)  # of one process, between two looks
    return Command(usage.ru_utime + usage.ru_stime, perf_counter() - began, peak)


def _family(process: int) -> list[int]:
    """A process and its descendants."""
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return [process]
    return [process, *(each for child in children for each in _family(int(child)))]


def _megabytes(process: int) -> float:
    """The memory that a process holds."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Build:
    """A process that does jobs with the package of one tree.

    Args:
        tree: the folder that has the package ``afl_sim``.
        jobs: the script that does them.
    """

    def __init__(self, tree: Path, jobs: Path = JOBS) -> None:
        self.tree = tree
        self._process = subprocess.Popen(
            [sys.executable, str(jobs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )

    def run(self, work: str, **job: Any) -> dict[str, Any]:
        """Have it do a job; returns what it measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"work": work, **job}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the build in {self.tree} has ended with an error")
        found: dict[str, Any] = json.loads(answer)
        return found

    @property
    def scenarios(self) -> Path:
        """The folder of the scenarios that come with the package."""
        source = self.tree / "scenarios"
        return source if source.is_dir() else self.tree / "afl_sim" / "scenarios"  # of a wheel

    def schedule(self, scenario: str, *settings: str) -> dict[str, Any]:
        """Have it run a scenario that comes with the package, timing-only."""
        file = self.scenarios / scenario
        return self.run("schedule", scenario=str(file), settings=list(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
