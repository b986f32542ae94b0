"""Numeric comparison of runs, printed and written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from afl_sim.analysis import tables
from afl_sim.analysis.compared_runs import NAMES, comparison, rows_of, texts_of
from afl_sim.analysis.intervals import differences, interval_cell, intervals, sentences
from afl_sim.analysis.measures import (
    Measured,
    measure_all,
    measure_of,
)
from afl_sim.analysis.replications import groups
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.recording.files import make_folder, write_text
from afl_sim.recording.fingerprints import REASON

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

FORMATS: Final = ("table", "csv", "markdown", "latex")
_FOLD: Final = 30  # longer names go on in the next line


@dataclass(frozen=True)
class OverSeeds:
    """Settings over their replications; see `afl_sim.analysis.intervals`."""

    intervals: pd.DataFrame
    differences: pd.DataFrame


def print_comparison(
    runs: Sequence[Run],
    folder: Path | None = None,
    console: Console | None = None,
    form: str = "table",
    not_begun: Sequence[str] = (),
) -> pd.DataFrame:
    """Print a comparison: a row for each figure, a column for each run.

    Runs that differ in their seed only share a column of means and intervals, and differences
    between settings follow as sentences. Where the columns do not fit the console's width, further
    tables follow.

    Args:
        folder: also write the comparison's files there; see `write_comparison`.
        console: where to print; default standard output.
        form: ``table``, or one of ``csv``, ``markdown``, ``latex`` to print the runs as such.
        not_begun: labels of further runs, which a study was to have and has not begun.

    Returns:
        The table, as `comparison` gives it.

    Raises:
        InputError: there is no such form, or the folder cannot be made.
    """
    measured = measure_all(runs)
    print_runs(runs, folder, console, form, not_begun, measured)
    return comparison(runs, measured, not_begun)


def print_runs(
    runs: Sequence[Run],
    folder: Path | None = None,
    console: Console | None = None,
    form: str = "table",
    not_begun: Sequence[str] = (),
    measured: Measured | None = None,
) -> None:
    """Print what `print_comparison` prints.

    Args:
        runs, folder, console, form, not_begun: as for `print_comparison`.
        measured: the measures of the runs, if they are known.
    """
    from rich.console import Console

    check_form(form)
    measured = measured or measure_all(runs)
    rows = rows_of(runs, measured, not_begun)
    seeds = over_seeds(runs, measured, rows.columns)
    console = console or Console()
    if folder is not None or form != "table":
        frame = comparison(runs, measured, not_begun)
        if folder is not None:
            write_comparison(frame, folder, seeds)
        if form != "table":
            text = _written(frame, texts_of(frame))[form]
            console.print(text, markup=False, highlight=False, soft_wrap=True, end="")
            return
    if seeds is None:
        _print_columns(console, texts_of(rows))
    else:
        _print_columns(console, interval_texts(seeds.intervals))
        if not_begun:
            text = f"Not begun: {', '.join(not_begun)}."
            console.print(text, markup=False, highlight=False)
        console.print("Means over replications with Student's 95 % interval.\n", highlight=False)
        lines = sentences(seeds.differences)
        for line in lines:
            console.print(line, markup=False, highlight=False)
        if len(lines) > 1:
            console.print(
                "Each interval is valid by itself; they are not corrected for multiple comparisons."
            )
        console.print()
    mixed = mixed_numerics(runs)
    if mixed:
        console.print(f"{mixed}\n", markup=False, highlight=False)


def check_form(form: str) -> None:
    """Refuse a form that a comparison cannot be printed in.

    Raises:
        InputError: there is no such form.
    """
    if form not in FORMATS:
        raise InputError(f"there is no form {form!r} of a comparison; expected {_listed(FORMATS)}")


def mixed_numerics(runs: Sequence[Run]) -> str:
    """A sentence on differences in the arithmetic of the runs; empty if there are none.

    Runs of different numerics classes are meant to differ, so each class counts by itself. What an
    older run did not record is not counted.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        entries = {} if run.timing_only else run.summary.get("numerics") or {}
        for name, value in entries.items():
            if name == REASON:
                continue
            found.setdefault((str(entries.get("class")), name), set()).add(str(value))
    differing = {name: values for (_, name), values in found.items() if len(values) > 1}
    if not differing:
        return ""
    what = "; ".join(f"{name}: {', '.join(sorted(values))}" for name, values in differing.items())
    return (
        "Some of these runs may differ in their last digits only because of their arithmetic "
        f"({what})."
    )


def write_comparison(
    frame: pd.DataFrame, folder: Path, seeds: OverSeeds | None = None
) -> tuple[Path, ...]:
    """Write a comparison as CSV (full precision), Markdown and LaTeX (booktabs).

    ``comparison.*`` has a row for each run. Of several seeds, ``intervals.*`` has a row for each
    setting (in CSV: and measure), and ``differences.*`` the paired differences.

    Returns:
        The paths written.

    Raises:
        InputError: the folder cannot be made.
    """
    make_folder(folder)
    contents = {"comparison": _written(frame, texts_of(frame))}
    if seeds is not None:
        found = seeds.intervals
        contents["intervals"] = _written(found, interval_texts(found))
        found = seeds.differences
        if len(found):
            contents["differences"] = _written(found, [("difference", list(found["sentence"]))])
    paths = []
    for stem, forms in contents.items():
        for form, suffix in (("csv", "csv"), ("markdown", "md"), ("latex", "tex")):
            paths.append(folder / f"{stem}.{suffix}")
            write_text(paths[-1], forms[form])
    return tuple(paths)


def _written(frame: pd.DataFrame, texts: tables.Texts) -> dict[str, str]:
    return {
        "csv": tables.to_csv(frame),
        "markdown": tables.to_markdown(texts),
        "latex": tables.to_latex(texts),
    }


def over_seeds(runs: Sequence[Run], measured: Measured, columns: Iterable[str]) -> OverSeeds | None:
    """Runs by setting, over their seeds; None where no two runs differ in their seed only."""
    members = groups(runs)
    if all(len(group.runs) == 1 for group in members):
        return None
    names = [name for name in columns if name not in NAMES]
    return OverSeeds(intervals(members, names, measured), differences(members, measured))


def interval_texts(found: pd.DataFrame) -> tables.Texts:
    """A row for each setting, with the interval of each measure."""
    settings = found.drop_duplicates("setting")
    complete = [f"{row.complete} of {row.runs}" for row in settings.itertuples()]
    shown: tables.Texts = [
        ("setting", settings["setting"].tolist()),
        ("runs complete", complete),
    ]
    for name in found["measure"].unique():
        rows = found[found["measure"] == name].to_dict("records")
        shown.append((measure_of(name).heading, [interval_cell(row) for row in rows]))
    return shown


def _listed(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _print_columns(console: Console, texts: tables.Texts) -> None:
    headings = [heading for heading, _ in texts[1:]]
    names, columns = texts[0][1], [values for _, values in texts[1:]]
    width = max(map(len, headings)) + 2
    first = 0
    while first < len(names):
        last, used = first, width
        while last < len(names):
            cells = [names[last][:_FOLD], *(values[last] for values in columns)]
            used += max(map(len, cells)) + 2
            if used > console.width and last > first:
                break
            last += 1
        _print_block(console, headings, names[first:last], [v[first:last] for v in columns])
        first = last


def _print_block(
    console: Console, headings: Sequence[str], names: Sequence[str], columns: Sequence[list[str]]
) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("")
    for name in names:
        table.add_column(Text(name, overflow="fold"), justify="right", overflow="fold")
    for heading, values in zip(headings, columns, strict=True):
        table.add_row(heading, *(Text(value) for value in values))
    console.print(table)
    console.print()
