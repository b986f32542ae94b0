"""Prints a paper's table and its matrices of differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from afl_sim.analysis import paper_forms as forms
from afl_sim.analysis.compare import check_form
from afl_sim.analysis.measures import measure_all
from afl_sim.analysis.paper_table import PaperTable, difference_matrix, paper_table, text_of
from afl_sim.analysis.replications import groups
from afl_sim.errors import InputError
from afl_sim.recording import Run

if TYPE_CHECKING:
    from rich.console import Console


def print_paper_table(
    runs: Sequence[Run],
    measures: Sequence[str],
    form: str = "table",
    *,
    siunitx: bool = False,
    differences: bool = False,
) -> None:
    """Print a row for each setting and a column for each chosen measure.

    Args:
        runs: of all settings.
        measures: columns of `compare`, or words of `afl_sim.analysis.paper_table.SHORT`.
        form: ``table``, ``csv``, ``markdown`` or ``latex``.
        siunitx: whether LaTeX writes numbers for the package siunitx.
        differences: print a matrix of paired differences for each measure instead.

    Raises:
        InputError: there is no such form or measure, or siunitx is asked for without LaTeX.
    """
    from rich.console import Console

    check_form(form)
    if siunitx and form != "latex":
        raise InputError(f"--siunitx is for --format latex; got --format {form}")
    members, measured = groups(runs), measure_all(runs)
    table = paper_table(members, measures, measured)
    console = Console()
    if form == "table" and not differences:
        _print_table(table, console)
        return
    if differences:
        matrices = {
            column.name: difference_matrix(members, column.name, measured)
            for column in table.columns
        }
        text = _matrices(matrices, table.settings, form, siunitx)
    elif form == "latex":
        text = forms.to_latex(table, siunitx)
    else:
        text = forms.to_csv(table) if form == "csv" else forms.to_markdown(table)
    console.print(text, markup=False, highlight=False, soft_wrap=True, end="")


def _matrices(
    matrices: Mapping[str, forms.Matrix], settings: Sequence[str], form: str, siunitx: bool
) -> str:
    if form == "csv":
        return forms.matrices_to_csv(matrices, settings)
    if form == "latex":
        return "\n".join(
            forms.matrix_to_latex(name, settings, matrix, siunitx)
            for name, matrix in matrices.items()
        )
    parts = [forms.matrix_to_markdown(name, settings, each) for name, each in matrices.items()]
    return "\n".join([*parts, f"{forms.MATRIX_NOTE}\n"])


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
