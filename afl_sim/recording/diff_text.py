"""Where two runs part, as text."""

from __future__ import annotations

from typing import Final

from afl_sim.recording.diff import SHOWN, Divergence, Row
from afl_sim.recording.metrics import EvaluationRow

_NAME_WIDTH: Final = 80  # of a run's name, so that a line stays within 100 characters
_NOT_METRICS: Final = frozenset(EvaluationRow._fields)


def format_divergence(divergence: Divergence | None, name_a: str = "A", name_b: str = "B") -> str:
    """Both runs at their first difference, as text. ``*`` marks the columns that differ."""
    if divergence is None:
        return "No difference: the schedules are the same, event for event, and no model differs."
    d = divergence
    name_a, name_b = (_short(name) for name in (name_a, name_b))
    lines = []
    if d.index is not None:
        lines += [
            f"The schedules differ from event {d.index} on.",
            f"  A: {name_a}",
            f"  B: {name_b}",
            "",
        ]
        table: list[tuple[str, Row | None]] = [("", row) for row in d.before]
        table += [("A", d.row_a), *(("A", row) for row in d.after_a)]
        table += [("B", d.row_b), *(("B", row) for row in d.after_b)]
        marks = {len(d.before), len(d.before) + 1 + len(d.after_a)}
        lines += _table(table, d.columns, marks)
        lines.append("")
        if d.row_a is None or d.row_b is None:
            lines.append(f"A has {d.events_a} events, B has {d.events_b}.")
        else:
            lines.append(f"They differ in {', '.join(d.columns)}.")
    else:
        lines += [
            f"The schedules are the same ({d.events_a} events); the models differ.",
            f"  A: {name_a}",
            f"  B: {name_b}",
        ]
    if d.evaluation is not None:
        lines += ["", "First evaluation that differs:"]
        lines += [
            f"  {side}: {_evaluation(row)}" for side, row in zip("AB", d.evaluation, strict=True)
        ]
    if d.model_digest_a != d.model_digest_b:
        lines += ["", f"Model digest A: {d.model_digest_a or 'no model'}"]
        lines += [f"Model digest B: {d.model_digest_b or 'no model'}"]
    if d.numerics:
        lines += ["", f"They were computed with different numerics ({d.numerics})."]
    return "\n".join(lines)


def _table(
    rows: list[tuple[str, Row | None]], columns: tuple[str, ...], marks: set[int]
) -> list[str]:
    header = ["", *(f"{name}*" if name in columns else name for name in SHOWN)]
    cells = [header]
    for index, (side, row) in enumerate(rows):
        lead = f"{'>' if index in marks else ' '} {side}".rstrip()
        if row is None:
            cells.append([lead, "(no more events)"])
        else:
            cells.append([lead, *("-" if row[name] is None else str(row[name]) for name in SHOWN)])
    whole = [line for line in cells if len(line) == len(header)]
    widths = [max(len(line[n]) for line in whole) for n in range(len(header))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in cells
    ]


def _evaluation(row: Row | None) -> str:
    if row is None:
        return "no evaluation"
    further = [name for name in row if name not in _NOT_METRICS]
    accuracy = ["accuracy"] if row["accuracy"] == row["accuracy"] or not further else []
    numbers = ", ".join(f"{name} {row[name]}" for name in (*accuracy, *further, "loss"))
    return f"version {row['version']} at {row['time_us'] / 1e6:.6f} s: {numbers}"


def _short(name: str) -> str:
    return name if len(name) <= _NAME_WIDTH else "..." + name[3 - _NAME_WIDTH :]
