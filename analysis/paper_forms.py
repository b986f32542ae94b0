"""A paper's table and its matrices of differences as text: Markdown, LaTeX (booktabs) and CSV."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from afl_sim.analysis import tables
from afl_sim.analysis.measures import measure_of
from afl_sim.analysis.metrics import TIME_TO
from afl_sim.analysis.paper_table import (
    Entry,
    PaperTable,
    count_of,
    text_of,
)
from afl_sim.analysis.rounding import is_symmetric, rounded
from afl_sim.analysis.statistics import Interval

Matrix = Sequence[Sequence[Interval | None]]


def notes(table: PaperTable) -> list[str]:
    """What the reader of the table has to know, one sentence each."""
    runs = {entry.runs for column in table.columns for entry in column.entries}
    count = str(runs.pop()) if len(runs) == 1 else "several"
    found = [
        f"Means over {count} replications, with half of Student's 95 % interval."
        if count != "1"
        else "Single runs, without an interval."
    ]
    if any(entry.best for column in table.columns for entry in column.entries):
        found.append(
            "Bold: better than every other setting; the 95 % interval of each paired difference "
            "excludes 0."
        )
    if any(_is_logit(entry.interval) for column in table.columns for entry in column.entries):
        found.append(
            "Brackets: the interval of a share that would go beyond 0 or 100 %, computed on the "
            "logit scale."
        )
    for column in table.columns:
        if column.until is not None:
            until = rounded(Interval(column.until, math.nan, math.nan, 1))
            all_of_them, why = (
                ("times", "when the first of them ended")
                if column.name.startswith(TIME_TO)
                else ("amounts", "the least that one of them used")
            )
            found.append(
                f"{_name(column.heading)}: some runs did not reach it, so that all {all_of_them} "
                f"are restricted to {until}{_unit(column.heading)}, {why} (restricted mean)."
            )
    found += [f"The same in all settings: {heading} {text}." for heading, text in table.constant]
    return found


def to_markdown(table: PaperTable) -> str:
    """The table in Markdown, followed by its notes."""
    rows = [
        [
            tables.escaped_markdown(setting),
            *(_bold_markdown(column.entries[i]) for column in table.columns),
        ]
        for i, setting in enumerate(table.settings)
    ]
    header = ["setting", *(tables.escaped_markdown(column.heading) for column in table.columns)]
    return tables.markdown_table(header, rows) + "\n" + "\n".join(notes(table)) + "\n"


def to_latex(table: PaperTable, siunitx: bool = False) -> str:
    r"""A ``tabular`` for booktabs, as narrow as it can be; its notes are comments.

    Args:
        table: what to write.
        siunitx: whether numbers are written as ``\num{412 \pm 35}``.
    """

    def cell(entry: Entry) -> str:
        number = _latex_number(siunitx)(rounded(entry.interval)) + count_of(entry)
        return _bold_latex(number, siunitx) if entry.best else number

    rows = [
        [tables.escaped_latex(setting), *(cell(column.entries[i]) for column in table.columns)]
        for i, setting in enumerate(table.settings)
    ]
    heads = _stacked(["", *(column.heading for column in table.columns)])
    return _latex(heads, rows, [*notes(table), *_SETUP[siunitx]])


def to_csv(table: PaperTable) -> str:
    """A row for each setting and measure, in full precision.

    Columns: ``setting``, ``measure``, ``mean``, ``low``, ``high`` (95 %), ``n``, ``reached`` (of
    what was used up to a target), ``restricted_to`` (in the unit of the measure), ``best``.
    """
    import pandas as pd

    rows = [
        {
            "setting": setting,
            "measure": column.heading,
            **_numbers("mean", column.entries[i].interval),
            "reached": column.entries[i].reached,
            "restricted_to": column.until,
            "best": str(column.entries[i].best).lower(),
        }
        for i, setting in enumerate(table.settings)
        for column in table.columns
    ]
    frame = pd.DataFrame(rows, columns=_CSV_COLUMNS)
    return tables.to_csv(frame.astype({"reached": "Int64"}))


def matrix_to_markdown(name: str, settings: Sequence[str], matrix: Matrix) -> str:
    """The paired differences of a measure: each row less each column."""
    rows = [
        [tables.escaped_markdown(setting), *map(_difference_markdown, line)]
        for setting, line in zip(settings, matrix, strict=True)
    ]
    header = [_matrix_head(name), *map(tables.escaped_markdown, settings)]
    return tables.markdown_table(header, rows)


def matrix_to_latex(
    name: str, settings: Sequence[str], matrix: Matrix, siunitx: bool = False
) -> str:
    """The paired differences of a measure as a ``tabular``: each row less each column."""
    number = _latex_number(siunitx)

    def cell(found: Interval | None) -> str:
        if found is None:
            return ""
        text = number(rounded(found))
        return _bold_latex(text, siunitx) if _excludes_zero(found) else text

    rows = [
        [tables.escaped_latex(setting), *map(cell, line)]
        for setting, line in zip(settings, matrix, strict=True)
    ]
    about = f"{_matrix_head(name).capitalize()}."
    return _latex(_stacked(["", *settings]), rows, [about, MATRIX_NOTE, *_SETUP[siunitx]])


def matrices_to_csv(matrices: Mapping[str, Matrix], settings: Sequence[str]) -> str:
    """A row for each measure and pair.

    Columns: ``measure``, ``a``, ``b``, ``difference`` (of a less b), ``low``, ``high``, ``n``.
    """
    import pandas as pd

    rows = [
        {
            "measure": measure_of(name).heading,
            "a": a,
            "b": b,
            **_numbers("difference", found),
        }
        for name, matrix in matrices.items()
        for a, line in zip(settings, matrix, strict=True)
        for b, found in zip(settings, line, strict=True)
        if found is not None
    ]
    return tables.to_csv(pd.DataFrame(rows, columns=_CSV_OF_PAIRS))


_CSV_COLUMNS: Final = (
    "setting",
    "measure",
    "mean",
    "low",
    "high",
    "n",
    "reached",
    "restricted_to",
    "best",
)
_CSV_OF_PAIRS: Final = ("measure", "a", "b", "difference", "low", "high", "n")
_HEADING: Final = 11  # characters in a line of a heading
_SETUP: Final = {
    False: (r"Needs \usepackage{booktabs}.",),
    True: (
        r"Needs \usepackage{booktabs,siunitx} and "
        r"\sisetup{separate-uncertainty, text-series-to-math, propagate-math-font}.",
    ),
}
MATRIX_NOTE: Final = (
    "Row less column: mean of the paired differences, with half of Student's 95 % interval. Bold: "
    "the interval excludes 0."
)


def _matrix_head(name: str) -> str:
    return f"difference in {measure_of(name).heading}"


def _excludes_zero(found: Interval) -> bool:
    return found.is_known and (found.low > 0 or found.high < 0)


def _difference_markdown(found: Interval | None) -> str:
    if found is None:
        return ""
    text = rounded(found)
    return f"**{text}**" if _excludes_zero(found) else text


def _bold_markdown(entry: Entry) -> str:
    text = text_of(entry)
    return f"**{text}**" if entry.best else text


def _latex_number(siunitx: bool) -> Callable[[str], str]:
    def number(text: str) -> str:
        if text == "-":
            return "--"
        inner = text.replace("±", r"\pm")
        if "[" in text:  # siunitx knows no interval
            return f"${inner}$"
        return rf"\num{{{inner}}}" if siunitx else f"${inner}$"

    return number


def _is_logit(found: Interval) -> bool:
    return found.is_known and not is_symmetric(found)


def _bold_latex(text: str, siunitx: bool) -> str:
    # Without siunitx numbers are formulas, which \textbf leaves as they are.
    return rf"\textbf{{{text}}}" if siunitx else rf"{{\boldmath {text}}}"


def _name(heading: str) -> str:
    """A heading without its unit."""
    return heading.rpartition(" (")[0] or heading


def _unit(heading: str) -> str:
    """The unit of a heading, as it follows a number; a price has none."""
    unit = heading.removeprefix(_name(heading)).strip(" ()")
    return f" {unit}" if unit else ""


def _stacked(headings: Sequence[str]) -> list[list[str]]:
    """Headings in several short lines, each a row of the table, so that columns are narrow."""
    broken = list(map(stacked, headings))
    height = max(map(len, broken))
    padded = [[""] * (height - len(lines)) + lines for lines in broken]
    return [[tables.escaped_latex(lines[row]) for lines in padded] for row in range(height)]


def stacked(heading: str) -> list[str]:
    """A heading in several short lines."""
    return textwrap.wrap(heading, _HEADING, break_long_words=False, break_on_hyphens=False)


def _latex(
    heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]], remarks: Sequence[str]
) -> str:
    comments = "".join(f"% {remark}\n" for remark in remarks)
    return comments + tables.latex_table(f"@{{}}l{'r' * (len(heads[0]) - 1)}@{{}}", heads, rows)


def _numbers(name: str, found: Interval) -> dict[str, float]:
    return {name: found.mean, "low": found.low, "high": found.high, "n": found.n}
