"""What a notebook shows of a study."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from afl_sim.recording import Run
from afl_sim.run.html import NOTE, STYLE, table

if TYPE_CHECKING:
    import pandas as pd

_MOST: Final = 60  # rows; a notebook is no place for more
_LEFT_OUT: Final = ("updates", "in_flight", "max_staleness")
_STEADY: Final = ("warm_up", "steady_")  # how the names of measures begin that are left out


def study_html(
    folder: Path, runs: Sequence[Run], frame: pd.DataFrame, not_begun: Sequence[str]
) -> str:
    """A study's runs as a table: what varies, and its main measures.

    Args:
        folder: the study's.
        runs: its runs.
        frame: as `afl_sim.analysis.frame.runs_frame` gives it.
        not_begun: the labels of further runs.
    """
    columns = _columns(runs, frame)
    same = [(name, values[0]) for name, values in columns[1:] if len(set(values)) == 1]
    if len(runs) == 1:
        same = []
    shown = [(name, values) for name, values in columns if (name, values[0]) not in same]
    rows = [list(row) for row in zip(*(values for _, values in shown), strict=True)]
    parts = [
        STYLE,
        table(_caption(folder, runs, not_begun), [name for name, _ in shown], rows[:_MOST]),
    ]
    if len(rows) > _MOST:
        parts.append(_line(f"{len(rows) - _MOST:,} more are in study.frame"))
    if same:
        told = "; ".join(f"{name}: {value}" for name, value in same)
        parts.append(_line(f"the same in all runs: {told}"))
    return f"<div style='overflow-x:auto'>{''.join(parts)}</div>"


def _columns(runs: Sequence[Run], frame: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """Heading and written values of the columns: names, what varies, and measures."""
    from afl_sim.analysis.compared_runs import comparison, texts_of
    from afl_sim.analysis.frame import HEADINGS

    measured = frame.attrs[HEADINGS]
    chosen = [
        name
        for name in frame.columns
        if name not in (*measured, "run", "setting", "strategy", "status")
        and (name != "seed" or frame["seed"].nunique() > 1)
    ]
    settings = [(name, [_text(value) for value in frame[name]]) for name in chosen]
    compared = comparison(runs)
    few = [name for name in compared if name not in _LEFT_OUT and not name.startswith(_STEADY)]
    texts = texts_of(compared[few])
    names = [column for column in texts if column[0] in ("run", "strategy", "status")]
    return [*names, *settings, *(column for column in texts if column not in names)]


def _caption(folder: Path, runs: Sequence[Run], not_begun: Sequence[str]) -> str:
    parts = ["1 run" if len(runs) == 1 else f"{len(runs)} runs"]
    if not_begun:
        parts.append(f"not begun: {', '.join(not_begun)}")
    parts.append(str(folder))
    return f"<b>{escape(folder.name)}</b> <span style='{NOTE}'>{escape('; '.join(parts))}</span>"


def _line(text: str) -> str:
    return f"<div style='{NOTE};padding:.4em .8em'>{escape(text)}</div>"


def _text(value: Any) -> str:
    import pandas as pd

    if not isinstance(value, tuple) and pd.isna(value):
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
