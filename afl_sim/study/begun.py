"""An unfinished study, read again with the settings that it was started with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from afl_sim.errors import RunFolderError
from afl_sim.recording.folder import STUDY, STUDY_SOURCE
from afl_sim.recording.study_folder import part_source
from afl_sim.recording.study_index import read_study_index
from afl_sim.run.validation import Source, check_studies
from afl_sim.scenario import Study
from afl_sim.study.case import Options, Origin


def index_entries(options: Options) -> dict[str, Any]:
    """The entries of ``study.json`` that state how the study was started."""
    origin = options.origin
    if origin is None:
        return {}
    return {
        "settings": list(origin.settings),
        "seed": origin.seed,
        "folder": str(origin.folder),
        "timing_only": options.timing_only,
    }


def read_again(folder: Path, settings: Sequence[str] = ()) -> tuple[Study, bool, Origin]:
    """Read the scenario file of a study from its folder.

    Args:
        folder: the folder of the study.
        settings: further overrides, ``key.path=value``.

    Returns:
        The study, whether it runs without training, and how it was read at first.

    Raises:
        RunFolderError: the folder does not state how the study was started.
        ScenarioError: the file, or a file that it names, has mistakes now.
    """
    index = read_study_index(folder) if (folder / STUDY).is_file() else None
    if index is None or index.get("settings") is None or index.get("folder") is None:
        why = "does not state how the study was started"
        if index is None:
            why = f"has no {STUDY}, which lists the runs of the study"
        raise RunFolderError(
            f"{folder} {why}; continue it with `afl-sim run SCENARIO --out {folder} --resume`, or "
            "resume its runs one by one"
        )
    origin = Origin(tuple(index["settings"]), index.get("seed"), Path(index["folder"]))
    timing_only = bool(index.get("timing_only"))
    overrides = [*origin.settings, *settings]
    files = index.get("files")
    if files:
        sources = [
            Source(folder / part_source(name), Path(base), (f"name='{name}'",))
            for name, base in files.items()
        ]
    else:
        name = () if index.get("name") is None else (f"name='{index['name']}'",)
        sources = [Source(folder / STUDY_SOURCE, origin.folder, name)]
    study = check_studies(sources, overrides, origin.seed, timing_only=timing_only, here=True)
    return study, timing_only, origin
