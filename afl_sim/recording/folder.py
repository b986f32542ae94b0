"""The folder of one run while it is written, and the names of what is in it.

Files that come later than the folder are each written whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.recording.drafts import remove_drafts
from afl_sim.recording.files import (
    make_folder,
    refuse_link,
    write_bytes,
    writing,
)
from afl_sim.recording.holding import close, open_folder
from afl_sim.recording.locking import lock_of
from afl_sim.recording.result_folder import Folder, as_json

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
