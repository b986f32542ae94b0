"""A run folder that is read: its documents, tables and models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from afl_sim.errors import RunFolderError
from afl_sim.recording.contents import read_model, read_personal
from afl_sim.recording.folder import METRICS, MODEL, PARTITION, PERSONAL, models_in
from afl_sim.recording.parquet import columns_at, read_table
from afl_sim.recording.run_events import RunEvents
from afl_sim.scenario.wording import one_line

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

_LONGEST = 1000  # characters of versions in a message


class KeptModels(Mapping[int, dict[str, Any]]):
    """The models in a run folder by version, each a dictionary of NumPy arrays by name.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = models_in(folder)

    def __getitem__(self, version: int) -> dict[str, npt.NDArray[np.generic]]:
        return read_model(self._files[version])

    def __iter__(self) -> Iterator[int]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def __repr__(self) -> str:
        return f"<models of {len(self)} versions in {self._folder}>"


@dataclass(frozen=True)
class Run(RunEvents):
    """A run folder, read only.

    Events, metrics and the model are read when they are first asked for.

    Attributes:
        path: the run folder.
        name: the scenario's name.
        label: a short name to tell it from its neighbours: its label in a study, else its name.
        title: names its setting in figures and tables; empty if the label does.
        scenario: the resolved scenario, as plain dicts and lists.
        summary: ``summary.json``; empty while the run has not ended.
        manifest: ``manifest.json``.
    """

    path: Path
    name: str
    label: str
    scenario: dict[str, Any] = field(repr=False)
    summary: dict[str, Any] = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)
    title: str = ""

    @property
    def status(self) -> str:
        """``complete``, ``interrupted``, ``diverged`` or ``failed``; ``unfinished`` so far."""
        return str(self.summary.get("status", "unfinished"))

    @property
    def timing_only(self) -> bool:
        """Whether nothing was trained."""
        return bool(self.manifest.get("timing_only"))

    @property
    def strategy(self) -> str:
        """The kind of the strategy, such as ``fedbuff``."""
        block = self.scenario.get("strategy")
        return one_line(str(block.get("kind", "?") if isinstance(block, dict) else block))

    @property
    def targets(self) -> tuple[float, ...]:
        """The scenario's target accuracies, ascending."""
        return self.targets_of("accuracy")

    def targets_of(self, metric: str) -> tuple[float, ...]:
        """The scenario's targets of a metric, ascending."""
        from afl_sim.scenario.sections.metrics import targets_by_metric

        evaluation = self.scenario.get("evaluation") or {}
        targets = targets_by_metric(evaluation.get("targets") or ()).get(metric, ())
        return tuple(sorted(float(target) for target in targets))

    @property
    def better(self) -> dict[str, str]:
        """The metrics of the run's evaluations: ``higher`` or ``lower``, whichever is better.

        The first one is the run's main metric. Without training there is none.
        """
        told = self.summary.get("metrics")
        if told is not None:
            return dict(told)
        accuracy = self.timing_only or (self.summary.get("final") or {}).get("accuracy") is None
        return {} if accuracy else {"accuracy": "higher"}

    @property
    def main_metric(self) -> str:
        """The metric that is drawn; ``accuracy`` where none is known."""
        return next(iter(self.better), "accuracy")

    @cached_property
    def client_groups(self) -> pd.Series:
        """The name of each client's group (category), by client; empty without groups."""
        from afl_sim.recording.client_groups import client_groups

        return client_groups(self.scenario)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per evaluation; no rows in a run without training.

        Columns: ``time_us`` (microseconds), ``version``, ``updates``, ``samples``, ``accuracy``
        and ``class_accuracy`` (0 to 1), ``loss`` (mean per sample), ``squared_gradient_norm`` (of
        the training objective; missing where the scenario does not ask for it), ``status`` (``ok``;
        ``diverged``, and then all numbers of the model are missing; ``gradient diverged``, and then
        the gradient's norm is). Each further metric has a column of its name. If the scenario asks
        for the metrics of each client, ``client_<metric>`` holds a list with a number for each.
        """
        import pyarrow as pa

        from afl_sim.recording.metrics import LATER, OPTIONAL, further_columns, schema, to_frame

        path = self.path / METRICS
        further = further_columns(columns_at(path))
        wanted = pa.schema([*schema(), *further])
        frame = to_frame(read_table(path, wanted, (*OPTIONAL, *further.names), LATER))
        classes = {len(row) for row in frame["class_accuracy"] if row is not None and len(row)}
        if len(classes) > 1:
            raise RunFolderError(
                f"{path} is damaged: evaluations have different numbers of classes"
            )
        return frame

    @property
    def evaluations(self) -> pd.DataFrame:
        """The rows of `metrics` that have numbers: all but an evaluation that diverged."""
        frame = self.metrics
        return frame[frame["accuracy"].notna() | frame["loss"].notna()]

    @cached_property
    def label_counts(self) -> pd.DataFrame:
        """Samples by client (rows, from 0) and label (columns); the first 2,000 clients at most.

        Empty where the run did not record it.
        """
        import pandas as pd

        from afl_sim.recording.shares import MOST_CLIENTS, schema

        path = self.path / PARTITION
        if not path.exists():
            return pd.DataFrame()
        table = read_table(path, schema(), (), most_rows=MOST_CLIENTS)
        try:
            counts = np.array(table.column("labels").to_pylist(), dtype=np.int64)
        except (TypeError, ValueError):
            raise RunFolderError(
                f"{path} is damaged: labels of clients differ in number, or are missing"
            ) from None
        index = pd.Index(table.column("client").to_numpy(), name="client")
        return pd.DataFrame(counts, index=index)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """One row per task; see `afl_sim.recording.tasks.task_table`."""
        from afl_sim.recording.tasks import task_table

        return task_table(self.events)

    def model(self, at: int | None = None) -> dict[str, npt.NDArray[np.generic]]:
        """A global model's arrays by name, in the model's own order.

        Args:
            at: its version, one of `models`; None for the final model.

        Raises:
            RunFolderError: the run has no model (it was timing only, or has not ended), or none of
                this version; or the file is damaged.
        """
        if at is None:
            return read_model(self.path / MODEL)
        kept = self.models
        if at not in kept:
            there = one_line(", ".join(map(str, kept)), _LONGEST)
            what = (
                f"it has those of {there}" if kept else "recording.models: evaluations keeps them"
            )
            raise RunFolderError(f"{self.path} has no model of version {at}; {what}")
        return kept[at]

    @property
    def models(self) -> KeptModels:
        """The evaluated models by version, ascending; each is read when it is asked for.

        Empty unless ``recording.models`` is ``evaluations``.
        """
        return KeptModels(self.path)

    def personal(self, client: int) -> dict[str, npt.NDArray[np.generic]]:
        """What a client kept of the model for itself at the end of the run: arrays by name.

        They are the parts that ``model.personal`` names. A client of which no update had arrived
        has their initial values.

        Args:
            client: its index.

        Raises:
            RunFolderError: there is no such client; clients keep nothing for themselves in this
                run, or it has not come to its end; or the file is damaged.
        """
        clients, arrays = self._personal
        count = int((self.scenario.get("clients") or {}).get("count") or 0)
        if not 0 <= client < count:
            raise RunFolderError(
                f"{self.path} has no client {client}; expected a number from 0 to {count - 1}"
            )
        row = clients.index(client) + 1 if client in clients else 0
        return {name: array[row] for name, array in arrays.items()}

    @cached_property
    def _personal(self) -> tuple[list[int], dict[str, npt.NDArray[np.generic]]]:
        return read_personal(self.path / PERSONAL)
