"""Making study folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from afl_sim.errors import AflSimError
from afl_sim.recording.files import refuse_link, write_bytes
from afl_sim.recording.folder import STUDY, STUDY_SOURCE
from afl_sim.recording.result_folder import Folder, as_json


class StudyFolder(Folder):
    """The folder of a study: ``study.json``, and a run folder for each label."""

    @classmethod
    def create(
        cls,
        path: Path,
        name: str,
        labels: Sequence[str],
        scenario_yaml: str | None = None,
        more: Mapping[str, Any] | None = None,
        parts: Mapping[str, str] | None = None,
    ) -> Self:
        """Make the folder of a study.

        Args:
            path: where; must be missing or an empty folder.
            name: the study's name.
            labels: its runs in order; each is a folder name.
            scenario_yaml: the source of the study, kept as ``study.yaml``.
            parts: the sources by their names, if there are several.
            more: further entries of ``study.json``; see `afl_sim.recording.documents.StudyIndex`.

        Raises:
            RunFolderError: something is in the way, or the place cannot be written.
        """
        files = {STUDY: as_json({"name": name, "runs": list(labels), **(more or {})})}
        if scenario_yaml is not None:
            files[STUDY_SOURCE] = scenario_yaml.encode()
        for part, text in (parts or {}).items():
            files[part_source(part)] = text.encode()
        return cls._appear(path, files)


def part_source(name: str) -> str:
    """The file with a copy of one of several sources of a study."""
    return f"study-{name}.yaml"


def keep_source(path: Path, scenario_yaml: str, name: str = STUDY_SOURCE) -> None:
    """Write a source of a study into its folder, if another one is there.

    Args:
        path: the folder of the study.
        scenario_yaml: the source.
        name: of its file.

    Raises:
        AflSimError: it cannot be written.
    """
    place = path / name
    if place.is_file() and place.read_bytes() != scenario_yaml.encode():
        refuse_link(place)
        write_bytes(place, scenario_yaml.encode())


def check_study_there(path: Path) -> None:
    """Check that a running study still has its folder.

    Raises:
        AflSimError: it has not; a run in it would make it anew.
    """
    if not (path / STUDY).is_file():
        raise AflSimError(
            f"{path} was removed or moved during the study; no further runs are started"
        )
