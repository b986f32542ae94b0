"""`afl-sim run` ends with a line that compares its digests with the published ones."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

from commands import Command, digests, summary
from places import ROOT

TINY = """\
name: tiny
seed: 4
data: {partition: {kind: iid, samples: 20}}
model: logistic
clients: {count: 3, compute: {seconds_per_task: {dist: expon}}}
strategy: {kind: fedasync, concurrency: 2}
evaluation: {samples: 50}
stop: {updates: 4}
sweep: {training.batch_size: [5, 20]}
"""
LINES = """
import sys, json
from dataclasses import replace
from pathlib import Path
from afl_sim import cli
from afl_sim.analysis.registry import FIGURES
from afl_sim.analysis.usable import CannotDraw
from afl_sim.study import published
published.published_file = lambda: Path("published.json")
def absent(runs, **options):
    raise CannotDraw("it takes its time")
for name in FIGURES.keys() - {"accuracy"}:
    FIGURES[name] = replace(FIGURES[name], own=absent)
for line in json.loads(sys.stdin.read()):
    sys.argv = ["afl-sim", *line]
    try:
        cli.main()
    except SystemExit as ending:
        assert not ending.code, ending.code
    print("=====")
"""


def published(folder: Path) -> dict[str, Any]:
    """What is published of the runs in a folder."""
    cases = {}
    for run in sorted(path.parent for path in folder.glob("*/summary.json")):
        schedule, model = digests(run)
        cases[run.name] = {
            "scenario": json.loads((run / "manifest.json").read_text())["scenario_id"],
            "bits": summary(run)["numerics"].get("bits", "native"),
            "schedule_digest": schedule,
            "model_digest": model,
        }
    assert len(cases) == 2
    return {"tiny": {"date": "2026-01-01", "processor": "any", "cases": cases}}


def last_lines(command: Command, *lines: tuple[str, ...]) -> list[str]:
    """The last line that each of some command lines prints."""
    done = command.forked(LINES, json.dumps(lines)).succeeded()
    return [text.strip().splitlines()[-1] for text in done.out.split("=====\n")[:-1]]


def test_a_run_says_whether_its_digests_are_the_published_ones(afl_sim: Command) -> None:
    folder = afl_sim.folder
    (folder / "tiny.yaml").write_text(TINY)
    (none,) = last_lines(afl_sim, ("run", "tiny.yaml", "--out", "study"))
    assert none == "results: study"  # nothing is published
    kept = published(folder / "study")
    (folder / "published.json").write_text(json.dumps(kept))
    again, plot, finished, timing, changed = last_lines(
        afl_sim,
        ("run", "tiny.yaml", "--out", "again"),
        ("run", "tiny.yaml", "--out", "again", "--resume", "--plot"),  # as `make demo` does
        ("resume", f"again/{next(iter(kept['tiny']['cases']))}"),
        ("run", "tiny.yaml", "--out", "timing", "--timing-only"),
        ("run", "tiny.yaml", "--out", "changed", "--set", "stop.updates=5"),
    )
    assert again.endswith(" of 2 runs as published")
    assert again == plot
    assert finished.startswith("digest ")
    assert finished.endswith(" as published")
    assert timing.startswith("schedule digest ")
    assert timing.endswith(" of 2 runs as published")
    assert changed == "results: changed"
    (name, *_) = kept["tiny"]["cases"]
    kept["tiny"]["cases"][name]["model_digest"] = "0" * 64
    (folder / "published.json").write_text(json.dumps(kept))
    (differs,) = last_lines(afl_sim, ("run", "tiny.yaml", "--out", "again", "--resume"))
    assert " of 2 runs differs from the published one: " in differs
    assert f"({name}); all schedules are as published" in differs


def test_the_published_digests_are_of_the_scenarios_as_they_are(monkeypatch: Any) -> None:
    """Where a scenario was meant to change: python docs/publish.py NAME"""
    monkeypatch.syspath_prepend(ROOT / "docs")
    publish = runpy.run_path(str(ROOT / "docs" / "publish.py"))
    assert publish["stale"]() == []
