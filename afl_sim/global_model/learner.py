"""The numeric half of a run: results become versions of the global model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, Literal

from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.execution.tasks import SERVER, Executor, Future, OwnParts, TrainingTask
from afl_sim.global_model.client_tasks import ClientTasks
from afl_sim.global_model.dispatched import Dispatched
from afl_sim.global_model.divergence import Divergence, Divergences
from afl_sim.global_model.evaluations import Evaluations
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.server_model import ServerModel
from afl_sim.global_model.snapshot import Snapshot, to_plain
from afl_sim.global_model.updates import Updates
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.strategies.base import Population, Reading, Strategy, Update
from afl_sim.strategies.purity import PurityCheck


class TrainingLearner:
    """Submits a task when the world dispatches it, and asks for its result at the aggregation.

    Args:
        strategy: the update rule.
        executor: runs the tasks.
        initial: shape (P + B,): the initial model.
        layout: how the model lies in its vector.
        population: the clients and the samples that each holds.
        lr_factor: the learning-rate schedule, a function of the base version.
        on_evaluation: takes (time_us, version, updates, samples, evaluation).
        kept: gives the result of a future that has one, or None. It is set if a result depends on
            more than its task, so that a snapshot must save the results that are there.
        guard: refuses updates; None if all are used, and one that is not finite ends the run.
        feeds_back: whether clients keep what compression removed from their updates.
        buffers: what the model's buffers become, see `ServerModel`.
        kept_size: Q, the number of entries that each client keeps of a model for itself, at the end
            of the vector of its task.
        own_models: whether evaluations test clients' own models.
        on_model: takes (version, model) of each model that is to be evaluated; None if nobody
            wants them. The model's vector has shape (P + B,) and must not be changed.

    Attributes:
        rejected: updates that the guard has refused.
    """

    def __init__(
        self,
        strategy: Strategy,
        executor: Executor,
        initial: Tensor,
        layout: Layout,
        population: Population,
        lr_factor: Callable[[int], float],
        on_evaluation: Callable[[int, int, int, int, Scores], None],
        kept: Callable[[Future[LocalResult]], LocalResult | None] | None = None,
        guard: Guard | None = None,
        feeds_back: bool = False,
        buffers: Literal["mean", "rule"] = "mean",
        kept_size: int = 0,
        own_models: bool = False,
        on_model: Callable[[int, Tensor], None] | None = None,
    ) -> None:
        self._strategy = strategy
        self._executor = executor
        self._guard = guard
        self._kept_size = kept_size
        self._own_models = own_models
        self._on_model = on_model
        self._readings: list[Any] = []
        self._purity = PurityCheck(Strategy)
        self._model = ServerModel(strategy, initial, layout, population, buffers)
        self._tasks = ClientTasks(strategy, executor, lr_factor, kept, feeds_back, kept_size > 0)
        self._evaluations = Evaluations(executor, on_evaluation)
        self._divergences = Divergences()
        self._updates = Updates(
            strategy,
            layout,
            population,
            lr_factor,
            kept_size,
            self._divergences if guard is None else None,
        )
        self.rejected = 0

    @property
    def divergence(self) -> Divergence | None:
        """Where the numbers stopped being finite; None if they did not."""
        return self._divergences.first

    @property
    def vector(self) -> Tensor:
        """The global model, shape (P + B,)."""
        return self._model.vector

    def start(self, dispatch: Dispatched, after: Dispatched | None) -> None:
        """Submit the task; or only prepare it, if a poll or a fresh model decides about it."""
        self._tasks.start(dispatch, after, self._model.vector, self._model.state)

    def recall(self, dispatch: Dispatched) -> None:
        """Submit the task with the steps that were done."""
        self._tasks.recall(dispatch)

    def refresh(self, dispatch: Dispatched) -> None:
        """Submit a task whose client has asked for the newest model, to merge it into its own."""
        self._tasks.refresh(dispatch, self._model.vector)

    def arrive(self, dispatch: Dispatched) -> None:
        """From now on the client's own model counts, for strategies that go on from it."""
        self._tasks.arrive(dispatch)

    def drop(self, dispatch: Dispatched) -> None:
        """Let go of the task; nobody waits for it."""
        self._tasks.drop(dispatch)

    def aggregate(
        self, updates: Sequence[Dispatched], version: int, context: Mapping[str, Any]
    ) -> None:
        """Ask for the results, in order of arrival, and apply the strategy's rule."""
        results = [dispatch.job.future.result() for dispatch in updates]
        numbers = [
            self._updates.of(dispatch, result, version)
            for dispatch, result in zip(updates, results, strict=True)
        ]
        if self._guard is not None:
            sound = [self._guard.accepts(update) for update in numbers]
            self.rejected += sound.count(False)
            for dispatch, accepted in zip(updates, sound, strict=True):
                if not accepted:
                    self._tasks.take_back(dispatch)
            numbers, results = (list(compress(each, sound)) for each in (numbers, results))
        if numbers and self._strategy.public_batch is not None:
            numbers, context = self._with_public(numbers, results, version, context)
        if not self._model.aggregate(numbers, [result.vector for result in results], context):
            self._divergences.end(version, None, "the global model is not finite")
        self._tasks.were_used(updates)

    def _with_public(
        self,
        updates: Sequence[Update],
        results: Sequence[LocalResult],
        version: int,
        context: Mapping[str, Any],
    ) -> tuple[list[Update], Mapping[str, Any]]:
        """Updates and context with the gradients of the public batch."""
        size = len(self.vector)
        models = [self.vector, *(result.vector[:size] for result in results)]
        tasks = [TrainingTask(SERVER, version, 0, model, 1.0) for model in models]
        futures = [self._executor.submit(task, 0) for task in tasks]  # they are waited for
        ours, *theirs = [future.result().delta for future in futures]
        told = [
            replace(update, public_gradient=gradient)
            for update, gradient in zip(updates, theirs, strict=True)
        ]
        return told, {**context, "public_gradient": ours}

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """Have the current model evaluated, and report the evaluation before."""
        self.settle()
        if self._on_model is not None:
            self._on_model(version, self.vector)
        row = self.vector, time_us, version, updates, samples
        self._evaluations.begin(*row, *self._own(version))

    def _own(self, version: int) -> tuple[Any, ...]:
        """What an evaluation needs of the clients' own models, if it tests these."""
        return (self._own_parts(version), self._tasks.changes) if self._own_models else ()

    def settle(self) -> None:
        """Wait for the evaluation that is under way, if any, and report it.

        Raises:
            DivergedError: its loss is not finite.
        """
        diverged = self._evaluations.settle()
        if diverged is not None:
            version, loss = diverged
            self._divergences.end(version, None, f"the evaluation loss is {loss}")

    def kept(self) -> dict[int, Tensor]:
        """What clients keep for themselves, shape (Q,), by client; waits for their last tasks.

        A client of which no task has arrived has the initial values.
        """
        return self._own_parts(0).of_clients()

    def metric(self, name: str) -> float | None:
        """A metric of the last evaluation; waits for it. None where it has no finite value."""
        self.settle()
        last = self._evaluations.last()
        assert last is not None
        scores = last[1]
        value = scores.accuracy if name == "accuracy" else scores.metrics.get(name)
        return value if value is not None and math.isfinite(value) else None

    def snapshot(self, version: int) -> Snapshot | None:
        """The numbers at this version, evaluations included.

        None if the evaluation under way will end the run. The run has to find that out itself, at
        an instant that does not depend on when snapshots are taken.
        """
        last = self._evaluations.last()
        if last is not None:
            if not math.isfinite(last[1].loss):
                return None
            self.settle()
        model = self._model
        snapshot = Snapshot(version, model.vector, model.state, model.moments)
        snapshot.rejected = self.rejected
        snapshot.readings = list(self._readings)
        self._tasks.save(snapshot)
        snapshot.evaluation = last
        return snapshot

    def restore(
        self, snapshot: Snapshot, live: Mapping[Dispatched, int], used: Iterable[Dispatched]
    ) -> None:
        """Go on from a snapshot.

        Args:
            snapshot: what `snapshot` gave at this version.
            live: the tasks that are not yet used, in order of dispatch, and when each was due
                as far as was known when it was submitted (microseconds).
            used: the tasks that were used and that somebody still holds.
        """
        self._readings = list(snapshot.readings)
        self._model.vector, self._model.state = snapshot.vector, snapshot.state
        self._model.moments = snapshot.moments
        self.rejected = snapshot.rejected
        # Which tasks had arrived before that evaluation is not known any more.
        self._evaluations.restore(snapshot.evaluation, None if self._own_models else 0)
        self._tasks.restore(snapshot, live, used)

    def result(self, dispatch: Dispatched, version: int) -> Reading:
        """What a schedule may know of an update."""
        loss = self._updates.of(dispatch, dispatch.job.future.result(), version).loss
        self._readings.append(loss)
        return self.reading(dispatch, version, loss)

    def measure(
        self,
        function: Callable[[Sequence[Update]], Any],
        dispatches: Sequence[Dispatched],
        version: int,
    ) -> Any:
        """The value of a function of updates; a replay reads it from the snapshot."""
        updates = [self._updates.of(each, each.job.future.result(), version) for each in dispatches]
        with self._purity.hook(self._strategy, "measure", updates=updates):
            value = function(updates)
        tensors: dict[str, Tensor] = {}
        to_plain(value, "measured", tensors, {})  # refuses what a checkpoint cannot hold
        if tensors:
            raise StrategyError(
                f"strategy {self._strategy.kind}: measured a tensor; expected plain numbers"
            )
        self._readings.append(value)
        return value

    def client_accuracies(self, time_us: int, version: int) -> list[float]:
        """The accuracy on each client's own test samples; a replay reads it from the snapshot."""
        scores = self._evaluations.of(self.vector, time_us, version, *self._own(version))
        accuracies = list(scores.clients["accuracy"])
        self._readings.append(accuracies)
        return accuracies

    def reading(self, dispatch: Dispatched, version: int, loss: float) -> Reading:
        """What a schedule may know of an update with this training loss."""
        return self._updates.reading(dispatch, version, loss)

    def _own_parts(self, version: int) -> OwnParts:
        last = dict(self._tasks.own) if self._kept_size else {}
        return OwnParts(version, last, self._kept_size)
