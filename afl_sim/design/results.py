"""What a design leaves in its folder: its index, a table of candidates, and the winner's file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from afl_sim.design.problem import Problem
from afl_sim.design.ranking import Placed, Trade
from afl_sim.design.reasons import Profile
from afl_sim.design.schedule import figures
from afl_sim.design.search import Search
from afl_sim.errors import RunFolderError
from afl_sim.recording.files import write_text
from afl_sim.scenario.sections.design import DEFAULT_SHARE

INDEX: Final = "design.json"
WINNER: Final = "winner.yaml"
TABLE: Final = "candidates.csv"
SOURCE: Final = "source.yaml"


def head(problem: Problem, identity: str) -> dict[str, Any]:
    """The part of the index that is known before anything is done."""
    design = problem.design
    return {
        "name": problem.scenario.name,
        "identity": identity,
        "status": "unfinished",
        "objective": f"{design.minimize.name} {design.minimize.target:g}",
        "constraints": [str(limit) for limit in design.constraints],
        "budget": design.budget.model_dump(exclude_none=True) or {"share": DEFAULT_SHARE},
        "seeds": design.seeds,
        "space": None if problem.space.size == float("inf") else int(problem.space.size),
    }


def whole(
    start: Mapping[str, Any],
    found: Search,
    placed: Sequence[Placed],
    other: str,
    points: Sequence[Trade],
    profiles: Sequence[Profile],
    reasons: Sequence[str],
) -> dict[str, Any]:
    """The whole index. It depends on the design alone, if its budget is in samples."""
    return {
        **start,
        "status": "complete",
        "spent": {"samples": found.spent.samples, "all_candidates": found.grid_samples},
        "rungs": [asdict(rung) for rung in found.rungs],
        "reached": bool(placed and placed[0].mean is not None),
        "ranking": [
            {
                "rank": each.rank,
                "candidate": each.entry.number,
                "title": each.entry.title,
                "settings": found.problem.space.settings(each.entry.point),
                "costs": list(each.costs),
                "mean": each.mean,
                "ratio": None if each.ratio is None else _ratio(each),
                "verdict": each.verdict,
            }
            for each in placed
        ],
        "pareto": {
            "costs": [found.goal.cost, other],
            "front": [
                {
                    "candidate": each.entry.number,
                    "title": each.entry.title,
                    "costs": list(each.costs),
                }
                for each in sorted(points, key=lambda trade: trade.costs)
                if each.on_front
            ],
        },
        "profiles": [asdict(each) for each in profiles],
        "reasons": list(reasons),
        "candidates": candidates(found),
    }


def _ratio(each: Placed) -> dict[str, float | None]:
    ratio = each.ratio
    assert ratio is not None
    known = ratio.is_known
    return {
        "mean": ratio.mean,
        "low": ratio.low if known else None,
        "high": ratio.high if known else None,
    }


def candidates(found: Search) -> list[dict[str, Any]]:
    """Every candidate, with what became of it."""
    return [
        {
            "number": entry.number,
            "title": entry.title,
            "settings": found.problem.space.settings(entry.point),
            "fate": entry.fate,
            "why": entry.why,
            "progress": list(entry.rungs),
            "schedule": None if entry.schedule is None else figures(entry.schedule),
        }
        for entry in found.entries
    ]


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The candidates as CSV: a row each, with a column for each varied key."""
    keys = list(dict.fromkeys(key for row in rows for key in row["settings"]))
    measured = list(dict.fromkeys(key for row in rows for key in row["schedule"] or ()))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["number", "title", *keys, "fate", "why", "rungs", "progress", *measured])
    for row in rows:
        values = [row["settings"].get(key) for key in keys]
        written = [json.dumps(v) if isinstance(v, dict | list) else v for v in values]
        last = row["progress"][-1] if row["progress"] else ""
        known = row["schedule"] or {}
        writer.writerow(
            [
                row["number"],
                row["title"],
                *written,
                row["fate"],
                row["why"],
                len(row["progress"]),
                last,
                *(known.get(key, "") for key in measured),
            ]
        )
    return out.getvalue()


def write_index(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``design.json``."""
    write_text(folder / INDEX, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_index(folder: Path) -> dict[str, Any] | None:
    """The content of ``design.json``; None if there is none.

    Raises:
        RunFolderError: it is damaged.
    """
    path = folder / INDEX
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read: {error}") from None
    try:
        content = json.loads(text)
    except ValueError:
        content = None
    if not isinstance(content, dict) or not {"identity", "status"} <= set(content):
        raise RunFolderError(f"{path} is damaged: it is no index of a design")
    return content


def read_index_quietly(folder: Path) -> dict[str, Any] | None:
    """As `read_index`; a damaged index counts as an empty one."""
    try:
        return read_index(folder)
    except RunFolderError:
        return {}
