"""Runs the missing studies of a target, measures them, and writes the results."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import Any

from afl_sim.errors import AflSimError, InputError
from afl_sim.execution.code_digest import code_digest
from afl_sim.papers.results import Results, checked
from afl_sim.papers.target import Scale, Target
from afl_sim.papers.writing import alone_in, write_figure, write_tables
from afl_sim.recording import Run, load_runs
from afl_sim.recording.digests import bits_of
from afl_sim.recording.replacement import FINISHED
from afl_sim.run.validation import check_study
from afl_sim.scenario import Study
from afl_sim.scenario.checks.numerics import one_process
from afl_sim.scenario.wording import hint
from afl_sim.study.case import ProgressOf, finished_before
from afl_sim.study.study import RUNS, Options, Outcome, run_cases, study_id
from afl_sim.user_code import told


@dataclass(frozen=True)
class Asked:
    """How a target is reproduced.

    Attributes:
        scale: small or full.
        out: where runs and results go; None for ``runs/papers/<target>``.
        only: the studies to run; of the others what is finished counts. None: all.
        execution: settings of where tasks run, ``key.path=value``, for all that can have them.
        command: the command line, for the manifests.
        stop_wanted: called after each version and each study; if it returns True, the work is
            interrupted there.
    """

    scale: Scale = "small"
    out: Path | None = None
    only: Collection[str] | None = None
    execution: Sequence[str] = ()
    command: Sequence[str] | None = None
    stop_wanted: Callable[[], bool] | None = None


@dataclass(frozen=True)
class Part:
    """One study of a target, read and checked, and where its runs belong."""

    name: str
    study: Study
    place: Path
    options: Options

    def finished(self) -> bool:
        """Whether every run is there."""
        one = not self.study.is_study
        places = (self.place if one else self.place / case.label for case in self.study.cases)
        return all(map(finished_before, self.study.cases, places, repeat(self.options)))


def output_folder(name: str, out: Path | None = None) -> Path:
    """Where a target's runs and results go."""
    return out if out is not None else RUNS / "papers" / name


def reproduce(
    target: Target,
    asked: Asked,
    expect: Callable[[int], None] = lambda runs: None,
    watch: ProgressOf = lambda case: None,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Results, list[Path]]:
    """Run what is missing of a target, and write its tables and its figure.

    Args:
        target: what to reproduce.
        asked: how.
        expect: told how many runs there will be.
        watch, tell: as for `run_cases`.

    Returns:
        The results, and the files written.

    Raises:
        InputError: a scenario is wrong, or a study is not there; nothing was run.
        AflSimError: runs failed, or what they gave cannot be measured or drawn.
        KeyboardInterrupt: `Asked.stop_wanted` said so.
    """
    module = _analysis(target)
    _check_names(target, asked)
    parts = [_part(target, name, asked) for name in target.studies_at(asked.scale)]
    chosen = target.studies if asked.only is None else asked.only
    wanted = [part for part in parts if part.name in chosen or part.finished()]
    expect(sum(len(part.study.cases) for part in wanted))
    failed: list[str] = []
    for part in wanted:
        _, outcomes = run_cases(part.study, part.options, watch, tell)
        failed += [
            f"{part.name}, {outcome.label}: {outcome.error or 'did not finish'}"
            for outcome in outcomes
            if outcome.error or outcome.status not in FINISHED
        ]
        if asked.stop_wanted is not None and asked.stop_wanted():
            raise KeyboardInterrupt
    if failed:
        raise AflSimError("\n".join(f"{target.name}: {line}" for line in failed))
    place = output_folder(target.name, asked.out) / asked.scale
    with alone_in(place):
        # What another process has run meanwhile counts: who is the last to write has everything.
        there = [part for part in parts if part in wanted or part.finished()]
        return _told(target, asked, module, parts, there, place)


def _told(
    target: Target,
    asked: Asked,
    module: ModuleType,
    parts: Sequence[Part],
    there: Sequence[Part],
    place: Path,
) -> tuple[Results, list[Path]]:
    """Measure the studies that exist, and write the results."""
    studies = {part.name: load_runs([part.place]) for part in there}
    not_run = {
        part.name: target.studies[part.name].cost for part in parts if part.name not in studies
    }
    measured = _call(target, module, "measure", studies)
    tables, claims = checked(target, asked.scale, measured)
    results = Results(
        target.name,
        asked.scale,
        _made(target, asked, studies),
        {name: _ran(target, asked.scale, name, runs) for name, runs in studies.items()},
        not_run,
        tables,
        claims,
    )
    written = write_tables(target, results, place)  # before the figure, which may not come off
    figure = _call(target, module, "draw", studies, target) if target.figure else None
    if figure is not None:
        written += write_figure(target, figure, place)
    return results, written


def _part(target: Target, name: str, asked: Asked) -> Part:
    timing_only = target.studies[name].timing_only
    settings = target.settings_at(asked.scale, name)
    check = partial(check_study, target.file(name), timing_only=timing_only, here=True)
    study = check(settings)
    runs = len(study.cases)
    if asked.execution and not any(one_process(c.scenario.numerics, runs) for c in study.cases):
        study = check([*settings, *asked.execution])
    timing = "-timing" if timing_only else ""
    folder = output_folder(target.name, asked.out)
    code = code_digest(*(case.scenario for case in study.cases))
    place = folder / f"{name}-{study_id(study)}-{code[:8]}{timing}"
    options = Options(
        place,
        timing_only,
        resume=True,
        command=asked.command,
        stop_wanted=asked.stop_wanted,
        finished=FINISHED,
    )
    return Part(name, study, place, options)


def _check_names(target: Target, asked: Asked) -> None:
    for name in asked.only or ():
        if name not in target.studies:
            known = ", ".join(target.studies)
            raise InputError(
                f"{target.name} has no study {name!r}; expected one of {known}"
                f"{hint(name, target.studies)}"
            )
        if name not in target.studies_at(asked.scale):
            raise InputError(f"{target.name}: {name} is skipped at small scale; use --scale full")


def _analysis(target: Target) -> ModuleType:
    try:
        return importlib.import_module(target.analysis)
    except Exception as error:
        raise InputError(
            f"{target.name}: cannot import its analysis module {target.analysis}: {told(error)}"
        ) from error


def _call(target: Target, module: ModuleType, name: str, *arguments: Any) -> Any:
    function = getattr(module, name, None)
    if function is None:
        raise AflSimError(f"{target.analysis} has no function {name}")
    try:
        return function(*arguments)
    except AflSimError:
        raise
    except Exception as error:
        raise AflSimError(f"{target.analysis}.{name}: {told(error)}") from error


def _made(target: Target, asked: Asked, studies: Mapping[str, Sequence[Run]]) -> dict[str, Any]:
    """The software and machine of the results, from the manifests of their runs."""
    runs = [run for found in studies.values() for run in found]
    manifest = runs[0].manifest if runs else {}
    words = ["afl-sim reproduce", target.name, f"--scale {asked.scale}"]
    if asked.only is not None:
        words += [f"--study {name}" for name in studies]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": " ".join(words),
        "minutes": round(_minutes(runs), 2),
        "code": code_digest(),
        "machine": f"{manifest.get('machine')} {manifest.get('cpu')}, "
        f"{manifest.get('cpu_count')} processors",
        "torch": (manifest.get("libraries") or {}).get("torch"),
        "numerics": manifest.get("numerics"),
    }


def _ran(target: Target, scale: Scale, name: str, runs: Sequence[Run]) -> dict[str, Any]:
    small = target.studies[name].small
    cut = small.cut if scale == "small" and small is not None and small != "skip" else ""
    return {
        "cut": cut,
        "minutes": round(_minutes(runs), 2),
        "runs": [
            {
                "label": run.label,
                "status": run.status,
                "schedule_digest": run.summary.get("schedule_digest"),
                "model_digest": run.summary.get("model_digest"),
                "bits": bits_of(run.summary) if run.summary.get("model_digest") else None,
            }
            for run in runs
        ],
    }


def _minutes(runs: Sequence[Run]) -> float:
    return sum((run.summary.get("wall_seconds") or {}).get("total") or 0.0 for run in runs) / 60
