"""The inline executor: this process trains, and only tasks whose results are needed."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from torch import Tensor

from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import Known, OwnParts, TrainingTask
from afl_sim.learning.training.attackers import Attackers
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.personal_evaluation import PersonalEvaluator
from afl_sim.learning.training.personalization import Personalization


class LazyResult:
    """A future whose task runs when its result is first needed."""

    def __init__(self, executor: InlineExecutor, task: TrainingTask) -> None:
        self._executor = executor
        self._task: TrainingTask | None = task
        self._result: LocalResult | None = None

    def result(self) -> LocalResult:
        """Train, unless that is done, and return the result."""
        # A client that goes on from its own model needs its earlier tasks first. This is a loop, as
        # a chain of unused updates can be long.
        chain = [self]
        while (task := chain[-1]._task) is not None and isinstance(task.after, LazyResult):
            if task.after._task is None:
                break
            chain.append(task.after)
        for future in reversed(chain):
            future._run()
        assert self._result is not None
        return self._result

    def _run(self) -> None:
        if self._task is not None:
            self._result = self._executor.run(self._task)
            self._task = None  # lets go of the base version


class InlineExecutor:
    """Runs tasks in this process, one after another; its arguments are those of `TaskRunner`."""

    def __init__(
        self,
        trainer: LocalTrainer,
        evaluator: Evaluator | PersonalEvaluator,
        compressor: Compressor | None = None,
        portable: bool = False,
        attackers: Attackers | None = None,
        personalization: Personalization | None = None,
    ) -> None:
        self._runner = TaskRunner(
            trainer, evaluator, compressor, portable, attackers, personalization
        )
        self.training_seconds = 0.0
        self.evaluation_seconds = 0.0
        self.waiting_seconds = 0.0

    def submit(self, task: TrainingTask, due_us: int) -> LazyResult:
        """Take on a task; it is never trained if its result is never needed."""
        return LazyResult(self, task)

    def evaluate(self, vector: Tensor, due_us: int, own: OwnParts | None = None) -> Known[Scores]:
        """Evaluate a model at once, so that it need not be kept."""
        further = () if own is None else (own.of_clients(), own.version)
        began = perf_counter()
        evaluation = self._runner.evaluate(vector, *further)
        self.evaluation_seconds += perf_counter() - began
        return Known(evaluation)

    def cancel(self, future: Any) -> None:
        """Do nothing: the task will not be trained."""

    def close(self) -> None:
        """Let go of the model and the samples; what refers to this may live on for a while."""
        del self._runner

    def run(self, task: TrainingTask) -> LocalResult:
        """Train a task; the task that it goes on from is done."""
        began = perf_counter()
        own = None if task.after is None else task.after.result().vector
        result = self._runner.train(task, own)
        self.training_seconds += perf_counter() - began
        return result
