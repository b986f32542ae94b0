"""The command that runs what was published: reproduce."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from afl_sim.cli.app import app
from afl_sim.cli.importing import importing
from afl_sim.cli.options import WorkersOption, execution_settings
from afl_sim.cli.output import say_errors
from afl_sim.cli.studies import outcome_line
from afl_sim.errors import AflSimError, InputError


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Targets, by name or folder; without targets they are listed."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="small: a few minutes; full: the published settings.")
    ] = "small",
    every: Annotated[bool, typer.Option("--all", help="Reproduce every target.")] = False,
    study: Annotated[
        list[str] | None,
        typer.Option(help="Run only this study of the target; can be given several times."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, tables and figure; it need not be empty.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Also write the results into the folder of the target.")
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """Reproduce a paper's figures and tables, with reported and measured numbers side by side."""
    with importing():
        from afl_sim.cli.display import Display, Interruption
        from afl_sim.papers.overview import overview
        from afl_sim.papers.reproducing import Asked
        from afl_sim.papers.target import SCALES, find_target, target_names

    if scale not in SCALES:
        raise InputError(f"there is no scale {scale!r}; expected {' or '.join(SCALES)}")
    chosen = target_names() if every else names or []
    if (out is not None or study) and len(chosen) != 1:
        raise InputError("--out and --study need exactly one target")
    if not chosen:
        for line in overview():
            print(line)
        return
    targets = [find_target(name) for name in chosen]
    problems: list[str] = []
    with Interruption(Display().finish) as interruption:
        execution = execution_settings(workers, None, None)
        named: Any = scale
        asked = Asked(named, out, study or None, execution, sys.argv, interruption.wanted)
        try:
            for target in targets:
                try:
                    _reproduce(target, asked, keep, interruption)
                except AflSimError as error:
                    if len(targets) == 1:
                        raise
                    problems.append(str(error))
                interruption.check()  # it may have come when no run was there to stop
        except KeyboardInterrupt:
            for problem in problems:
                say_errors(problem)
            interruption.say(f"to continue: {shlex.join(['afl-sim', *sys.argv[1:]])}")
            raise
    if problems:
        raise AflSimError("\n".join(problems))


def _reproduce(target: Any, asked: Any, keep: bool, interruption: Any) -> None:
    from afl_sim.cli.display import Display
    from afl_sim.papers.agreement import agreement
    from afl_sim.papers.pages import print_results
    from afl_sim.papers.reproducing import reproduce
    from afl_sim.papers.writing import keep as keep_results

    print(f"{target.title}\n{target.citation}\n", flush=True)
    with Display() as display:
        interruption.say = display.finish
        interruption.timing_only = target.is_timing_only(asked.scale)
        results, written = reproduce(
            target,
            asked,
            display.expect,
            display.watch,
            lambda done: display.end(done.label, outcome_line(done)),
        )
    print_results(target, results)
    agrees = agreement(target, results)  # before the results here are kept
    if agrees is not None:
        print(agrees)
    if keep:
        written = [*written, *keep_results(target, results, written)]
    for path in written:
        print(f"written: {path}")
