"""Commands that run something, or check whether it could: run, resume, validate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from afl_sim.cli.app import app
from afl_sim.cli.cost import print_cost
from afl_sim.cli.importing import import_training, importing
from afl_sim.cli.options import (
    BitsOption,
    CostOption,
    DeviceOption,
    ExecutorOption,
    MlflowOption,
    RayAddressOption,
    ScenariosArgument,
    SeedOption,
    SetOption,
    TensorboardOption,
    WorkersOption,
    execution_settings,
    numerics_settings,
    sink_settings,
)
from afl_sim.cli.output import Unfailing
from afl_sim.cli.studies import (
    ignored_rules,
    run_and_tell,
    saying_how_to_go_on,
    tell_published,
)
from afl_sim.errors import InputError, ScenarioError


@app.command()
def run(
    scenarios: ScenariosArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder of the run or study; it must be missing or empty."),
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    timing_only: Annotated[
        bool, typer.Option("--timing-only", help="Compute the schedule without training.")
    ] = False,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the figures and write report.html afterwards.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Run again even if there is a finished run.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue interrupted runs.")] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    device: DeviceOption = None,
    bits: BitsOption = None,
    tensorboard: TensorboardOption = False,
    mlflow: MlflowOption = False,
    cost: CostOption = False,
) -> None:
    """Run a scenario, or every combination of a study; several files are one study."""
    with importing():
        from afl_sim.run.validation import Source, check_studies
        from afl_sim.study.study import Origin

    if cost and not timing_only:
        raise InputError("--cost needs --timing-only; `afl-sim validate --cost` runs nothing else")
    settings = [
        *(settings or []),
        *execution_settings(workers, executor, ray_address),
        *sink_settings(tensorboard, mlflow),
    ]
    settings += numerics_settings(device, bits)
    paths = [_scenario_file(name) for name in scenarios]
    sources = [Source(path) for path in paths]
    study = check_studies(sources, settings, seed, timing_only=timing_only, here=True)
    run_and_tell(
        study,
        out,
        timing_only=timing_only,
        force=force,
        resume=resume,
        plot=plot,
        origin=Origin(tuple(settings), seed, paths[0].resolve().parent),
    )
    if cost:
        print_cost(study)


@app.command("resume")
def resume_run(
    run: Annotated[Path, typer.Argument(help="The folder of a run, a study or a design.")],
    force: Annotated[
        bool, typer.Option("--force", help="Continue a run even with other code or numerics.")
    ] = False,
    workers: WorkersOption = None,
    executor: ExecutorOption = None,
    ray_address: RayAddressOption = None,
    tensorboard: TensorboardOption = False,
    mlflow: MlflowOption = False,
) -> None:
    """Continue an interrupted run, study or design; that does not change its result."""
    if (run / "design.json").is_file():
        from afl_sim.cli.designs import resume_design

        resume_design(run, execution_settings(workers, executor, ray_address), force)
        return
    with importing():
        from afl_sim.analysis.compare import print_runs
        from afl_sim.cli.display import Display, Interruption
        from afl_sim.recording import load_head
        from afl_sim.recording.replacement import bring_back
        from afl_sim.recording.study_index import is_single_run
        from afl_sim.run.api import load_scenario, resume
        from afl_sim.run.bits import native_notes
        from afl_sim.user_code import one_error

    settings = execution_settings(workers, executor, ray_address)
    settings += sink_settings(tensorboard, mlflow)
    if not is_single_run(run):
        _resume_study(run, settings, force)
        return
    bring_back(run.parent, {run.name})
    found = load_head(run)
    if found.status == "complete":
        with one_error():
            done = resume(run, force=force)
        print(f"{run} is finished")
        tell_published([done])
        return
    scenario = load_scenario(run / "scenario.yaml", settings)
    if not found.timing_only:
        with importing():
            import_training()
    with (
        Display() as display,
        Interruption(display.finish, found.timing_only) as interruption,
        saying_how_to_go_on(display.finish, run),
        one_error(),
    ):
        ignored = ignored_rules([scenario]) if found.timing_only else None
        if ignored is not None:
            display.finish(ignored)
        for note in native_notes([scenario], found.timing_only):
            display.finish(note)
        done = resume(
            run,
            progress=display.watch_run(scenario.name, scenario),
            stop_wanted=interruption.wanted,
            notice=display.finish,
            execution=scenario.execution,
            force=force,
        )
    print_runs([done])
    if done.status == "complete" and "reason" in done.summary:
        print(done.summary["reason"])
    print(f"results: {run}")
    tell_published([done])
    if done.status != "complete":
        raise typer.Exit(1)


def _resume_study(folder: Path, settings: list[str], force: bool) -> None:
    from afl_sim.study.begun import read_again

    if force:
        raise InputError(f"--force is for a single run, but {folder} is a study")
    study, timing_only, origin = read_again(folder, settings)
    run_and_tell(study, folder, timing_only=timing_only, resume=True, origin=origin)


@app.command()
def validate(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files or built-in names.")],
    settings: SetOption = None,
    show: Annotated[
        bool, typer.Option("--show", help="Print and draw which samples each client holds.")
    ] = False,
    timing_only: Annotated[
        bool, typer.Option("--timing-only", help="Also refuse settings that need training.")
    ] = False,
    cost: CostOption = False,
) -> None:
    """Check scenario files and report all mistakes, without running them."""
    with importing():
        from afl_sim.run.bits import native_notes
        from afl_sim.run.partition_table import show_partition
        from afl_sim.run.validation import check_study
        from afl_sim.scenario.checks.doubts import doubts
        from afl_sim.scenario.joining import File, together

    problems, files = [], []
    for name in scenarios:
        try:
            path = _scenario_file(name)
            study = check_study(path, settings or [], timing_only=timing_only)
        except ScenarioError as error:
            problems.append(str(error))
            continue
        files.append(File(str(path), study, path.parent))
        print(f"{name}: ok, {len(study.cases)} run{'s' if len(study.cases) > 1 else ''}")
        for note in native_notes([case.scenario for case in study.cases], timing_only):
            print(note)
        for doubt in doubts(study, timing_only):
            print(doubt)
        if show:
            show_partition(study)
        if cost:
            print_cost(study)
    if problems:
        raise ScenarioError("\n".join(problems))
    if len(files) > 1:
        print(together(files))


def _scenario_file(name: str) -> Path:
    from afl_sim.scenario.bundled import find_scenario, hides_built_in

    file = find_scenario(name)
    if hides_built_in(name):
        print(
            f"{name}: using the file with this name in the current folder, not the built-in "
            "scenario",
            file=Unfailing(sys.stderr),
        )
    return file
