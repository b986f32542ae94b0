"""What a notebook shows of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

from afl_sim.recording import Run
from afl_sim.scenario.sections.metrics import METRICS, PERSONAL

# Colours are the notebook's own, so that a dark one stays readable.
NOTE: Final = "opacity:.75"
STYLE: Final = (
    "<style>.afl-sim{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    ".afl-sim th,.afl-sim td{padding:.2em .8em;text-align:right;border:0}"
    ".afl-sim tbody th,.afl-sim td{white-space:nowrap}"
    ".afl-sim th:first-child,.afl-sim.words td{text-align:left}"
    ".afl-sim thead th{border-bottom:1px solid;vertical-align:bottom}"
    ".afl-sim th{font-weight:600}.afl-sim caption{text-align:left;padding:.2em .8em .4em}"
    "</style>"
)

_COSTS: Final = {"energy_joules": " J", "price": "", "carbon_grams": " g"}
"""The blocks of a summary that say what a run used and cost, with their units."""


def run_html(run: Run) -> str:
    """A run's summary as a table of names and values."""
    how = "timing only, " if run.timing_only else ""
    note = f"<span style='{NOTE}'>{escape(how + run.status)}</span>"
    return STYLE + table(f"<b>{escape(run.name)}</b> {note}", (), _rows(run), "words")


def table(
    caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "numbers"
) -> str:
    """A table, for which `STYLE` is to be there once.

    Args:
        caption: HTML.
        head: the headings, as text; none if empty.
        rows: the cells, as text; the first one names the row.
        kind: ``words`` are to the left, ``numbers`` to the right.
    """
    named = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    top = f"<thead><tr>{named}</tr></thead>" if head else ""
    lines = "".join(
        f"<tr><th>{escape(name)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for name, *cells in rows
    )
    body = f"<caption>{caption}</caption>{top}<tbody>{lines}</tbody>"
    return f"<table class='afl-sim {kind}'>{body}</table>"


def _rows(run: Run) -> list[tuple[str, str]]:
    """Name and value of what a run's summary says."""
    summary = run.summary
    if not summary:
        return [("strategy", run.strategy), ("folder", str(run.path))]
    updates, staleness = summary.get("updates") or {}, summary.get("staleness") or {}
    rows = [("strategy", run.strategy)]
    if summary.get("reason"):
        rows.append(("reason", str(summary["reason"])))
    rows += [
        ("virtual time", _seconds(summary.get("virtual_seconds"))),
        ("versions", _number(summary.get("versions"))),
        ("updates aggregated", _number(updates.get("aggregated"))),
        ("mean staleness", f"{_number(staleness.get('mean'))} versions"),
        ("idle fraction", _value("accuracy", summary.get("idle_fraction"))),
    ]
    final = summary.get("final") or {}
    rows += [
        (f"final {name}", _value(name, value)) for name, value in final.items() if value is not None
    ]
    rows += [
        (f"time to {goal}", "not reached" if seconds is None else _seconds(seconds))
        for goal, seconds in (_times(summary) if run.better else {}).items()
    ]
    rows += [
        (block.partition("_")[0], f"{_number((summary.get(block) or {}).get('total'))}{unit}")
        for block, unit in _COSTS.items()
        if summary.get(block)
    ]
    wall = (summary.get("wall_seconds") or {}).get("total")
    return [*rows, ("wall time", _seconds(wall)), ("folder", str(run.path))]


def _times(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """Virtual seconds to each target, by the target in words."""
    of_metrics = dict(summary.get("time_to") or {})
    of_metrics["accuracy"] = summary.get("time_to_accuracy") or {}
    return {
        f"{name} {100 * float(target):g} %" if _is_share(name) else f"{name} {target}": seconds
        for name, times in of_metrics.items()
        for target, seconds in times.items()
    }


def _is_share(metric: str) -> bool:
    measured = metric.removeprefix(PERSONAL)
    return measured in METRICS and METRICS[measured].is_share


def _value(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.2f} %" if _is_share(metric) else _number(value)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{_number(value)} s"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.1f}"
