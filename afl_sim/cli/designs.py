"""The command that searches for the best setting: design."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from afl_sim.cli.app import app
from afl_sim.cli.importing import importing
from afl_sim.cli.options import (
    ExecutorOption,
    RayAddressOption,
    SeedOption,
    SetOption,
    WorkersOption,
    execution_settings,
)

if TYPE_CHECKING:
    from afl_sim.design.problem import Problem
    from afl_sim.design.solution import Solution


@app.command()
def design(
    scenario: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="A scenario file with a block design, or a built-in name."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The folder of the design; it must be missing or empty.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    timing_only: Annotated[
        bool, typer.Option("--timing-only", help="Look at schedules only, and train nothing.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted design.")] = (
        False
    ),
    force: Annotated[
        bool, typer.Option("--force", help="Begin again even if the design is there.")
    ] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
) -> None:
    """Find the strategy and the settings that reach a target at the least cost."""
    with importing():
        from afl_sim.design.reading import read_problem
        from afl_sim.design.solving import Options
        from afl_sim.scenario.bundled import find_scenario

    chosen = [*(settings or []), *execution_settings(workers, executor, ray_address)]
    problem = read_problem(find_scenario(scenario), chosen, seed)
    options = Options(out, timing_only, resume, force)
    _solve_and_tell(problem, options, {"settings": chosen, "seed": seed})


def resume_design(folder: Path, settings: list[str], force: bool) -> None:
    """Go on with the design in a folder, as it was started."""
    with importing():
        from afl_sim.design.solving import Options, read_again
        from afl_sim.errors import InputError

    if force:
        raise InputError(f"--force is for a single run, but {folder} is a design")
    problem, timing_only, origin = read_again(folder, settings)
    _solve_and_tell(problem, Options(folder, timing_only, resume=True), origin)


def _solve_and_tell(problem: Problem, options: Any, origin: dict[str, Any]) -> None:
    from dataclasses import replace

    from afl_sim.cli.display import Display, Interruption
    from afl_sim.design.results import INDEX
    from afl_sim.design.solving import place_of, solve
    from afl_sim.errors import AflSimError, InputError
    from afl_sim.run.bits import native_notes

    place = options.out or place_of(problem, options.timing_only)
    found_lines: list[str] = []
    with (
        Display() as display,
        Interruption(display.finish, options.timing_only) as interruption,
    ):
        for note in native_notes([problem.scenario], options.timing_only):
            display.finish(note)
        # Without training, what is said of the candidates is the result.
        say = found_lines.append if options.timing_only else display.finish
        asked = replace(options, out=place, say=say, stop_wanted=interruption.wanted)
        try:
            found = solve(problem, asked, origin)
        except (AflSimError, KeyboardInterrupt) as error:
            again = shlex.join(["afl-sim", "resume", str(place)])
            if (place / INDEX).is_file() and not isinstance(error, InputError):
                outside = isinstance(error, AflSimError)
                cause = ", if a disk, memory or a worker was the cause" if outside else ""
                display.finish(f"to continue{cause}: {again}")
            raise
    for line in found_lines:
        print(line)
    _tell(found)


def _tell(found: Solution) -> None:
    from rich.table import Table

    from afl_sim.run.partition_table import print_whole

    index = found.index
    if index.get("ranking"):
        table = Table(box=None, padding=(0, 2, 0, 0))
        headings = ("candidate", index["objective"].partition(" ")[0], "times the best", "verdict")
        for heading in headings:
            table.add_column(heading, no_wrap=True)
        for each in index["ranking"]:
            table.add_row(*_cells(each))
        print_whole(table)
        for line in index["reasons"]:
            print(line)
        spent = index["spent"]
        if spent["all_candidates"]:
            share = spent["samples"] / spent["all_candidates"]
            print(
                f"trained {spent['samples']:,} samples, {share:.1%} of what all candidates with "
                "all seeds would take to their ends"
            )
        print(f"winner: {found.path / 'winner.yaml'}")
    print(f"results: {found.path}")


def _cells(each: dict[str, Any]) -> list[str]:
    ratio = each["ratio"]
    told = "-"
    if ratio is not None:
        told = f"{ratio['mean']:.3f}"
        if each["rank"] > 1 and ratio["low"] is not None:
            told += f" [{ratio['low']:.3f}, {ratio['high']:.3f}]"
    mean = "-" if each["mean"] is None else f"{each['mean']:,.6g}"
    return [each["title"], mean, told, each["verdict"]]
