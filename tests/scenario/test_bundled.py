"""Which file a scenario's name on the command line means."""

from __future__ import annotations

from pathlib import Path

import pytest

from afl_sim import load_scenario
from afl_sim.cli import runs
from afl_sim.errors import ScenarioError
from afl_sim.scenario.bundled import find_scenario, hides_built_in, scenario_folder

NAMES = ("quickstart", "papers/safa/rounds-safa")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means_the_built_in_scenario(name: str) -> None:
    assert find_scenario(name) == scenario_folder() / f"{name}.yaml"
    assert not hides_built_in(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_does_not_hide_a_built_in_scenario(name: str) -> None:
    Path(name).mkdir(parents=True)
    assert find_scenario(name) == scenario_folder() / f"{name}.yaml"
    assert not hides_built_in(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_hides_a_built_in_scenario_and_the_command_says_so(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text((scenario_folder() / "smallest.yaml").read_text())
    assert find_scenario(name) == Path(name)
    assert hides_built_in(name)
    runs.validate([name])
    said = capsys.readouterr()
    assert said.err == (
        f"{name}: using the file with this name in the current folder, not the built-in scenario\n"
    )
    assert said.out == f"{name}: ok, 1 run\n"


@pytest.mark.parametrize(
    "name", ["other.yaml", "quickstart.yaml", "here/quickstart", "../quickstart", "/quickstart"]
)
def test_a_path_is_a_path(name: str) -> None:
    assert find_scenario(name) == Path(name)


def test_a_folder_of_another_name_is_read_and_so_refused() -> None:
    Path("mine").mkdir()
    assert find_scenario("mine") == Path("mine")


@pytest.mark.parametrize("name", ["quikstart", "./quickstart", "a" * 300])
def test_a_name_that_is_neither_is_refused(name: str) -> None:
    with pytest.raises(ScenarioError, match="no such file, nor a built-in scenario"):
        find_scenario(name)


def test_python_takes_the_same_names() -> None:
    assert load_scenario("smallest").name == "smallest"
    text = (scenario_folder() / "smallest.yaml").read_text()
    Path("smallest").write_text(text.replace("name: smallest", "name: mine"))
    assert load_scenario("smallest").name == "mine"


@pytest.mark.parametrize("path", ["quickstart.yaml", "scenarios/quickstart.yaml"])
def test_the_file_of_a_built_in_scenario_that_is_not_here_is_told_by_its_name(path: str) -> None:
    with pytest.raises(ScenarioError, match="mean quickstart, the built-in scenario"):
        load_scenario(path)
    with pytest.raises(ScenarioError, match=r"there is no such file$"):
        load_scenario(f"elsewhere/{path}")


@pytest.mark.parametrize("path", [".", "/", "..", ""])
def test_a_folder_is_told_as_one(path: str) -> None:
    with pytest.raises(ScenarioError, match="folder"):
        load_scenario(path)
    with pytest.raises(ScenarioError, match="folder"):
        load_scenario(Path(path))
