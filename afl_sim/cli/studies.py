"""Shared by the commands that run something: progress, interruption and outcomes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from afl_sim.cli.importing import import_training, importing
from afl_sim.cli.results import draw_figures, figures_folder, write_report
from afl_sim.errors import AflSimError, OwnRuleError, ScheduleError, StrategyError

if TYPE_CHECKING:
    from afl_sim.recording import Run
    from afl_sim.scenario import Scenario, Study
    from afl_sim.study.study import Origin


def ignored_rules(scenarios: Iterable[Scenario]) -> str | None:
    """A line on the settings that --timing-only ignores; None if there are none."""
    chosen = list(scenarios)
    stops = [scenario.stop for scenario in chosen]
    keys = [f"stop.{key}" for key in ("accuracy", "metrics") if any(getattr(s, key) for s in stops)]
    if any(scenario.recording.models != "final" for scenario in chosen):
        keys.append("recording.models")
    if not keys:
        return None
    named = " and ".join(keys)
    verb = "is" if len(keys) == 1 else "are"
    return f"{named} {verb} ignored: with --timing-only nothing is trained"


def run_and_tell(
    study: Study,
    out: Path | None,
    *,
    timing_only: bool,
    force: bool = False,
    resume: bool = False,
    plot: bool = False,
    origin: Origin | None = None,
) -> None:
    """Run the cases of a scenario file, with progress, and print their outcomes.

    Args:
        study: the file.
        out, timing_only, force, resume, origin: see `afl_sim.study.study.Options`.
        plot: also draw the figures and write the reports.

    Raises:
        typer.Exit: a run did not come to its end.
    """
    with importing():
        from afl_sim.cli.display import Display, Interruption
        from afl_sim.run.bits import native_notes
        from afl_sim.scenario.checks.doubts import doubts
        from afl_sim.study.study import Options, run_cases, study_folder

        if not timing_only:
            import_training()
    options = Options(out, timing_only, force, resume, sys.argv, origin=origin)
    place = study_folder(study, options)
    with (
        Display() as display,
        Interruption(display.finish, timing_only) as interruption,
        saying_how_to_go_on(display.finish, place),
    ):
        options = replace(options, stop_wanted=interruption.wanted, notice=display.finish)
        display.expect(len(study.cases))
        ignored = ignored_rules(case.scenario for case in study.cases) if timing_only else None
        if ignored is not None:
            display.finish(ignored)
        for note in native_notes([case.scenario for case in study.cases], timing_only):
            display.finish(note)
        for doubt in doubts(study, timing_only):
            display.finish(doubt)
        folder, outcomes = run_cases(
            study, options, display.watch, lambda done: display.end(done.label, outcome_line(done))
        )
    runs = [run for outcome in outcomes if (run := outcome.opened()) is not None]
    if runs:
        from afl_sim.analysis.compare import print_runs

        print_runs(runs, folder if study.is_study else None)
    print(f"results: {folder}")
    if plot and runs:
        draw_figures(runs, figures_folder(folder))
        write_report(folder, runs, study.is_study)
    tell_published(runs)
    if not all(outcome.succeeded for outcome in outcomes):
        if any(_may_go_on(outcome.error) for outcome in outcomes):
            print(_how_to_go_on(folder))
        raise typer.Exit(1)


def tell_published(runs: list[Run]) -> None:
    """Print whether runs have the digests that were published, if any were."""
    from afl_sim.study.published import published_line

    line = published_line(runs)
    if line is not None:
        print(line)


@contextmanager
def saying_how_to_go_on(say: Callable[[str], None], place: Path) -> Iterator[None]:
    """If the block is interrupted, or fails after it has begun, print what continues it.

    Args:
        say: prints a line.
        place: the folder of the run or study.
    """
    from afl_sim.recording.folder import SCENARIO, STUDY

    def is_there() -> bool:
        return any((place / name).is_file() for name in (SCENARIO, STUDY))

    was_there = is_there()
    try:
        yield
    except KeyboardInterrupt:
        if is_there():
            say(f"to continue: {_resume(place)}")
        raise
    except AflSimError as error:
        if is_there() and not was_there and _may_go_on(error):
            say(_how_to_go_on(place))
        raise


def _may_go_on(error: AflSimError | None) -> bool:
    """Whether the cause of an error may lie outside the run; with other code, it is another run."""
    return error is not None and not isinstance(error, ScheduleError | StrategyError | OwnRuleError)


def _how_to_go_on(failed: Path) -> str:
    """How a run or study that failed is continued."""
    return f"to continue, if a disk, memory or a worker was the cause: {_resume(failed)}"


def _resume(place: Path) -> str:
    return shlex.join(["afl-sim", "resume", str(place)])


def outcome_line(outcome: Any) -> str:
    """How one of several runs ended, in one line."""
    from afl_sim.scenario.wording import one_line

    if outcome.error is not None:
        return f"{outcome.label}: failed: {outcome.error}"
    how = f"{outcome.status} in {outcome.seconds:.1f} s"
    if outcome.reused:
        how = "finished before, reused"
    if outcome.others:
        other = " and ".join(outcome.others)
        how = f"finished run reused; it was made with other {other} (--force runs it again)"
    reason = f": {one_line(outcome.reason)}" if outcome.reason else ""
    return f"{outcome.label}: {how}{reason}"
