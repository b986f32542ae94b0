"""The example of a third party's strategy: built, installed beside, listed, run and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Command, Result, summary
from example_wheels import OWN_TESTS, with_wheel
from places import ROOT

EXAMPLE = ROOT / "examples" / "my_strategy"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return with_wheel(EXAMPLE, tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Command:
    return Command(tmp_path_factory.mktemp("work"), cache)


@pytest.fixture(scope="module")
def results(command: Command, installed: str) -> list[Result]:
    """It is listed, is in the schema, and is run by its name and by its path."""
    runs = [
        ("run", EXAMPLE / f"{name}.yaml", "--timing-only", "--out", name)
        for name in ("fleet", "by-path")
    ]
    return command.batch([("list", "strategies"), ("schema",), *runs], PYTHONPATH=installed)


def test_its_entry_point_gives_it_a_name(results: list[Result]) -> None:
    listed, schema, *_ = (result.succeeded().out for result in results)
    (line,) = [line for line in listed.splitlines() if line.startswith("impatient")]
    assert "semi-synchronous; The server steps with whatever has arrived" in line
    assert "patience" in json.loads(schema)["$defs"]["Impatient"]["properties"]


def test_by_name_and_by_path_it_makes_the_same_run(command: Command, results: list[Result]) -> None:
    for result in results:
        result.succeeded()
    found = [summary(command.folder / name) for name in ("fleet", "by-path")]
    assert all(run["updates"]["aggregated"] >= 200 for run in found)
    assert found[0]["schedule_digest"] == found[1]["schedule_digest"]


def test_its_own_tests_pass(afl_sim: Command, installed: str) -> None:
    shutil.copytree(EXAMPLE / "tests", afl_sim.folder / "tests")
    done = afl_sim.forked(OWN_TESTS, beside=installed).succeeded()
    assert "passed" in done.out
