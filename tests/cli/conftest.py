"""One cache of unpacked data and a few finished runs, shared by the tests of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import QUICK, SMALLEST, Command, Result


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def afl_sim(tmp_path: Path, cache: Path) -> Command:
    """The command, in an empty folder."""
    return Command(tmp_path, cache)


@dataclass(frozen=True)
class Finished:
    """Runs that are there to be looked at; nobody writes to them.

    Attributes:
        full, timing: the smallest scenario, trained and with --timing-only.
        again: the full run's own resolved scenario, run.
        other: the same with another seed.
        results: what each command printed, by the same names.
    """

    full: Path
    timing: Path
    again: Path
    other: Path
    results: dict[str, Result]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Finished:
    folder = tmp_path_factory.mktemp("finished")
    full, timing, again, other = (folder / name for name in ("full", "timing", "again", "other"))
    full.mkdir()  # an empty folder is as good as none
    command = Command(folder, cache)
    results = {"full": command("run", SMALLEST, *QUICK, "--out", full, "--plot").succeeded()}
    rest = {
        "timing": ("run", SMALLEST, *QUICK, "--timing-only", "--out", timing),
        "again": ("run", full / "scenario.yaml", "--out", again),
        "other": ("run", SMALLEST, *QUICK, "--seed", "2", "--out", "other"),
    }
    for name, result in zip(rest, command.batch(list(rest.values())), strict=True):
        results[name] = result.succeeded()
    return Finished(full, timing, again, other, results)
