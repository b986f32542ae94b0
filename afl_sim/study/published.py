"""Digests that were published with the built-in scenarios, and how runs compare with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from afl_sim.recording import Run
from afl_sim.recording.digests import Digests, digests_of, verdict
from afl_sim.scenario.bundled import scenario_folder

FILE = "published.json"


def published_file() -> Path:
    """Where the digests are: beside the scenarios."""
    return scenario_folder() / FILE


def published_line(runs: Iterable[Run]) -> str | None:
    """One line that compares finished runs with those that were published; None if none was.

    A run is found by the identity of its scenario, so that one with changed settings is not
    compared.
    """
    known = _by_identity(published_file())
    pairs: dict[str, tuple[Digests, Digests]] = {}
    for run in runs:
        here = digests_of(run.summary)
        there = known.get(str(run.manifest.get("scenario_id")))
        if here is not None and there is not None:
            pairs[run.label] = here, there
    return verdict(pairs) if pairs else None


@cache
def _by_identity(path: Path) -> Mapping[str, Digests]:
    """The published digests by the identity of the scenario; empty if there is no file."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return {
        case["scenario"]: Digests(
            case["schedule_digest"], case["model_digest"], case["bits"] or "native"
        )
        for entry in content.values()
        for case in entry["cases"].values()
    }
