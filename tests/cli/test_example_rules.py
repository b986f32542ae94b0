"""The example of a third party's rules: built, installed beside, listed, run, drawn and checked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from commands import Command, Result, summary
from example_wheels import OWN_TESTS, with_wheel
from places import ROOT

EXAMPLE = ROOT / "examples" / "my_rules"
LISTED = {
    "selections": ("rested", "Clients that were chosen seldom, and hold many samples."),
    "staleness-weights": ("exponential", "s(tau) = exp(-rate tau)."),
    "attacks": ("drift", "Attackers add one common vector to their updates"),
    "compressors": ("half-precision", "Every number is rounded to float16"),
    "metrics": ("confident", "Share of right answers that lead the second best"),
    "losses": ("smoothed", "Cross-entropy with a share of each label spread"),
    "figures": ("shares", "How many updates each client has contributed"),
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    return with_wheel(EXAMPLE, tmp_path_factory.mktemp("example"))


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Command:
    return Command(tmp_path_factory.mktemp("work"), cache)


@pytest.fixture(scope="module")
def results(command: Command, installed: str) -> dict[str, Result]:
    """The rules are listed, are in the schema, and are used by their names and by their paths."""
    lines: dict[str, tuple[object, ...]] = {what: ("list", what) for what in LISTED}
    lines["schema"] = ("schema",)
    for name in ("fleet", "by-path"):
        lines[name] = ("run", EXAMPLE / f"{name}.yaml", "--set", "stop.updates=20", "--out", name)
    lines["plot"] = ("plot", "fleet", "--figure", "shares", "--format", "svg", "--out", "drawn")
    lines["wrong"] = ("validate", EXAMPLE / "fleet.yaml", "--set", "server.selection.kind=restd")
    found = command.batch(list(lines.values()), beside=installed)
    return dict(zip(lines, found, strict=True))


@pytest.mark.parametrize("what", LISTED)
def test_entry_points_give_the_rules_names(what: str, results: dict[str, Result]) -> None:
    name, about = LISTED[what]
    (line,) = [
        line for line in results[what].succeeded().out.splitlines() if line.split()[0] == name
    ]
    assert about in line


def test_the_schema_knows_the_names(results: dict[str, Result]) -> None:
    schema = json.loads(results["schema"].succeeded().out)
    assert {"enum": ["rested"]} in schema["$defs"]["Server"]["properties"]["selection"]["anyOf"]


def test_by_name_and_by_path_they_make_the_same_run(
    command: Command, results: dict[str, Result]
) -> None:
    for name in ("fleet", "by-path"):
        results[name].succeeded()
    found = [summary(command.folder / name) for name in ("fleet", "by-path")]
    assert all(run["updates"]["aggregated"] >= 20 for run in found)
    for key in ("schedule_digest", "model_digest"):
        assert found[0][key] == found[1][key]


def test_the_figure_is_drawn_by_its_name(command: Command, results: dict[str, Result]) -> None:
    results["plot"].succeeded()
    assert (command.folder / "drawn" / "shares.svg").is_file()


def test_a_wrong_name_is_told_with_the_nearest_one(results: dict[str, Result]) -> None:
    assert results["wrong"].code == 2
    (message,) = results["wrong"].errors
    assert "server.selection.kind: unknown kind 'restd'" in message
    assert message.endswith("did you mean 'rested'?")


def test_its_own_tests_pass(afl_sim: Command, installed: str) -> None:
    shutil.copytree(EXAMPLE / "tests", afl_sim.folder / "tests")
    done = afl_sim.forked(OWN_TESTS, beside=installed).succeeded()
    assert "passed" in done.out
