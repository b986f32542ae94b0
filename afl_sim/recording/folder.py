"""Making run folders.

A folder is built as a draft beside its place and appears by one rename, with everything in it that
a reader must find there. Files that come later are each written whole.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording.drafts import draft_folder, remove_drafts
from afl_sim.recording.files import (
    make_folder,
    os_reason,
    refuse_link,
    write_bytes,
    write_json,
    writing,
)
from afl_sim.recording.holding import close, open_folder
from afl_sim.recording.locking import lock_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCENARIO: Final = "scenario.yaml"
MANIFEST: Final = "manifest.json"
EVENTS: Final = "events.parquet"
METRICS: Final = "metrics.parquet"
PARTITION: Final = "partition.parquet"
SUMMARY: Final = "summary.json"
MODEL: Final = "model.safetensors"
MODEL_ORDER: Final = "order"
MODELS: Final = "models"
PERSONAL: Final = "personal.safetensors"
PERSONAL_CLIENTS: Final = "clients"
TRACE: Final = "trace.json"
STUDY: Final = "study.json"
STUDY_SOURCE: Final = "study.yaml"
CHECKPOINT: Final = "checkpoint"
TENSORBOARD: Final = "tensorboard"

# The rename itself is refused where the place is a mount point or its parent takes no entries.
_NO_RENAME: Final = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV}


class Folder:
    """A folder that was made by `create` and belongs to this process.

    Attributes:
        path: where it is, absolute.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._existed = True
        self._made_parents: list[Path] = []

    @classmethod
    def _appear(cls, path: Path, files: Mapping[str, bytes]) -> Self:
        place = path.resolve()
        check_free(place)
        folder = cls(place)
        folder._existed = place.exists()
        try:
            folder._made_parents = _make_parents(place)
            _appear(place, files)
        except (AflSimError, OSError) as error:
            _remove_empty(folder._made_parents)
            if isinstance(error, RunFolderError):
                raise
            cause = error if isinstance(error, OSError) else error.__cause__
            why = os_reason(cause) if isinstance(cause, OSError) else str(error)
            raise RunFolderError(f"cannot make the folder {path}: {why}") from error
        return folder

    def write_json(self, name: str, content: Any) -> Path:
        """Write a JSON file; numbers that are not finite become null. Returns its path."""
        write_json(self.path / name, content)
        return self.path / name

    def discard(self) -> None:
        """Remove the folder and all in it, as if it had never been made."""
        if self._existed:
            with suppress(OSError):
                for entry in list(self.path.iterdir()):
                    if entry.is_dir() and not entry.is_symlink():
                        shutil.rmtree(entry, ignore_errors=True)
                    else:
                        entry.unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)
            _remove_empty(self._made_parents)


class RunFolder(Folder):
    """The folder of one run, while it is being written."""

    _there: os.stat_result | None = None  # the folder that is locked

    @classmethod
    def create(
        cls,
        path: Path,
        scenario_yaml: str,
        manifest: Mapping[str, Any],
        partition: bytes | None = None,
    ) -> Self:
        """Make the folder of a run, which appears with these files inside.

        Args:
            path: where; must be missing or an empty folder.
            scenario_yaml: the resolved scenario.
            manifest: see `afl_sim.recording.manifest.build_manifest`.
            partition: see `afl_sim.recording.shares.partition_file`.

        Raises:
            RunFolderError: something is in the way, or the place cannot be written.
        """
        files = {MANIFEST: as_json(manifest)}
        if partition is not None:
            files[PARTITION] = partition
        return cls._appear(path, {**files, SCENARIO: scenario_yaml.encode()})

    @classmethod
    def open(cls, path: Path) -> Self:
        """Continue to write to the existing folder of a run.

        Raises:
            RunFolderError: there is no run in it.
        """
        if not (path / SCENARIO).is_file():
            raise RunFolderError(f"{path} is not a run folder: it has no {SCENARIO}")
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder against other processes; a lock ends with the process that holds it.

        What killed processes left half written is removed.

        Raises:
            RunFolderError: another process is writing to it, it cannot be locked, or a link in it
                leads elsewhere.
        """
        with lock_of(self.path):
            for name in (CHECKPOINT, TENSORBOARD, MODELS):
                refuse_link(self.path / name)
            remove_drafts(self.path)
            remove_drafts(self.path.parent, self.path.name)
            # While it is open, no other folder can be taken for it.
            descriptor = open_folder(self.path, through_link=True)
            try:
                self._there = os.stat(self.path if descriptor is None else descriptor)
                yield
            finally:
                close(descriptor)
                self._there = None

    def check_there(self) -> None:
        """Check that the folder that is held is still in its place.

        Raises:
            AflSimError: it is not.
        """
        if self._there is None:
            return
        with suppress(OSError):
            if os.path.samestat(self._there, os.stat(self.path)):
                return
        raise AflSimError(
            f"{self.path} was removed or moved during the run; nothing more is written to it"
        )

    def forget_results(self) -> None:
        """Remove the files of an interrupted run except its checkpoints, from which it continues.

        Until the run ends again the folder says that it has not.
        """
        for name in (SUMMARY, EVENTS, METRICS, MODEL, PERSONAL, TRACE):  # the summary first
            with writing(self.path / name):
                (self.path / name).unlink(missing_ok=True)

    @property
    def events_path(self) -> Path:
        """Where the event log streams to."""
        return self.path / EVENTS

    @property
    def metrics_path(self) -> Path:
        """Where the metrics log is written."""
        return self.path / METRICS

    @property
    def trace_path(self) -> Path:
        """Where the Chrome trace is written."""
        return self.path / TRACE

    @property
    def partition_path(self) -> Path:
        """Where the samples that each client holds are written."""
        return self.path / PARTITION

    @property
    def checkpoint_path(self) -> Path:
        """The folder of the latest snapshots."""
        return self.path / CHECKPOINT

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Write ``summary.json``, the last file of a run, and return its path."""
        return self.write_json(SUMMARY, summary)

    def write_model(self, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Path:
        """Write the final model as ``model.safetensors`` and return its path.

        The order of the arrays is kept in the file's metadata, under `MODEL_ORDER`.
        """
        return self._write_tensors(MODEL, tensors, {})

    def write_model_of(self, version: int, tensors: Mapping[str, npt.NDArray[np.generic]]) -> Path:
        """Write the model of a version into the folder ``models`` and return its path."""
        make_folder(self.path / MODELS)
        return self._write_tensors(f"{MODELS}/{model_name(version)}", tensors, {})

    def keep_models_of(self, versions: Collection[int]) -> None:
        """Remove all models in the folder ``models`` but those of these versions.

        A run that was broken off and begun anew with other code may have left others.
        """
        for version, path in models_in(self.path).items():
            if version not in versions:
                with writing(path):
                    path.unlink(missing_ok=True)

    def write_personal(
        self, clients: Sequence[int], tensors: Mapping[str, npt.NDArray[np.generic]]
    ) -> Path:
        """Write what clients keep for themselves as ``personal.safetensors``; returns its path.

        Args:
            clients: those that have something of their own, ascending.
            tensors: by name. Row 0 is what the other clients have, and every client has one of the
                rows that follow.
        """
        return self._write_tensors(PERSONAL, tensors, {PERSONAL_CLIENTS: json.dumps(list(clients))})

    def _write_tensors(
        self,
        file: str,
        tensors: Mapping[str, npt.NDArray[np.generic]],
        further: Mapping[str, str],
    ) -> Path:
        import numpy
        from safetensors.numpy import save

        whole = {name: numpy.asarray(tensor, order="C") for name, tensor in tensors.items()}
        # The format sorts the arrays in its own way.
        write_bytes(
            self.path / file, save(whole, {MODEL_ORDER: json.dumps(list(whole)), **further})
        )
        return self.path / file


def model_name(version: int) -> str:
    """The name of the file with the model of a version."""
    return f"version-{version}.safetensors"


def models_in(folder: Path) -> dict[int, Path]:
    """The files with models of a run's versions, ascending."""
    found = {}
    for path in (folder / MODELS).glob("version-*.safetensors"):
        number = path.name.removeprefix("version-").removesuffix(".safetensors")
        if number.isdecimal() and path.name == model_name(int(number)):
            found[int(number)] = path
    return dict(sorted(found.items()))


def check_free(path: Path) -> None:
    """Raise `RunFolderError` unless ``path`` is missing or an empty folder."""
    try:
        if not path.exists() and not path.is_symlink():
            return
        if not path.is_dir():
            raise RunFolderError(f"{path} exists and is not a folder")
        if any(path.iterdir()):
            raise RunFolderError(f"{path} is not empty; choose another folder or remove it")
    except OSError as error:
        raise RunFolderError(f"cannot use {path}: {os_reason(error)}") from error


def _appear(place: Path, files: Mapping[str, bytes]) -> None:
    try:
        if place.exists() and place == Path.cwd():
            raise OSError(errno.EBUSY, "in use")  # a rename would pull the shell's folder away
        with draft_folder(place) as draft:
            for name, content in files.items():
                write_bytes(draft / name, content)
            os.rename(draft, place)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            raise RunFolderError(f"{place} was just made by another run") from error
        if error.errno not in _NO_RENAME or not place.exists():
            raise
        # An empty folder that cannot be replaced is filled instead, the scenario last.
        for name, content in files.items():
            write_bytes(place / name, content)


def _make_parents(place: Path) -> list[Path]:
    """Make the missing parents of ``place``; returns them, the innermost first."""
    missing = []
    for parent in place.parents:
        if parent.exists():
            break
        missing.append(parent)
    place.parent.mkdir(parents=True, exist_ok=True)
    return missing


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def as_json(content: Any) -> bytes:
    """JSON text with a newline at its end."""
    # In ASCII, since a word of the command line need not be text of any encoding.
    return (json.dumps(content, indent=2, default=str) + "\n").encode()
