"""Commands that run something: run, resume, validate, reproduce."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from afl_sim.builtin import find_scenario, hides_built_in
from afl_sim.cli.app import app
from afl_sim.cli.options import (
    DeviceOption,
    ExecutorOption,
    MlflowOption,
    RayAddressOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    TensorboardOption,
    WorkersOption,
    execution_settings,
    sink_settings,
)
from afl_sim.cli.results import draw_figures, write_report
from afl_sim.errors import AflSimError, ScenarioError
from afl_sim.output import Unfailing, say_errors

_ACCURACY_IGNORED = "stop.accuracy is ignored: with --timing-only nothing is trained"


@app.command()
def run(
    scenario: ScenarioArgument,
    out: Annotated[
        Path | None, typer.Option(help="The run (or study) folder; missing or empty.")
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    timing_only: Annotated[
        bool, typer.Option("--timing-only", help="Compute the schedule and train nothing.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the figures and write report.html afterwards.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run again even if a finished folder exists.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with runs that were broken off.")
    ] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    device: DeviceOption = None,
    tensorboard: TensorboardOption = False,
    mlflow: MlflowOption = False,
) -> None:
    """Run a scenario, or every combination of a study."""
    from afl_sim.console import Display, Interruption
    from afl_sim.studies import Options, run_study
    from afl_sim.validation import check_study

    settings = [
        *(settings or []),
        *execution_settings(workers, executor, ray_address),
        *sink_settings(tensorboard, mlflow),
    ]
    if device is not None:
        settings.append(f"numerics.device={device}")
    file = _scenario_file(scenario)
    study = check_study(file, settings, seed, timing_only=timing_only, here=True)
    with Display() as display, Interruption(display.finish, timing_only) as interruption:
        options = Options(out, timing_only, force, resume, sys.argv, interruption.wanted)
        display.expect(len(study.cases))
        if timing_only and any(case.scenario.stop.accuracy is not None for case in study.cases):
            display.finish(_ACCURACY_IGNORED)
        folder, outcomes = run_study(
            study, options, display.watch, lambda done: display.end(done.label, _outcome_line(done))
        )
    runs = [outcome.run for outcome in outcomes if outcome.run is not None]
    if runs:
        from analysis.compare import print_comparison

        print_comparison(runs, folder if study.is_study else None)
    print(f"results: {folder}")
    if plot and runs:
        draw_figures(runs, folder / "figures", None, ("png",))
        write_report(folder, runs, study.is_study)
    if not all(outcome.succeeded for outcome in outcomes):
        raise typer.Exit(1)


@app.command("resume")
def resume_run(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    force: Annotated[
        bool, typer.Option("--force", help="Go on even with other code or numerics.")
    ] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    tensorboard: TensorboardOption = False,
    mlflow: MlflowOption = False,
) -> None:
    """Continue a run that was broken off, to the result that it would have had."""
    from afl_sim.blame import one_error
    from afl_sim.console import Display, Interruption
    from afl_sim.recording import load_run
    from afl_sim.simulation import load_scenario, resume
    from analysis.compare import print_comparison

    found = load_run(run)
    if found.status == "complete":
        print(f"{run} is finished")
        return
    settings = execution_settings(workers, executor, ray_address)
    settings += sink_settings(tensorboard, mlflow)
    scenario = load_scenario(run / "scenario.yaml", settings)
    with (
        Display() as display,
        Interruption(display.finish, found.timing_only) as interruption,
        one_error(),
    ):
        if found.timing_only and scenario.stop.accuracy is not None:
            display.finish(_ACCURACY_IGNORED)
        done = resume(
            run,
            progress=display.watch_run(scenario.name, scenario),
            stop_wanted=interruption.wanted,
            execution=scenario.execution,
            force=force,
        )
    print_comparison([done])
    print(f"results: {run}")
    if done.status != "complete":
        raise typer.Exit(1)


@app.command()
def validate(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files or built-in names.")],
    settings: SetOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print who holds which samples, as a table.")
    ] = False,
) -> None:
    """Find everything that can be known wrong before a run."""
    from afl_sim.validation import check_study, show_partition

    problems = []
    for name in scenarios:
        try:
            study = check_study(_scenario_file(name), settings or [])
        except ScenarioError as error:
            problems.append(str(error))
            continue
        print(f"{name}: ok, {len(study.cases)} run{'s' if len(study.cases) > 1 else ''}")
        if show:
            show_partition(study)
    if problems:
        raise ScenarioError("\n".join(problems))


@app.command()
def reproduce(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Targets, by name or folder; without any they are listed."),
    ] = None,
    scale: Annotated[
        str, typer.Option(help="small: cut down to a few minutes; full: as published.")
    ] = "small",
    every: Annotated[bool, typer.Option("--all", help="Reproduce every target.")] = False,
    study: Annotated[
        list[str] | None,
        typer.Option(help="Run only this study of the target; may be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, tables and figure; it may be in use.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Also write the results beside the target.")
    ] = False,
    workers: WorkersOption = None,
) -> None:
    """Reproduce a paper's figures and tables: reported beside measured."""
    from afl_sim.console import Display, Interruption
    from afl_sim.errors import InputError
    from afl_sim.reproduction.listing import overview
    from afl_sim.reproduction.running import Asked
    from afl_sim.reproduction.target import SCALES, find_target, target_names

    if scale not in SCALES:
        raise InputError(f"there is no scale {scale!r}; expected {' or '.join(SCALES)}")
    chosen = target_names() if every else names or []
    if (out is not None or study) and len(chosen) != 1:
        raise InputError("--out and --study go with one target")
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
            raise
    if problems:
        raise AflSimError("\n".join(problems))


def _reproduce(target: Any, asked: Any, keep: bool, interruption: Any) -> None:
    from afl_sim.console import Display
    from afl_sim.reproduction.pages import print_results
    from afl_sim.reproduction.running import reproduce
    from afl_sim.reproduction.writing import keep as keep_results

    print(f"{target.title}\n{target.citation}\n", flush=True)
    with Display() as display:
        interruption.say = display.finish
        interruption.timing_only = target.is_timing_only(asked.scale)
        results, written = reproduce(
            target,
            asked,
            display.expect,
            display.watch,
            lambda done: display.end(done.label, _outcome_line(done)),
        )
    print_results(target, results)
    if keep:
        written = [*written, *keep_results(target, results, written)]
    for path in written:
        print(f"written: {path}")


def _scenario_file(name: str) -> Path:
    file = find_scenario(name)
    if hides_built_in(name):
        print(
            f"{name}: the file of this name here is meant, not the built-in scenario",
            file=Unfailing(sys.stderr),
        )
    return file


def _outcome_line(outcome: Any) -> str:
    if outcome.error is not None:
        return f"{outcome.label}: failed: {outcome.error}"
    summary = outcome.run.summary
    wall = summary["wall_seconds"]["total"]
    how = f"{summary['status']} in {wall:.1f} s"
    if outcome.reused:
        how = "finished before, reused"
    if outcome.other_code:
        how = "finished before with other code, reused (--force runs it again)"
    reason = f": {summary['reason']}" if "reason" in summary else ""
    return f"{outcome.label}: {how}{reason}"
