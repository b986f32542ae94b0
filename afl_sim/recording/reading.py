"""Reading run folders and study folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from afl_sim.errors import RunFolderError
from afl_sim.recording.contents import read_json, read_yaml
from afl_sim.recording.documents import Described, Manifest, Summary, check_document
from afl_sim.recording.folder import EVENTS, MANIFEST, METRICS, SCENARIO, STUDY, SUMMARY
from afl_sim.recording.parquet import check_columns
from afl_sim.recording.recorded_run import Run
from afl_sim.recording.study_index import is_single_run, is_study, run_names, titles_in
from afl_sim.scenario.wording import one_line

_LONGEST = 1000  # characters of names in a message


def load_run(path: Path | str) -> Run:
    """Read a run folder whose run need not have ended; `Run.summary` is then empty.

    Raises:
        RunFolderError: there is no run folder, or a file in it is damaged or should be there and
            is not; the message names the file.
    """
    run = load_head(path)
    # A run fails, too, where the disk is too full for its tables.
    _check_tables(run.path, bool(run.summary) and run.status != "failed")
    return run


def load_head(path: Path | str) -> Run:
    """Read a run folder without its tables, which is enough to continue the run.

    Raises:
        RunFolderError: as for `load_run`.
    """
    folder = Path(path)
    _require_folder(folder)
    if not (folder / SCENARIO).exists():
        if is_study(folder):
            names = one_line(", ".join(run_names(folder)), _LONGEST)
            raise RunFolderError(f"{folder} is a study: name one of its runs ({names})")
        raise RunFolderError(f"{folder} is not a run folder: it has no {SCENARIO}")
    scenario = read_yaml(folder / SCENARIO)
    check_document(Described, scenario, folder / SCENARIO)
    manifest = read_json(folder / MANIFEST)
    check_document(Manifest, manifest, folder / MANIFEST)
    summary = {}
    if (folder / SUMMARY).exists():
        summary = read_json(folder / SUMMARY)
        check_document(Summary, summary, folder / SUMMARY)
    name = scenario.get("name") or folder.resolve().name
    place = folder.resolve()
    in_study = (place.parent / STUDY).exists()
    label = manifest.get("label") or (place.name if in_study else name)
    title = one_line(titles_in(place.parent).get(place.name, ""))
    return Run(folder, one_line(name), one_line(label), scenario, summary, manifest, title)


def _runs_of_study(folder: Path) -> list[Run]:
    """All runs of a study folder, in the study's order; runs not yet begun are left out."""
    names = run_names(folder)
    if not names:
        raise RunFolderError(f"{folder} is a study in which no run has begun")
    return [load_run(folder / name) for name in names]


def load_runs(paths: Iterable[Path | str]) -> list[Run]:
    """Read run folders and study folders, mixed, in order; a folder named twice counts once.

    Raises:
        RunFolderError: one of them is neither, or is damaged.
    """
    runs: dict[Path, Run] = {}
    for path in map(Path, paths):
        for run in [load_run(path)] if is_single_run(path) else _runs_of_study(path):
            runs.setdefault(run.path.resolve(), run)
    return list(runs.values())


def _require_folder(folder: Path) -> None:
    if not folder.exists():
        raise RunFolderError(f"there is no run folder {folder}")
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is not a run folder: it is a file")


def _check_tables(folder: Path, must: bool) -> None:
    """Check the footers of the Parquet files, which hold columns and counts; rows are read later.

    Args:
        folder: the run folder.
        must: whether they have to be there.
    """
    from afl_sim.recording import event_table, metrics

    for name, schema, later in (
        (EVENTS, event_table.schema(), ()),
        (METRICS, metrics.schema(), metrics.LATER),
    ):
        if (folder / name).exists():
            check_columns(folder / name, schema, later)
        elif must:
            raise RunFolderError(f"{folder / name} is missing: the run folder is incomplete")
