"""A reproduction says whether its runs have the digests of the kept ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny import write_target

from afl_sim.papers.agreement import agreement, arithmetic
from afl_sim.papers.pages import notes
from afl_sim.papers.results import Results
from afl_sim.papers.target import Target, load_target


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return load_target(write_target(tmp_path))


def results(*runs: dict[str, Any]) -> Results:
    made = {
        "date": "2026-01-01", "code": "c", "command": "afl-sim", "minutes": 1.0,
        "machine": "x86_64", "torch": "2.14.1",
    }  # fmt: skip
    ran = {"cut": "", "minutes": 1.0, "runs": list(runs)}
    return Results("tiny", "small", made, {"rounds": ran}, {}, {}, {})


def run(label: str, model: str | None = "a" * 64, **more: str) -> dict[str, Any]:
    return {
        "label": label, "status": "complete", "schedule_digest": "5" * 64, "model_digest": model
    } | more  # fmt: skip


def kept(target: Target, found: Results) -> None:
    target.results("small").parent.mkdir(exist_ok=True)
    found.write(target.results("small"))


def test_without_kept_results_there_is_nothing_to_compare(target: Target) -> None:
    assert agreement(target, results(run("r0"))) is None


def test_runs_that_agree_say_so(target: Target) -> None:
    portable = results(run("r0", bits="portable"), run("r1", bits="portable"))
    kept(target, portable)
    line = agreement(target, portable)
    assert line is not None
    assert line.endswith(" of 2 runs as published")


def test_kept_results_that_do_not_say_are_of_native_runs(target: Target) -> None:
    kept(target, results(run("r0"), run("r1")))
    here = results(run("r0", bits="portable"), run("r1", "b" * 64, bits="portable"))
    line = agreement(target, here)
    assert line is not None
    assert "differs from the published one" in line
    assert "(rounds/r1); all schedules are as published, but the published one is native" in line


def test_only_runs_that_are_kept_are_compared(target: Target) -> None:
    kept(target, results(run("r0"), run("r9")))
    assert agreement(target, results(run("r0"), run("r1"))) == "digest aaaaaaaaaaaa as published"
    assert agreement(target, results(run("r1"))) is None
    broken_off = {**run("r0"), "schedule_digest": None}
    assert agreement(target, results(broken_off)) is None


def test_the_notes_say_in_which_arithmetic_the_models_were_trained(target: Target) -> None:
    portable = run("r1", bits="portable")
    assert arithmetic(results(run("r0", None))) == ""
    assert "Arithmetic: native." in notes(target, results(run("r0")))
    assert "Arithmetic: portable." in notes(target, results(portable))
    mixed = results(run("r0"), portable)
    assert arithmetic(mixed) == "Arithmetic: native in 1 of 2 runs, portable in the others."
