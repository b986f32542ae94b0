"""The numeric half of a run that trains: an executor, a learner and checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import TypeVar

from torch import Tensor

from afl_sim.execution.local.batched import BatchedExecutor
from afl_sim.execution.tasks import Executor
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.learning.training.judging import Scores
from afl_sim.run.checkpointing import Checkpoints, Replay, read_checkpoint
from afl_sim.run.finished import Trained, WallTime
from afl_sim.run.kinds import strategy_of, tests_own_models
from afl_sim.run.preparation import Prepared
from afl_sim.run.recorder import Recorder
from afl_sim.strategies.base import Population
from afl_sim.world.learner import Learner

L = TypeVar("L", bound=TrainingLearner)


def learner_of(
    prepared: Prepared,
    executor: Executor,
    on_evaluation: Callable[[int, int, int, int, Scores], None],
    make: type[L],
    on_model: Callable[[int, Tensor], None] | None = None,
) -> L:
    """The learner of a run that trains; ``make`` is its class."""
    scenario = prepared.scenario
    refused = scenario.server.guard
    return make(
        strategy_of(scenario),
        executor,
        prepared.initial,
        prepared.layout,
        Population(scenario.clients.count, prepared.partition.size),
        scenario.training.lr_schedule.factor,
        on_evaluation,
        executor.kept if isinstance(executor, BatchedExecutor) else None,
        None if refused is None else Guard(refused.max_norm),
        scenario.training.compression.feeds_back,
        scenario.server.buffers,
        0 if prepared.kept is None else prepared.kept.layout.size,
        tests_own_models(scenario),
        on_model,
    )


class Training:
    """The half of a run that trains: the executor, the learner and the checkpoints.

    Args:
        prepared: the run's data, partition and initial model.
        executor: where its tasks run.
        recorder: gets its evaluations and checkpoints.
        began: the value of `perf_counter` from which wall time counts.
    """

    trains = True

    def __init__(
        self, prepared: Prepared, executor: Executor, recorder: Recorder, began: float
    ) -> None:
        scenario = self.scenario = prepared.scenario
        self._executor = executor
        self._size = prepared.layout.size
        self._arrays = prepared.arrays
        self._kept_version: int | None = None
        self._keeps = prepared.kept is not None
        self._recorder = recorder
        self._began = began
        keep = self._keep_model if scenario.recording.models == "evaluations" else None
        self._numbers = learner_of(
            prepared, executor, recorder.add_evaluation, TrainingLearner, keep
        )
        self.learner: Learner = self._numbers
        self._checkpoints = Checkpoints(scenario.execution, recorder, self._numbers)
        self._replay: Replay | None = None
        self._before = WallTime()

    def _keep_model(self, version: int, vector: Tensor) -> None:
        """Write the model of a version that is to be evaluated.

        Raises:
            AflSimError: the folder is gone, or cannot be written.
        """
        if version != self._kept_version:  # the clock may ask for the same version again
            folder = self._recorder.folder
            folder.check_there()
            folder.write_model_of(version, self._arrays(vector))
            self._kept_version = version

    def go_on_from_checkpoint(self, notice: Callable[[str], None] | None) -> None:
        """Replay the schedule up to the latest checkpoint, if there is one, and train from there.

        Args:
            notice: called with one line if the latest checkpoint is damaged.

        Raises:
            RunFolderError: the checkpoint does not belong to such a run.
        """
        folder = self._recorder.folder.checkpoint_path
        found = read_checkpoint(folder, self._size, notice)
        if found is not None:
            self._before = found.wall
            self._replay = Replay(found, self._recorder, self._numbers)
            self.learner = self._replay.learner

    @property
    def replaying(self) -> bool:
        """Whether the clock is still on its way to the checkpoint that the run goes on from."""
        return self._replay is not None and not self._replay.learner.attached

    def replays(self, version: int) -> bool:
        """Whether this version lies before the checkpoint that the run goes on from.

        Raises:
            AflSimError: the replayed schedule is not the one of the checkpoint.
        """
        return self._replay is not None and self._replay.covers(version)

    def save_checkpoint(self, version: int, stop: bool) -> None:
        """Write a checkpoint, if one is due or the run is about to stop.

        Raises:
            AflSimError: the folder is gone, or cannot be written.
        """
        if stop or self._checkpoints.are_due(version):
            self._checkpoints.save(version, self.wall())

    def check_over(self) -> None:
        """Refuse a run that has ended before the checkpoint that it was to go on from.

        Raises:
            AflSimError: it has.
        """
        if self._replay is not None:
            self._replay.check_over()

    def settle(self) -> None:
        """Report the evaluation that was under way when the run broke off, if that is possible."""
        with suppress(Exception, KeyboardInterrupt):
            self._numbers.settle()

    def trained(self, whole: bool) -> Trained:
        """The global model, what happened to it, and what clients keep."""
        numbers = self._numbers
        kept = numbers.kept() if whole and self._keeps else None
        return Trained(numbers.vector, numbers.rejected, numbers.divergence, kept)

    def wall(self) -> WallTime:
        """The time that the run has taken until now, with what it took before it was resumed."""
        executor = self._executor
        spent = WallTime(
            perf_counter() - self._began,
            executor.training_seconds,
            executor.evaluation_seconds,
            executor.waiting_seconds,
        )
        return spent + self._before
