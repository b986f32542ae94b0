"""Strategies and models from elsewhere that go wrong: one clear error, and the others go on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from commands import QUICK, Command, leftovers, summary
from places import SMALLEST

from afl_sim import load_run

STRATEGIES = """
from afl_sim import Strategy


class Fails(Strategy):
    where: str = "nowhere"

    def schedule(self, server):
        server.dispatch_many(server.pick(5))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(server.pick_one())
            if self.where == "schedule" and server.version == 3:
                raise LookupError("a mistake of the author's")

    def aggregate(self, params, state, updates, context):
        return params + (params[:3] if self.where == "aggregate" else updates[0].delta), state
"""
LINE_OF = {
    "schedule": STRATEGIES.splitlines().index(
        '                raise LookupError("a mistake of the author\'s")'
    )
    + 1,
    "aggregate": len(STRATEGIES.splitlines()),
}
SWEEP = """
sweep:
  cases:
    - {label: first, set: {strategy: {kind: "foreign:Fails", where: schedule}}}
    - {label: second, set: {strategy: {kind: "foreign:Fails", where: aggregate}}}
    - {label: third, set: {strategy: {kind: "foreign:Fails"}}}
"""


def test_a_strategy_s_own_exception_is_one_error_and_the_study_goes_on(
    afl_sim: Command, tmp_path: Path
) -> None:
    (tmp_path / "foreign.py").write_text(STRATEGIES)
    (tmp_path / "study.yaml").write_text(SMALLEST.read_text() + SWEEP)
    alone = ("--set", "strategy={kind: 'foreign:Fails', where: schedule}", "--out", "alone")
    study, single = afl_sim.batch(
        [("run", "study.yaml", *QUICK, "--out", "study"), ("run", SMALLEST, *QUICK, *alone)]
    )
    place = tmp_path / "foreign.py"
    mistake = (
        "strategy foreign:Fails: schedule raised LookupError: a mistake of the author's "
        f"({place}:{LINE_OF['schedule']})"
    )
    assert (single.code, single.errors) == (1, [mistake])
    assert summary(tmp_path / "alone")["reason"] == mistake

    assert study.code == 1
    first, second, third = (line for line in study.err.splitlines() if " virtual " not in line)
    assert first == f"first: failed: {mistake}"
    assert second.startswith(
        "second: failed: strategy foreign:Fails: aggregate raised RuntimeError"
    )
    assert second.endswith(f"({place}:{LINE_OF['aggregate']})")
    assert third.startswith("third: complete in ")
    statuses = [
        load_run(tmp_path / "study" / label).status for label in ("first", "second", "third")
    ]
    assert statuses == ["failed", "failed", "complete"]
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("block", ["strategy", "model"])
def test_a_module_that_ends_the_program_when_it_is_imported_is_said_to(
    afl_sim: Command, tmp_path: Path, block: str
) -> None:
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    lines = SMALLEST.read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{block}:"))
    lines[at] = f'{block}: {{kind: "leaves:it"}}'
    (tmp_path / "wrong.yaml").write_text("\n".join(lines))
    for result in afl_sim.batch([("validate", "wrong.yaml"), ("run", "wrong.yaml")]):
        assert result.code == 2
        (message,) = result.errors
        assert message.startswith(f"wrong.yaml:{at + 1}: {block}.kind: cannot import ")
        assert "it ended the program with sys.exit(0)" in message
    assert not (tmp_path / "runs").exists()


def test_a_run_knows_the_code_of_its_own_strategy(afl_sim: Command, tmp_path: Path) -> None:
    own = tmp_path / "foreign.py"
    own.write_text(STRATEGIES)
    line = ("run", SMALLEST, "--timing-only", *QUICK, "--set", "strategy={kind: 'foreign:Fails'}")
    first, second = afl_sim.batch([line, line])
    assert first.succeeded().err.startswith("smallest: complete")
    assert second.succeeded().err == "smallest: finished before, reused\n"

    own.write_text(f"{STRATEGIES}\n# changed\n")
    place = Path(first.out.rpartition("results: ")[2].strip())
    broken = tmp_path / "broken"
    shutil.copytree(tmp_path / place, broken)
    (broken / "summary.json").unlink()
    third, refused, fourth, fifth = afl_sim.batch(
        [line, ("resume", broken), (*line, "--force"), line]
    )
    reused = "smallest: finished run reused; it was made with other code (--force runs it again)\n"
    assert third.succeeded().err == reused
    (message,) = refused.errors
    assert (refused.code, f"{broken} was started with other code" in message) == (2, True)
    assert fourth.succeeded().err.startswith("smallest: complete")
    assert fifth.succeeded().err == "smallest: finished before, reused\n"
