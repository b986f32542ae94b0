"""One cache of unpacked data and a few finished runs, shared by the tests of the command line."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from commands import QUICK, Command, Result
from finished import Finished
from places import SMALLEST


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this session of tests, the same for all workers of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def cache(shared: Path) -> Path:
    folder = shared / "cache"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def afl_sim(tmp_path: Path, cache: Path) -> Command:
    """The command, in an empty folder."""
    return Command(tmp_path, cache)


@pytest.fixture(scope="session")
def finished(shared: Path, cache: Path) -> Finished:
    """Made by the first worker that asks."""
    names = ("full", "timing", "again", "other")
    full, timing, again, other = (shared / "finished" / name for name in names)
    printed = shared / "finished.json"
    with one_at_a_time(shared):
        if not printed.exists():
            shutil.rmtree(shared / "finished", ignore_errors=True)  # another worker failed
            full.mkdir(parents=True)  # an empty folder is as good as none
            command = Command(shared / "finished", cache)
            lines = (
                ("run", SMALLEST, *QUICK, "--out", full, "--plot"),
                ("run", SMALLEST, *QUICK, "--timing-only", "--out", timing),
                ("run", full / "scenario.yaml", "--out", again),
                ("run", SMALLEST, *QUICK, "--seed", "2", "--out", "other"),
            )
            results = [result.succeeded() for result in command.batch(lines)]
            printed.write_text(json.dumps([asdict(result) for result in results]))
    results = [Result(**result) for result in json.loads(printed.read_text())]
    return Finished(full, timing, again, other, dict(zip(names, results, strict=True)))
