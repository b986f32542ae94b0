"""Commands that read the results of runs: plot, report, compare, diff."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from afl_sim.cli.app import app
from afl_sim.cli.importing import importing
from afl_sim.cli.options import OrderOption, RunsArgument, SettingsOption

MOST_PAGES: Final = 20
"""Largest number of runs for which the report of a study makes pages by default."""


@app.command()
def plot(
    runs: RunsArgument,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            help="Draw only this figure: a name, or package.module:function for your own; can be "
            "given several times."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures.")] = None,
    formats: Annotated[
        str | None,
        typer.Option("--format", help="png, pdf, svg, separated by commas.", show_default="png"),
    ] = None,
    style: Annotated[
        str | None,
        typer.Option(
            help="Size and colours: paper, column (one of two columns), slides or dark.",
            show_default="paper",
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            "--x",
            help="What curves are drawn against: time, versions, updates, samples, bytes, energy, "
            "price or carbon.",
        ),
    ] = None,
    xlim: Annotated[
        str | None,
        typer.Option(
            metavar="LOW,HIGH", help="Limits of the horizontal axis; either may be left out."
        ),
    ] = None,
    ylim: Annotated[
        str | None, typer.Option(metavar="LOW,HIGH", help="Limits of the vertical axis.")
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(help="x or y: this axis is logarithmic; can be given several times."),
    ] = None,
    settings: SettingsOption = None,
    order: OrderOption = None,
    title: Annotated[
        str | None, typer.Option(help="A title above the figure; none: no title at all.")
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(metavar="LENGTH", help="Width in mm, cm, in or pt (of LaTeX), such as 84mm."),
    ] = None,
    height: Annotated[
        str | None, typer.Option(metavar="LENGTH", help="Height of the whole figure.")
    ] = None,
) -> None:
    """Draw figures of runs and studies; `afl-sim list figures` describes them.

    Without options, the blocks `figure:` of the scenario are drawn, or all figures if there are
    none. Options override the blocks.
    """
    from afl_sim.recording import load_runs
    from afl_sim.recording.study_index import not_begun

    found, absent = load_runs(runs), not_begun(runs)
    if absent:
        print(f"not begun: {', '.join(absent)}")
    words: dict[str, Any] = {"x": x, "xlim": xlim, "ylim": ylim, "title": title}
    words |= {"width": width, "height": height, "style": style}
    several = {"log": log, "settings": settings, "order": order}
    several["format"] = None if formats is None else [formats]
    draw_figures(found, out or figures_folder(runs[0]), figure, words, several)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Run or study folders.")],
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default report.html in the folder.")
    ] = None,
    each: Annotated[
        bool | None,
        typer.Option(
            "--runs/--no-runs",
            help="Also write a page for each run of a study; default if there are at most 20 runs.",
            show_default=False,
        ),
    ] = None,
    settings: SettingsOption = None,
    order: OrderOption = None,
) -> None:
    """Write report.html for runs and studies; the page of a study links to those of its runs."""
    from afl_sim.errors import InputError
    from afl_sim.recording import load_runs
    from afl_sim.recording.study_index import is_single_run

    if out is not None and len(folders) > 1:
        raise InputError("--out names a single file, so it needs exactly one run or study")
    for folder in folders:
        shown = runs_chosen(load_runs([folder]), settings, order)
        write_report(folder, shown, not is_single_run(folder), out, each)


def write_report(
    folder: Path,
    runs: list[Any],
    is_study: bool,
    out: Path | None = None,
    each: bool | None = None,
) -> None:
    """Write the page of a run, or of a study and, by default, of few runs.

    Args:
        each: whether a study's runs get pages of their own; None: if they are at most 20.
    """
    with importing():
        from afl_sim.analysis.report import REPORT, command, write_run_report, write_study_report
        from afl_sim.recording.files import make_folder
        from afl_sim.recording.study_index import not_begun

    path = out or folder / REPORT
    make_folder(path.parent)
    if not is_study:
        write_run_report(runs[0], path)
    else:
        each = len(runs) <= MOST_PAGES if each is None else each
        for run in runs if each else ():
            write_run_report(run, study=path)
        write_study_report(folder.resolve().name, runs, path, folder, not_begun([folder]))
        if not each:
            print(f"pages of its {len(runs):,} runs: {command('--runs', folder)}")
    print(f"report: {path}")


@app.command()
def compare(
    runs: RunsArgument,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder to which the tables are also written, as CSV, Markdown and LaTeX."
        ),
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="Format of the output: table, csv, markdown or latex.")
    ] = "table",
    measures: Annotated[
        str | None,
        typer.Option(
            help="A table for a paper: a row for each setting and these measures, separated by "
            "commas, such as time_to_accuracy,final,staleness.",
        ),
    ] = None,
    differences: Annotated[
        bool,
        typer.Option(
            "--differences", help="With --measures: the paired differences of all settings."
        ),
    ] = False,
    siunitx: Annotated[
        bool,
        typer.Option("--siunitx", help="With --measures: LaTeX numbers for the package siunitx."),
    ] = False,
    settings: SettingsOption = None,
    order: OrderOption = None,
) -> None:
    """Print a table that compares runs, with intervals if there are replications."""
    with importing():
        from afl_sim.analysis.compare import print_runs
        from afl_sim.analysis.printed_table import print_paper_table
        from afl_sim.errors import InputError
        from afl_sim.recording import load_runs
        from afl_sim.recording.study_index import not_begun

    if measures is not None:
        if out is not None:
            raise InputError("--out is for the whole comparison; with --measures use > FILE")
        words = [word.strip() for word in measures.split(",") if word.strip()]
        shown = runs_chosen(load_runs(runs), settings, order)
        print_paper_table(shown, words, form, siunitx=siunitx, differences=differences)
        return
    for name, given in (("--differences", differences), ("--siunitx", siunitx)):
        if given:
            raise InputError(f"{name} needs --measures, such as --measures time_to_accuracy,final")
    shown = runs_chosen(load_runs(runs), settings, order)
    absent = [] if settings else not_begun(runs)
    print_runs(shown, out, form=form, not_begun=absent)


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="A run folder.")],
    b: Annotated[Path, typer.Argument(help="Another run folder.")],
) -> None:
    """Find the first event in which two runs differ; exit code 1 if there is one."""
    with importing():
        from afl_sim.recording import first_divergence, format_divergence, load_run

    divergence = first_divergence(load_run(a), load_run(b))
    print(format_divergence(divergence, str(a), str(b)))
    if divergence is not None:
        raise typer.Exit(1)


def figures_folder(folder: Path) -> Path:
    """Where the figures of a run or study go.

    Raises:
        RunFolderError: a link in its place leads elsewhere.
    """
    from afl_sim.recording.files import refuse_link

    refuse_link(folder / "figures")
    return folder / "figures"


def draw_figures(
    runs: list[Any],
    folder: Path,
    names: list[str] | None = None,
    words: dict[str, str | None] | None = None,
    several: dict[str, list[str] | None] | None = None,
) -> None:
    """Draw the figures of the runs' blocks, or all, and print a line for each figure.

    Args:
        runs: what to draw.
        folder: where the files go.
        names: draw only these figures.
        words, several: options that override the blocks, as the command line has them.
    """
    with importing():
        from afl_sim.analysis.drawing import draw_blocks
        from afl_sim.analysis.steering import blocks_of, read_options, wanted

    options = read_options(runs, words or {}, several or {})
    blocks, note = blocks_of(runs)
    if note:
        print(note)
    for drawn in draw_blocks(runs, folder, wanted(blocks, options, names)):
        print(drawn.line)


def runs_chosen(runs: list[Any], settings: list[str] | None, order: list[str] | None) -> list[Any]:
    """The runs that `--settings` names, in the order that `--order` names."""
    if not settings and not order:
        return runs
    with importing():
        from afl_sim.analysis.choosing import chosen, split

    return chosen(runs, split(settings or (), runs), split(order or (), runs))
