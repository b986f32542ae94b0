"""The table that compares runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from afl_sim.analysis import tables
from afl_sim.analysis.measures import MEASURES, Measured, has_ended, measure_all, measure_of
from afl_sim.analysis.metrics import ACCURACY, FINAL, TO_TARGET, order_of
from afl_sim.analysis.replications import told_apart
from afl_sim.recording import Run

if TYPE_CHECKING:
    import pandas as pd

NOT_REACHED: Final = "not reached"
NOT_BEGUN: Final = "not begun"
NAMES: Final = {"run": "run", "strategy": "strategy", "status": "status"}
_ASKED: Final = "asked"


def comparison(
    runs: Sequence[Run], measured: Measured | None = None, not_begun: Sequence[str] = ()
) -> pd.DataFrame:
    """One row per run, in the runs' order; then one for each label of a run that has not begun.

    Columns: ``run`` (label), ``strategy``, ``status``, ``seconds_to_<target>`` for every target of
    accuracy and ``seconds_to_<metric>_<target>`` for every other target of any run (virtual
    seconds; missing where it was not reached or not asked for), and the columns of
    `afl_sim.analysis.measures.MEASURES`. Other metrics follow the final accuracy, which is left
    out if runs measure other metrics only, or if none of them trains. A run that has not ended has
    its names only.
    ``frame.attrs`` holds under ``asked`` which of the finished runs have which targets.
    """
    import pandas as pd

    found = rows_of(runs, measured or measure_all(runs), not_begun)
    frame = pd.DataFrame(found.columns)
    for name in frame.columns.difference(list(NAMES)):
        frame[name] = frame[name].astype("Int64" if measure_of(name).whole else "float64")
    frame.attrs[_ASKED] = found.asked
    return frame


@dataclass(frozen=True)
class Rows:
    """A comparison, as `comparison` describes it.

    Attributes:
        columns: by name, a value for each run; None where there is none.
        asked: of each target, the runs that have it.
    """

    columns: Mapping[str, Sequence[Any]]
    asked: Mapping[str, Sequence[str]]


def rows_of(runs: Sequence[Run], measured: Measured, not_begun: Sequence[str] = ()) -> Rows:
    names = {name for row in measured.values() for name in row if name.startswith(TO_TARGET)}
    targets = sorted(names, key=order_of)
    labels, nothing = _labels(runs), [None] * len(not_begun)
    columns: dict[str, Sequence[Any]] = {
        "run": [*labels, *not_begun],
        "strategy": [*(run.strategy for run in runs), *("" for _ in not_begun)],
        "status": [*(run.status for run in runs), *(NOT_BEGUN for _ in not_begun)],
    }
    for name in (*targets, *_measures(runs, measured)):
        columns[name] = [*(measured[run.path].get(name) for run in runs), *nothing]
    asked = {
        name: [
            label
            for run, label in zip(runs, labels, strict=True)
            if name in measured[run.path] and has_ended(run)
        ]
        for name in targets
    }
    return Rows(columns, asked)


def _measures(runs: Sequence[Run], measured: Measured) -> list[str]:
    """The columns after the targets, in order."""
    further = dict.fromkeys(
        name
        for row in measured.values()
        for name in row
        if name not in MEASURES and not name.startswith(TO_TARGET)
    )
    known = {metric for run in runs for metric in run.better}
    # What a run will measure that has not ended is not known yet.
    open_yet = not known and not all(run.timing_only for run in runs)
    accuracy = [f"{FINAL}{ACCURACY}"] if ACCURACY in known or open_yet else []
    others = [name for name in MEASURES if name != f"{FINAL}{ACCURACY}"]
    return [*accuracy, *further, *others]


def texts_of(table: pd.DataFrame | Rows) -> tables.Texts:
    """Heading and written values of each column of a comparison worth showing."""
    if isinstance(table, Rows):
        columns, every = table.columns, table.asked
    else:
        columns, every = {name: list(table[name]) for name in table}, table.attrs.get(_ASKED, {})
    runs, statuses = columns["run"], columns["status"]
    shown: tables.Texts = []
    for name, values in columns.items():
        if name in NAMES:
            begun = [row for row, status in enumerate(statuses) if status != NOT_BEGUN]
            if name == "strategy" and all(values[row] == runs[row] for row in begun):
                continue
            if name == "status" and all(value == "complete" for value in values):
                continue
            shown.append((NAMES[name], [str(value) or "-" for value in values]))
            continue
        measure = measure_of(name)
        if name.startswith(TO_TARGET):
            asked = every.get(name, ())
            texts = [
                measure.text(value, NOT_REACHED if run in asked else "-")
                for value, run in zip(values, runs, strict=True)
            ]
        else:
            texts = [measure.text(value) for value in values]
        shown.append((measure.heading, texts))
    return shown


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' labels; where two are the same, their folders tell them apart."""
    return told_apart([run.label for run in runs], [run.path for run in runs])
