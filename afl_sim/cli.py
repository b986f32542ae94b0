"""The ``afl-sim`` command.

Each command imports what it needs when it is called, so that ``--help`` answers at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from afl_sim import __version__
from afl_sim.builtin import find_scenario
from afl_sim.errors import AflSimError, ScenarioError
from afl_sim.output import failed_output, say_errors


class _Interrupted(AflSimError):
    exit_code = 130


class _Commands(typer.core.TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Typer would end silently on Ctrl-C, with an exit code that depends on its version."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise _Interrupted("interrupted") from None


app = typer.Typer(
    name="afl-sim",
    cls=_Commands,
    help="Simulate asynchronous federated learning: virtual time, real training, the same result "
    "every time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ScenarioArgument = Annotated[
    str, typer.Argument(help="A scenario file, or the name of a built-in scenario.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Replace a setting; may be repeated."),
]
SeedOption = Annotated[int | None, typer.Option(help="Replace the scenario's seed.")]
WorkersOption = Annotated[
    str | None, typer.Option(metavar="N", help="Worker processes that train; auto: one per core.")
]
ExecutorOption = Annotated[str | None, typer.Option(help="inline, processes or ray.")]
RayAddressOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS", help="A Ray cluster, as auto or host:port; default one on this machine."
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu or cuda: where to train; short for numerics.device.")
]
TensorboardOption = Annotated[
    bool,
    typer.Option(
        "--tensorboard", help="Also write evaluations for TensorBoard, in the run folder."
    ),
]
MlflowOption = Annotated[bool, typer.Option("--mlflow", help="Also log evaluations to MLflow.")]
RunsArgument = Annotated[list[Path], typer.Argument(help="Run or study folders.")]


def main() -> None:
    """Entry point: errors are one message on stderr and an exit code, never a traceback."""
    if "" not in sys.path:
        sys.path.append("")  # `package.module:Class` may lie in the working directory
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except AflSimError as error:
        say_errors(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say_errors("interrupted")
        sys.exit(130)
    except OSError as error:
        sys.exit(failed_output(error))


def _version(asked: bool) -> None:
    if asked:
        print(f"afl-sim {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


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
        *_execution_settings(workers, executor, ray_address),
        *_sink_settings(tensorboard, mlflow),
    ]
    if device is not None:
        settings.append(f"numerics.device={device}")
    study = check_study(find_scenario(scenario), settings, seed, timing_only=timing_only, here=True)
    with Display() as display, Interruption(display.finish) as interruption:
        options = Options(out, timing_only, force, resume, sys.argv, interruption.wanted)
        display.expect(len(study.cases))
        folder, outcomes = run_study(
            study, options, display.watch, lambda done: display.end(done.label, _outcome_line(done))
        )
    runs = [outcome.run for outcome in outcomes if outcome.run is not None]
    if runs:
        from analysis.compare import print_comparison

        print_comparison(runs, folder if study.is_study else None)
    print(f"results: {folder}")
    if plot and runs:
        _draw(runs, folder / "figures", None, ("png",))
        _report(folder, runs, study.is_study)
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
    from afl_sim.console import Display, Interruption
    from afl_sim.recording import load_run
    from afl_sim.simulation import load_scenario, resume
    from analysis.compare import print_comparison

    if load_run(run).status == "complete":
        print(f"{run} is finished")
        return
    settings = _execution_settings(workers, executor, ray_address)
    settings += _sink_settings(tensorboard, mlflow)
    scenario = load_scenario(run / "scenario.yaml", settings)
    with Display() as display, Interruption(display.finish) as interruption:
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


def _execution_settings(
    workers: str | None, executor: str | None, ray_address: str | None
) -> list[str]:
    """The command line's choice of executor, as settings of the scenario."""
    import os

    if executor is None and ray_address is not None:
        executor = "ray"
    if executor == "ray" and ray_address is not None and workers in (None, "auto"):
        workers = "1024"  # as many as the cluster has processors
    if workers == "auto" or (workers is None and executor == "ray"):
        workers = str(len(os.sched_getaffinity(0)))
    if executor is None and workers is not None and workers != "1":
        executor = "processes"
    settings = [] if executor is None else [f"execution.executor={executor}"]
    if workers is not None:
        settings.append(f"execution.workers={workers}")
    if ray_address is not None:
        settings.append(f"execution.ray_address={ray_address}")
    return settings


def _sink_settings(tensorboard: bool, mlflow: bool) -> list[str]:
    """Where the command line has evaluations go, as settings of the scenario."""
    names = [name for name, on in (("tensorboard", tensorboard), ("mlflow", mlflow)) if on]
    return [f"execution.sinks=[{', '.join(names)}]"] if names else []


def _outcome_line(outcome: Any) -> str:
    if outcome.error is not None:
        return f"{outcome.label}: failed: {outcome.error}"
    summary = outcome.run.summary
    wall = summary["wall_seconds"]["total"]
    how = "finished before, reused" if outcome.reused else f"{summary['status']} in {wall:.1f} s"
    reason = f": {summary['reason']}" if "reason" in summary else ""
    return f"{outcome.label}: {how}{reason}"


def _draw(
    runs: list[Any],
    folder: Path,
    names: list[str] | None,
    formats: tuple[str, ...],
    style: str = "paper",
) -> None:
    from analysis.registry import draw

    for drawn in draw(runs, folder, names, formats, style):
        print(drawn.line)


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
            study = check_study(find_scenario(name), settings or [])
        except ScenarioError as error:
            problems.append(str(error))
            continue
        print(f"{name}: ok, {len(study.cases)} run{'s' if len(study.cases) > 1 else ''}")
        if show:
            show_partition(study)
    if problems:
        raise ScenarioError("\n".join(problems))


@app.command()
def plot(
    runs: RunsArgument,
    figure: Annotated[
        list[str] | None, typer.Option(help="Draw only this figure; may be repeated.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the figures.")] = None,
    formats: Annotated[
        str, typer.Option("--format", help="png, pdf, svg, separated by commas.")
    ] = "png",
    style: Annotated[
        str, typer.Option(help="paper, column (of two), slides or dark: size and colours.")
    ] = "paper",
) -> None:
    """Draw figures of runs and studies; `afl-sim list figures` describes them."""
    from afl_sim.recording import load_runs

    _draw(load_runs(runs), out or runs[0] / "figures", figure, tuple(formats.split(",")), style)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(help="Run or study folders.")],
    out: Annotated[
        Path | None, typer.Option(help="The file; default report.html in the folder.")
    ] = None,
) -> None:
    """Write report.html of runs, and of studies with a report of each run."""
    from afl_sim.errors import InputError
    from afl_sim.recording import load_runs
    from afl_sim.recording.reading import is_single_run

    if out is not None and len(folders) > 1:
        raise InputError("--out names one file; give one run or study")
    for folder in folders:
        _report(folder, load_runs([folder]), not is_single_run(folder), out)


def _report(folder: Path, runs: list[Any], is_study: bool, out: Path | None = None) -> None:
    from analysis.report import REPORT, write_run_report, write_study_report

    path = out or folder / REPORT
    if is_study:
        for run in runs:
            write_run_report(run)
        write_study_report(folder.resolve().name, runs, path)
    else:
        write_run_report(runs[0], path)
    print(f"report: {path}")


@app.command()
def compare(
    runs: RunsArgument,
    out: Annotated[
        Path | None, typer.Option(help="Also write the tables here: CSV, Markdown and LaTeX.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="table, csv, markdown or latex: what is printed.")
    ] = "table",
) -> None:
    """Print a table of runs side by side, with intervals where there are replications."""
    from afl_sim.recording import load_runs
    from analysis.compare import print_comparison

    print_comparison(load_runs(runs), out, form=form)


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="A run folder.")],
    b: Annotated[Path, typer.Argument(help="Another run folder.")],
) -> None:
    """Find the first event in which two runs differ; exit code 1 if there is one."""
    from afl_sim.recording import first_divergence, format_divergence, load_run

    divergence = first_divergence(load_run(a), load_run(b))
    print(format_divergence(divergence, str(a), str(b)))
    if divergence is not None:
        raise typer.Exit(1)


@app.command()
def calibrate(
    models: Annotated[list[str], typer.Argument(help="Model kinds, or package.module:factory.")],
    out: Annotated[Path, typer.Option(help="The trace to write, a CSV file.")],
    dataset: Annotated[str, typer.Option(help="Whose shape of samples is trained on.")] = "mnist",
    batch_size: Annotated[int, typer.Option(help="Samples of a local step.")] = 32,
    repeats: Annotated[int, typer.Option(help="Measurements; their median counts.")] = 9,
) -> None:
    """Measure this machine's seconds per sample, one thread, and write them as a device trace."""
    from afl_sim.calibration import calibrate as measure
    from afl_sim.calibration import trace_of
    from afl_sim.recording.files import write_text

    found = []
    for model in models:
        found.append(measure(model, dataset, batch_size, repeats))
        row = found[-1]
        print(
            f"{row.model}: {row.seconds_per_sample:.6g} s a sample (median of {row.repeats}, "
            f"{row.fastest:.6g} to {row.slowest:.6g})",
            flush=True,
        )
    write_text(out, trace_of(found))
    print(f"trace: {out}")


@app.command()
def theory(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Oracles, or the first parts of their names; all by default."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the table as Markdown.")] = None,
) -> None:
    """Compare the engine with exact results by fresh runs; exit code 1 if one is missed."""
    from afl_sim.recording.files import write_text
    from afl_sim.theory.oracles import chosen
    from afl_sim.theory.report import measure, page

    rows = []
    for oracle in chosen(names or []):
        rows.append(measure(oracle))
        print(rows[-1].line(), flush=True)
    if out is not None:
        write_text(out, page(rows))
    if not all(row.holds for row in rows):
        raise typer.Exit(1)


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
    from afl_sim.errors import InputError
    from afl_sim.reproduction.listing import overview
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
    problems = []
    for target in targets:
        try:
            _reproduce(target, scale, out, study, keep, _execution_settings(workers, None, None))
        except AflSimError as error:
            if len(targets) == 1:
                raise
            problems.append(str(error))
    if problems:
        raise AflSimError("\n".join(problems))


def _reproduce(
    target: Any,
    scale: Any,
    out: Path | None,
    studies: list[str] | None,
    keep: bool,
    execution: list[str],
) -> None:
    from afl_sim.console import Display, Interruption
    from afl_sim.reproduction.pages import print_results
    from afl_sim.reproduction.running import Asked, reproduce
    from afl_sim.reproduction.running import keep as keep_results

    print(f"{target.title}\n{target.citation}\n", flush=True)
    with Display() as display, Interruption(display.finish) as interruption:
        asked = Asked(scale, out, studies or None, execution, sys.argv, interruption.wanted)
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


@app.command("list")
def list_kinds(
    what: Annotated[
        str,
        typer.Argument(
            help="strategies, models, datasets, partitions, distributions, figures, papers or "
            "scenarios."
        ),
    ],
) -> None:
    """List what a scenario can name, a line each."""
    from afl_sim.listing import listing

    rows = list(listing(what))
    width = max((len(name) for name, _ in rows), default=0)
    for name, line in rows:
        print(f"{name:<{width}} {line}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors."""
    import json

    from afl_sim.catalogue import catalogue
    from afl_sim.scenario import json_schema

    print(json.dumps(json_schema(catalogue()), indent=2))


if __name__ == "__main__":
    main()
