"""`theory`: oracles by name, their verdicts, and the page."""

from __future__ import annotations

from pathlib import Path

from commands import Command


def test_oracles_are_measured_by_name_and_written_as_a_page(
    afl_sim: Command, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    named, unknown = afl_sim.batch(
        [("theory", "rounds.uniform", "rounds.first", "--out", str(page)), ("theory", "rouns")]
    )
    lines = named.succeeded().out.splitlines()
    assert [line.split()[:2] for line in lines[:-2]] == [
        ["holds", "rounds.uniform"],
        ["holds", "rounds.first"],
    ]
    assert lines[-1] == "all 2 comparisons hold: the simulator agrees with the exact results"
    assert page.read_text().count("| holds | `afl-sim theory rounds.") == 2
    assert unknown.code == 2
    assert "did you mean 'rounds'?" in unknown.errors[0]
