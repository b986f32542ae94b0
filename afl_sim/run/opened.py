"""A run folder that is opened for reading, with what only the other rooms know of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afl_sim import recording
from afl_sim.recording.client_metrics import client_metrics
from afl_sim.recording.tasks import MILESTONES
from afl_sim.run.html import run_html
from afl_sim.world.microseconds import MICROSECONDS

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from afl_sim.learning.partition import Dealt


@dataclass(frozen=True)
class Run(recording.Run):
    """A run folder, read only; a notebook shows its summary.

    Events, metrics and models are read when they are first asked for.

    Example:
        >>> from afl_sim import simulate
        >>> run = simulate("scenarios/smallest.yaml")
        >>> run.predict().shape  # of the test set
        (10000,)
        >>> len(run.samples(3))
        100
    """

    @cached_property
    def events(self) -> pd.DataFrame:
        """One row per event, in order: `afl_sim.recording.Run.events`, and ``seconds`` after
        ``time_us``."""
        return _with_seconds(super().events)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """One row per evaluation: `afl_sim.recording.Run.metrics`, and ``seconds`` after
        ``time_us``. No rows in a run without training."""
        return _with_seconds(super().metrics)

    @cached_property
    def tasks(self) -> pd.DataFrame:
        """One row per task: `afl_sim.recording.tasks.task_table`, with each time in seconds, too.

        The time ``arrived`` (microseconds) is ``arrived_seconds`` there, and so on.
        """
        frame = super().tasks
        times = [*MILESTONES, "aggregated", "ended"]
        return frame.assign(**{f"{name}_seconds": _seconds(frame[name]) for name in times})

    @property
    def client_metrics(self) -> pd.DataFrame:
        """One row for each evaluation and client, if the scenario has ``evaluation.per_client``.

        Columns: ``time_us``, ``seconds``, ``version``, ``client``, ``group`` (category; missing
        without groups), and a column for each metric, measured on the samples that the client keeps
        for tests. Without such evaluations there are no rows.
        """
        return client_metrics(self.metrics, self.client_groups)

    def samples(self, client: int, *, testing: bool = False) -> npt.NDArray[np.int64]:
        """The samples of a client: indices into the training set, in the order of its files.

        They are dealt out again, as for the run. With ``data.pool: train_and_test`` the test set
        follows the training set.

        Args:
            client: its index.
            testing: the samples that it keeps for tests (``data.client_test``), instead of those
                that it trains on.

        Raises:
            RunFolderError: there is no such client, it keeps no samples for tests, or the data is
                not that of the run any more.
            DataError: the data is missing or damaged.
        """
        from afl_sim.run.use import samples_of

        return samples_of(self, client, *self._dealt, testing=testing)

    def predict(
        self,
        inputs: Any = None,
        *,
        at: int | None = None,
        client: int | None = None,
        raw: bool = False,
    ) -> npt.NDArray[Any]:
        """What a model of the run says of some inputs, computed on the CPU.

        Global settings and generators of PyTorch, NumPy and Python stay as they are.

        Args:
            inputs: an array or a tensor of N inputs as the files of the data have them: 8-bit
                images, numbers, or tokens. They are normalised as the run's were. None: the test
                set.
            at: the version of the model, one of `models`; None for the final one.
            client: put in what this client keeps of the model for itself.
            raw: give the model's outputs, such as logits.

        Returns:
            int64 (N,) of classes; float32 (N, numbers), or (N,) of one number; bool (N, labels) of
            several labels; int64 (N, length) of tokens. With ``raw``: float32, as the model gives
            it.

        Raises:
            RunFolderError: the run has no such model, or a file is damaged.
            InputError: the inputs are not of the form that the model takes.
            DataError: the data is missing or damaged.
        """
        from afl_sim.run.use import predictions

        return predictions(self, inputs, at=at, client=client, raw=raw)

    @cached_property
    def _dealt(self) -> tuple[npt.NDArray[np.int64], Dealt]:
        """The rows of the training set that clients get, and how these rows are dealt out."""
        from afl_sim.run.use import dealt_out

        return dealt_out(self)

    def _repr_html_(self) -> str:
        return run_html(self)


def load_run(path: Path | str) -> Run:
    """Open a run folder.

    A run that was interrupted, or is still going on, loads with what is there: `Run.summary` is
    empty until it has ended.

    Example:
        >>> from afl_sim import load_run, simulate
        >>> run = simulate("scenarios/smallest.yaml", timing_only=True)
        >>> again = load_run(run.path)
        >>> again.status, int((again.events.kind == "aggregated").sum())
        ('complete', 60)

    Raises:
        RunFolderError: there is no run folder, or a file in it is damaged or should be there and
            is not; the message names the file.
    """
    return opened(recording.load_run(path))


def load_runs(paths: Iterable[Path | str]) -> list[Run]:
    """Open run folders and study folders, mixed, in order; a folder named twice counts once.

    Raises:
        RunFolderError: one of them is neither, or is damaged.
    """
    return [opened(run) for run in recording.load_runs(paths)]


def opened(run: recording.Run) -> Run:
    """A run that was read, with what the other rooms know."""
    return Run(**{each.name: getattr(run, each.name) for each in fields(run)})


def _with_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the time of each row in seconds, too; it is changed."""
    frame.insert(frame.columns.get_loc("time_us") + 1, "seconds", _seconds(frame["time_us"]))
    return frame


def _seconds(times_us: pd.Series) -> pd.Series:
    return times_us.astype("float64") / MICROSECONDS
