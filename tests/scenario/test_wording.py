"""How messages suggest a name."""

from __future__ import annotations

from pathlib import Path

from afl_sim.scenario.wording import hint
from afl_sim.scenario.yaml.text import near_file


def test_a_name_in_the_wrong_case_gets_the_right_one() -> None:
    assert hint("Sgd", ["ASGD", "Adam", "SGD"]) == "; did you mean 'SGD'?"
    assert hint("ADAM", ["ASGD", "Adam", "SGD"]) == "; did you mean 'Adam'?"


def test_files_are_not_alike_only_because_their_endings_are(tmp_path: Path) -> None:
    (tmp_path / "m5.yaml").touch()
    assert near_file(tmp_path / "nope.yaml") == ""
    (tmp_path / "hope.yaml").touch()
    assert near_file(tmp_path / "nope.yaml") == f"; did you mean '{tmp_path}/hope.yaml'?"
