"""docs/runs.md names all that a run records."""

from __future__ import annotations

import re

from places import ROOT, SMALLEST

from afl_sim.run.api import load_scenario, simulate
from afl_sim.world.event_kinds import KIND_NAMES

PAGE = (ROOT / "docs" / "runs.md").read_text()


def section(title: str) -> set[str]:
    """The words in code that a section of the page has."""
    text = PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"`([\w.]+)/?`", text))


def test_every_key_column_and_kind_is_explained() -> None:
    settings = ["stop.updates=5", "evaluation.samples=10", "model=logistic"]
    run = simulate(load_scenario(SMALLEST, settings))
    assert set(run.summary) <= section("summary.json")
    assert set(run.summary["updates"]) <= section("summary.json")
    assert set(run.events.columns) | set(KIND_NAMES) <= section("events.parquet")
    assert set(run.metrics.columns) <= section("metrics.parquet")
    others = section("The others") | {"summary.json", "events.parquet", "metrics.parquet"}
    assert {path.name for path in run.path.iterdir()} <= others
