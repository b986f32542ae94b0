"""Which runs a study has, and which of them have begun."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from afl_sim.recording.contents import read_json
from afl_sim.recording.documents import StudyIndex, check_document
from afl_sim.recording.folder import SCENARIO, STUDY
from afl_sim.scenario.wording import one_line


def is_single_run(path: Path) -> bool:
    """Whether a path is read as a single run: a run folder, or anything that is no study."""
    return not path.is_dir() or (path / SCENARIO).exists() or not is_study(path)


def is_study(folder: Path) -> bool:
    """Whether a folder is a study: it has ``study.json``, or run folders directly inside."""
    return (folder / STUDY).is_file() or any(folder.glob(f"*/{SCENARIO}"))


def not_begun(paths: Iterable[Path | str]) -> list[str]:
    """The labels of runs that have not begun, in those paths that are studies.

    Raises:
        RunFolderError: a study's index is damaged.
    """
    labels: list[str] = []
    for folder in dict.fromkeys(map(Path, paths)):
        if not is_single_run(folder):
            begun = set(run_names(folder))
            labels += [one_line(label) for label in _listed(folder) if label not in begun]
    return labels


def read_study_index(folder: Path) -> dict[str, Any]:
    """``study.json``: at least ``runs``, the labels."""
    index = read_json(folder / STUDY)
    check_document(StudyIndex, index, folder / STUDY)
    return {"runs": [], **index}


def titles_in(folder: Path) -> Mapping[str, str]:
    """What a study calls its runs, by their folders; empty where that says it, or for no study.

    The index is read once for all runs, since it is as long as there are runs.
    """
    try:
        found = (folder / STUDY).stat()
    except OSError:
        return {}
    return _titles(folder, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4)
def _titles(folder: Path, *version: int) -> Mapping[str, str]:
    return read_study_index(folder).get("titles") or {}


def _listed(folder: Path) -> list[str]:
    if not (folder / STUDY).is_file():
        return []
    return list(dict.fromkeys(read_study_index(folder)["runs"]))


def run_names(folder: Path) -> list[str]:
    """The names of the run folders in a study, in its order; runs not yet begun are left out."""
    listed = dict.fromkeys(_listed(folder))
    found = sorted(entry.parent.name for entry in folder.glob(f"*/{SCENARIO}"))
    there = dict.fromkeys(name for name in found if not name.startswith("."))
    return [*(name for name in listed if name in there), *(n for n in there if n not in listed)]
