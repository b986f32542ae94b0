"""The runs of a study, opened for reading."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from afl_sim.errors import RunFolderError
from afl_sim.recording.study_index import is_single_run, not_begun
from afl_sim.run.opened import Run, load_runs
from afl_sim.scenario.wording import hint

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Study(Sequence[Run]):
    """A study folder, read only: a sequence of its runs; a notebook shows its table.

    Attributes:
        path: the folder.
        runs: the runs that have begun, in the study's order.
        not_begun: the labels of the others.
        errors: why runs failed or were not started, by label. Only `run_study` knows it.

    Example:
        >>> from afl_sim import run_study
        >>> two = ["replications=2"]
        >>> study = run_study("scenarios/smallest.yaml", settings=two, timing_only=True)
        >>> [run.label for run in study]
        ['r0', 'r1']
        >>> study["r1"].status
        'complete'
        >>> study.frame[["run", "seed", "versions"]].shape
        (2, 3)
    """

    path: Path
    runs: tuple[Run, ...]
    not_begun: tuple[str, ...] = ()
    errors: Mapping[str, str] = field(default_factory=dict)

    @overload
    def __getitem__(self, which: int | str) -> Run: ...
    @overload
    def __getitem__(self, which: slice) -> tuple[Run, ...]: ...

    def __getitem__(self, which: int | str | slice) -> Run | tuple[Run, ...]:
        """A run by its label or its place, or several by a slice.

        Raises:
            KeyError: no run has this label.
        """
        if not isinstance(which, str):
            return self.runs[which]
        labels = [run.label for run in self.runs]
        if which not in labels:
            raise KeyError(f"there is no run {which!r}{hint(which, labels)}")
        return self.runs[labels.index(which)]

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __repr__(self) -> str:
        return f"<study of {len(self)} runs in {self.path}>"

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per run: its labels, the settings that vary, its seed, and its measures.

        The columns are described in docs/python.md, and see `afl_sim.analysis.frame.runs_frame`.
        """
        from afl_sim.analysis.frame import runs_frame

        return runs_frame(self.runs)

    @property
    def metrics(self) -> pd.DataFrame:
        """The evaluations of all runs, one row each: `Run.metrics` after ``run``, ``setting``,
        ``strategy`` and ``seed``."""
        return self._stacked("metrics")

    @property
    def client_metrics(self) -> pd.DataFrame:
        """The metrics of clients of all runs: `Run.client_metrics` after the same columns."""
        return self._stacked("client_metrics")

    @property
    def tasks(self) -> pd.DataFrame:
        """The tasks of all runs, one row each: `Run.tasks` after the same columns."""
        return self._stacked("tasks")

    @property
    def events(self) -> pd.DataFrame:
        """The events of all runs, one row each: `Run.events` after the same columns."""
        return self._stacked("events")

    def _stacked(self, name: str) -> pd.DataFrame:
        from afl_sim.analysis.frame import stacked

        return stacked(self.runs, name, self.frame)

    def _repr_html_(self) -> str:
        from afl_sim.study.html import study_html

        return study_html(self.path, self.runs, self.frame, self.not_begun)


def load_study(path: Path | str) -> Study:
    """Open a study folder.

    Raises:
        RunFolderError: it is not a study folder, no run of it has begun, or one is damaged.
    """
    folder = Path(path)
    if is_single_run(folder) and folder.is_dir():
        raise RunFolderError(f"{folder} is not a study folder: it contains no runs")
    return Study(folder, tuple(load_runs([folder])), tuple(not_begun([folder])))
