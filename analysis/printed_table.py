"""Prints a paper's table and its matrices of differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis import paper_forms as forms
from afl_sim.analysis.measures import measure_all
from afl_sim.analysis.paper_table import PaperTable, difference_matrix, paper_table, text_of
from afl_sim.analysis.replications import groups
from afl_sim.errors import InputError
from afl_sim.recording import Run
from afl_sim.scenario.wording import hint

if TYPE_CHECKING:
    from rich.console import Console


def print_paper_table(
    runs: Sequence[Run],
    measures: Sequence[str],
    form: str = "table",
    *,
    siunitx: bool = False,
    differences: bool = False,
    console: Console | None = None,
) -> None:
    """Print a row for each setting and a column for each chosen measure.

    Args:
        runs: of all settings.
        measures: columns of `compare`, or words of `afl_sim.analysis.paper_table.SHORT`.
        form: ``table``, ``csv``, ``markdown`` or ``latex``.
        siunitx: whether LaTeX writes numbers for the package siunitx.
        differences: print a matrix of paired differences for each measure instead.
        console: where to print; default standard output.

    Raises:
        InputError: there is no such form or measure, or siunitx is asked for without LaTeX.
    """
    from rich.console import Console

    if form not in forms.FORMS:
        raise InputError(
            f"there is no form {form!r} of a table; expected {', '.join(forms.FORMS)}"
            f"{hint(form, forms.FORMS)}"
        )
    if siunitx and form != "latex":
        raise InputError(f"--siunitx is for --format latex; got --format {form}")
    members, measured = groups(runs), measure_all(runs)
    table = paper_table(members, measures, measured)
    console = console or Console()
    if form == "table" and not differences:
        _print_table(table, console)
        return
    if not differences:
        if form == "latex":
            text = forms.to_latex(table, siunitx)
        else:
            text = forms.to_csv(table) if form == "csv" else forms.to_markdown(table)
    else:
        parts: list[str] = []
        for column in table.columns:
            matrix = difference_matrix(members, column.name, measured)
            if form == "csv":
                part = forms.matrix_to_csv(column.name, table.settings, matrix)
                part = part if not parts else part.partition("\n")[2]  # one header
            elif form == "latex":
                part = forms.matrix_to_latex(column.name, table.settings, matrix, siunitx)
            else:
                part = forms.matrix_to_markdown(column.name, table.settings, matrix)
            parts.append(part)
        text = ("" if form == "csv" else "\n").join(parts)
        if form in ("table", "markdown"):
            text += f"\n{forms.MATRIX_NOTE}\n"
    console.print(text, markup=False, highlight=False, soft_wrap=True, end="")


def _print_table(table: PaperTable, console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    shown.add_column("")
    for column in table.columns:
        shown.add_column("\n".join(forms.stacked(column.heading)), justify="right", no_wrap=True)
    for i, setting in enumerate(table.settings):
        cells = [
            Text(text_of(column.entries[i]), style="bold" if column.entries[i].best else "")
            for column in table.columns
        ]
        shown.add_row(Text(setting), *cells)
    console.print(shown)
    console.print()
    for note in forms.notes(table):
        console.print(note, markup=False, highlight=False)
