"""Runs what a target lacks, measures it, and writes its results down."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import repeat
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from afl_sim.blame import told
from afl_sim.builtin import scenario_folder
from afl_sim.cases import finished_before
from afl_sim.code import code_digest
from afl_sim.errors import AflSimError, InputError
from afl_sim.parallel import Watch
from afl_sim.recording import Run, load_runs
from afl_sim.recording.files import reason, write_bytes, write_text
from afl_sim.reproduction.pages import to_csv, to_markdown
from afl_sim.reproduction.results import Results, checked, read_results
from afl_sim.reproduction.target import Scale, Target, paper_folder
from afl_sim.scenario import Study
from afl_sim.scenario.checks import one_process
from afl_sim.scenario.wording import hint
from afl_sim.studies import RUNS, Options, Outcome, run_study, study_id
from afl_sim.validation import check_study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TO_MEASURE = ("complete", "diverged")  # a run that diverges has a result to tell


@dataclass(frozen=True)
class Asked:
    """How a target is reproduced.

    Attributes:
        scale: small or full.
        out: where runs and results go; None for ``runs/papers/<target>``.
        only: the studies to run; of the others what is finished counts. None: all.
        execution: settings of where tasks run, ``key.path=value``, for all that can have them.
        command: the command line, for the manifests.
        stop_wanted: asked after each version; True breaks off there.
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
    watch: Watch = lambda case: None,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> tuple[Results, list[Path]]:
    """Run what is missing of a target, and write its tables and its figure.

    Args:
        target: what to reproduce.
        asked: how.
        expect: told how many runs there will be.
        watch, tell: as for `run_study`.

    Returns:
        The results, and the files written.

    Raises:
        InputError: a scenario is wrong; nothing was run.
        AflSimError: runs failed, or what they gave cannot be measured.
    """
    module = _analysis(target)
    parts = [_part(target, name, asked) for name in target.studies_at(asked.scale)]
    wanted = [part for part in parts if _is_wanted(target, part, asked)]
    expect(sum(len(part.study.cases) for part in wanted))
    failed: list[str] = []
    for part in wanted:
        _, outcomes = run_study(part.study, part.options, watch, tell)
        failed += [
            f"{part.name}, {outcome.label}: {outcome.error or 'did not come to its end'}"
            for outcome in outcomes
            if outcome.run is None or outcome.run.status not in _TO_MEASURE
        ]
    if failed:
        raise AflSimError("\n".join(f"{target.name}: {line}" for line in failed))
    studies = {part.name: load_runs([part.place]) for part in wanted}
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
    figure = _call(target, module, "draw", studies, target) if target.figure else None
    return results, _write(target, results, figure, output_folder(target.name, asked.out))


def keep(target: Target, results: Results, written: Sequence[Path]) -> list[Path]:
    """Write results beside the target, and its figure among those of the documentation.

    What is there already of studies that were not run stays. The figure shows only what was run,
    so that it is left as it is where something stays; that of the small scale gives way to that of
    the full one.

    Returns:
        The files.

    Raises:
        AflSimError: they cannot be written there.
    """
    path = target.results(results.scale)
    _make(path.parent)
    earlier = read_results(path)
    here, results = results, results if earlier is None else results.completed_by(earlier)
    results.write(path)
    write_text(path.with_suffix(".csv"), to_csv(target, results))
    kept = [path, path.with_suffix(".csv")]
    images = scenario_folder().parent / "docs" / "images"
    best = results.scale == "full" or not target.results("full").exists()
    if best and results is here and images.is_dir() and target.folder.parent == paper_folder():
        for picture in (path for path in written if path.suffix == ".png"):
            kept.append(images / f"papers-{target.name}.png")
            write_bytes(kept[-1], picture.read_bytes())
    return kept


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
    )
    return Part(name, study, place, options)


def _is_wanted(target: Target, part: Part, asked: Asked) -> bool:
    if asked.only is None:
        return True
    for name in asked.only:
        if name not in target.studies:
            known = ", ".join(target.studies)
            raise InputError(
                f"{target.name} has no study {name!r}; expected one of {known}"
                f"{hint(name, target.studies)}"
            )
    return part.name in asked.only or part.finished()


def _analysis(target: Target) -> ModuleType:
    try:
        return importlib.import_module(target.analysis)
    except Exception as error:
        raise InputError(
            f"{target.name}: cannot import {target.analysis}, which measures: {told(error)}"
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
    """What the results were made with, from the manifests of their runs."""
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
            }
            for run in runs
        ],
    }


def _minutes(runs: Sequence[Run]) -> float:
    return sum((run.summary.get("wall_seconds") or {}).get("total") or 0.0 for run in runs) / 60


def _write(target: Target, results: Results, figure: Figure | None, folder: Path) -> list[Path]:
    from analysis.drawing import save

    place = folder / results.scale
    _make(place)
    results.write(place / "results.json")
    write_text(place / "table.csv", to_csv(target, results))
    write_text(place / "table.md", to_markdown(target, results))
    written = [place / "table.csv", place / "table.md"]
    if figure is not None:
        written += save(figure, place / target.name, ("png", "pdf"))
    return written


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AflSimError(f"cannot make the folder {folder}: {reason(error)}") from error
