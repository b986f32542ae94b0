"""The numeric half of a run: the global model, its versions, and the results that make them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor

from afl_sim.errors import DivergedError, StrategyError
from afl_sim.execution.tasks import Executor, Future, Job, Known, Later, TrainingTask, ended
from afl_sim.global_model.guard import Guard, corrupted
from afl_sim.global_model.server_model import ServerModel
from afl_sim.global_model.snapshot import Snapshot, to_plain
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.evaluation import Evaluation
from afl_sim.learning.training.local_training import LocalResult
from afl_sim.strategies.base import Population, Reading, State, Strategy, Update
from afl_sim.strategies.purity import PurityCheck


@dataclass(frozen=True)
class Divergence:
    """Where a run's numbers stopped being finite.

    Attributes:
        version: the version that was being made, or evaluated.
        client: whose update it was, or None where the server's step or the evaluation diverged.
    """

    version: int
    client: int | None


class TrainingLearner:
    """Submits a task when the world dispatches it and asks for its result when it is aggregated.

    Args:
        strategy: the update rule.
        executor: where tasks run.
        initial: shape (P + B,): the initial model.
        layout: how the model lies in its vector.
        population: the clients and the samples that each holds.
        lr_factor: the learning-rate schedule, a function of the base version.
        on_evaluation: takes (time_us, version, updates, samples, evaluation).
        kept: where a result depends on more than its task, what of a future's is there already.
        guard: which updates are refused; None where all are used, and what is not finite diverges.
        feeds_back: whether clients keep what compression left out of their updates.
    """

    def __init__(
        self,
        strategy: Strategy,
        executor: Executor,
        initial: Tensor,
        layout: ParameterVector,
        population: Population,
        lr_factor: Callable[[int], float],
        on_evaluation: Callable[[int, int, int, int, Evaluation], None],
        kept: Callable[[Future[LocalResult]], LocalResult | None] | None = None,
        guard: Guard | None = None,
        feeds_back: bool = False,
    ) -> None:
        self._strategy = strategy
        self._executor = executor
        self._count = layout.num_parameters
        self._population = population
        self._lr_factor = lr_factor
        self._on_evaluation = on_evaluation
        self._kept = kept
        self._guard = guard
        self.rejected = 0
        self._uses_own = strategy.uses_own()
        self._keeps_state = type(strategy).client_state is not Strategy.client_state
        self._goes_on = self._uses_own or feeds_back
        self._live: dict[Any, None] = {}  # tasks not yet used, in order of dispatch
        # Tasks that were used; whoever holds one may use it again.
        self._used: WeakKeyDictionary[Any, None] = WeakKeyDictionary()
        self._readings: list[Any] = []
        self._own: dict[int, Future[LocalResult]] = {}  # client -> its last task that arrived
        self._to_finish: list[Future[LocalResult]] = []  # by the end of the next aggregation
        self._evaluated: tuple[int, Future[Evaluation]] | None = None
        self._pending: tuple[int, int, int, int] | None = None  # the evaluation not yet reported
        self._purity = PurityCheck(Strategy)
        self._model = ServerModel(strategy, initial, layout, population)
        self.divergence: Divergence | None = None

    @property
    def vector(self) -> Tensor:
        """The global model, shape (P + B,)."""
        return self._model.vector

    def start(self, dispatch: Any, after: Any) -> None:
        """Submit the task, or, where a poll will say how many steps it has, prepare it."""
        own = None
        if self._goes_on:
            own = None if after is None else after.job.future
            if own is None:  # what it is to go on from crashed, or there is nothing such
                own = self._own.get(dispatch.client)
        if own is not None:
            self._finish_soon(own)
        self._prepare(dispatch, self._model.vector, self._model.state, own)
        if not dispatch.pollable:
            dispatch.job.future = self._executor.submit(dispatch.job.task, dispatch.due_us)

    def recall(self, dispatch: Any) -> None:
        """Submit the task with the steps that were done."""
        job: Job = dispatch.job
        job.task = replace(job.task, steps=dispatch.steps)
        if job.future is not None:
            self._executor.cancel(job.future)
        job.future = self._executor.submit(job.task, dispatch.due_us)

    def arrive(self, dispatch: Any) -> None:
        """The client's own model counts from now on, for strategies that go on from it."""
        if self._goes_on:
            self._own[dispatch.client] = dispatch.job.future
            self._finish_soon(dispatch.job.future)

    def drop(self, dispatch: Any) -> None:
        """Let go of the task; nobody waits for it."""
        self._live.pop(dispatch, None)
        job: Job = dispatch.job
        if job.future is not None and self._own.get(dispatch.client) is not job.future:
            self._executor.cancel(job.future)
        if not self._goes_on:
            dispatch.job = None

    def aggregate(self, updates: Sequence[Any], version: int, context: Mapping[str, Any]) -> None:
        """Ask for the results, in order of arrival, and apply the strategy's rule."""
        results = [dispatch.job.future.result() for dispatch in updates]
        numbers = [
            self._update(dispatch, result, version)
            for dispatch, result in zip(updates, results, strict=True)
        ]
        if self._guard is not None:
            sound = [self._guard.accepts(update) for update in numbers]
            self.rejected += sound.count(False)
            for dispatch, accepted in zip(updates, sound, strict=True):
                if self._keeps_state and not accepted:
                    self._take_back(dispatch)
            numbers, results = (list(compress(each, sound)) for each in (numbers, results))
        if not self._model.aggregate(numbers, [result.vector for result in results], context):
            self._diverged(version, None, "the global model is not finite")
        for dispatch in updates:
            self._live.pop(dispatch, None)
            self._used[dispatch] = None
        for future in self._to_finish:
            future.result()
        self._to_finish.clear()

    def _take_back(self, dispatch: Any) -> None:
        """Whose update was refused goes on from the state before, so that the server's fits it."""
        if self._own.get(dispatch.client) is not dispatch.job.future:
            return  # it has gone on already
        before = dispatch.job.task.after
        if before is None:
            del self._own[dispatch.client]
        else:
            self._own[dispatch.client] = before

    def evaluate(self, time_us: int, version: int, updates: int, samples: int) -> None:
        """Have the current model evaluated; a version is computed once, however often asked for.

        The evaluation before is reported first. So at most one is under way, and a loss that is
        not finite ends the run at the same instant whichever executor computes it.
        """
        self.settle()
        if self._evaluated is None or self._evaluated[0] != version:
            self._evaluated = (version, self._executor.evaluate(self.vector, time_us))
        self._pending = (time_us, version, updates, samples)

    def settle(self) -> None:
        """Wait for the evaluation that is under way, if any, and report it."""
        if self._pending is None or self._evaluated is None:
            return
        evaluation = self._evaluated[1].result()
        row, self._pending = self._pending, None
        self._on_evaluation(*row, evaluation)
        if not math.isfinite(evaluation.loss):
            self._diverged(row[1], None, f"the evaluation loss is {evaluation.loss}")

    def accuracy(self) -> float:
        """The accuracy of the last evaluation, which is waited for."""
        self.settle()
        assert self._evaluated is not None
        return self._evaluated[1].result().accuracy

    def snapshot(self, version: int) -> Snapshot | None:
        """The numbers at this version, evaluations included.

        None where the evaluation under way will end the run: that is for the run to find, at an
        instant that does not depend on when snapshots are taken.
        """
        if self._evaluated is not None:
            if not math.isfinite(self._evaluated[1].result().loss):
                return None
            self.settle()
        model = self._model
        snapshot = Snapshot(version, model.vector, model.state, model.moments)
        snapshot.rejected = self.rejected
        snapshot.again = [(dispatch.client, dispatch.task) for dispatch in self._used]
        snapshot.readings = list(self._readings)
        for dispatch in (*self._live, *self._used):
            task = dispatch.job.task
            state = None if task.origin is None else task.origin[1]
            snapshot.bases[dispatch.base_version] = (task.base, state)
            if task.after is not None:
                snapshot.before[dispatch.client, dispatch.task] = task.after.result().vector
            if self._kept is not None and dispatch.job.future is not None:
                result = self._kept(dispatch.job.future)
                if result is not None:
                    snapshot.results[dispatch.client, dispatch.task] = result
        for client, future in self._own.items():
            snapshot.own[client] = future.result().vector
        if self._evaluated is not None:
            snapshot.evaluation = (self._evaluated[0], self._evaluated[1].result())
        return snapshot

    def restore(self, snapshot: Snapshot, live: Mapping[Any, int], used: Iterable[Any]) -> None:
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
        if snapshot.evaluation is not None:
            self._evaluated = (snapshot.evaluation[0], Known(snapshot.evaluation[1]))
        self._own = {client: ended(vector) for client, vector in snapshot.own.items()}
        for dispatch, due_us in live.items():
            self._prepare(dispatch, *snapshot.origin(dispatch))
            result = snapshot.results.get((dispatch.client, dispatch.task))
            if result is not None:
                dispatch.job.future = Known(result)
            elif not dispatch.pollable:
                dispatch.job.future = self._executor.submit(dispatch.job.task, due_us)
            if self._keeps_state and dispatch.arrived:
                self._own[dispatch.client] = dispatch.job.future
        again = set(snapshot.again)
        for dispatch in used:
            key = dispatch.client, dispatch.task
            if key in again:
                job = dispatch.job = Job(self._task(dispatch, *snapshot.origin(dispatch)))
                result = snapshot.results.get(key)
                later = Later(self._executor, job.task, dispatch.due_us)
                job.future = later if result is None else Known(result)
                self._used[dispatch] = None

    def result(self, dispatch: Any, version: int) -> Reading:
        """What a schedule may know of an update."""
        loss = self._update(dispatch, dispatch.job.future.result(), version).loss
        self._readings.append(loss)
        return self.reading(dispatch, version, loss)

    def measure(
        self, function: Callable[[Sequence[Update]], Any], dispatches: Sequence[Any], version: int
    ) -> Any:
        """The value of a function of updates, which a replay will not compute again."""
        updates = [self._update(each, each.job.future.result(), version) for each in dispatches]
        with self._purity.hook(self._strategy, "measure", updates=updates):
            value = function(updates)
        tensors: dict[str, Tensor] = {}
        to_plain(value, "measured", tensors, {})  # refuses what no checkpoint can keep
        if tensors:
            raise StrategyError(
                f"strategy {self._strategy.kind}: measured a tensor; expected plain numbers"
            )
        self._readings.append(value)
        return value

    def reading(self, dispatch: Any, version: int, loss: float) -> Reading:
        """What a schedule may know of an update with this training loss."""
        return Reading(
            dispatch.client,
            dispatch.base_version,
            version - 1 - dispatch.base_version,
            self._population.num_samples(dispatch.client),
            dispatch.steps,
            loss,
        )

    def _prepare(
        self, dispatch: Any, base: Tensor, state: State, own: Future[LocalResult] | None
    ) -> None:
        """Have a task at hand that starts from ``base``."""
        dispatch.job = Job(self._task(dispatch, base, state, own))
        self._live[dispatch] = None

    def _task(
        self, dispatch: Any, base: Tensor, state: State, own: Future[LocalResult] | None
    ) -> TrainingTask:
        return TrainingTask(
            dispatch.client,
            dispatch.task,
            dispatch.steps,
            base,
            self._lr_factor(dispatch.base_version) * self._strategy.lr_scale,
            (self._strategy, state) if self._uses_own else None,
            own,
        )

    def _finish_soon(self, future: Future[LocalResult]) -> None:
        """See to it that a model which clients go on from is there when a snapshot is taken.

        A snapshot is taken when the wall clock says so. It must not be what makes a result be
        computed, where that depends on the results that are computed with it.
        """
        if self._kept is not None:
            self._to_finish.append(future)

    def _update(self, dispatch: Any, result: LocalResult, version: int) -> Update:
        if self._guard is None and dispatch.steps and not math.isfinite(result.loss):
            self._diverged(
                version,
                dispatch.client,
                f"client {dispatch.client} has a training loss of {result.loss} "
                f"in its task {dispatch.task}",
            )
        kept = result.vector[len(self.vector) :]
        update = Update(
            dispatch.client,
            dispatch.base_version,
            version - 1 - dispatch.base_version,
            self._population.num_samples(dispatch.client),
            dispatch.steps,
            result.delta,
            result.vector[: self._count],
            result.loss,
            kept if self._uses_own and len(kept) else None,
            self._lr_factor(dispatch.base_version),
        )
        if dispatch.corruption is None:
            return update
        return corrupted(update, dispatch.corruption, self._strategy.gradient)

    def _diverged(self, version: int, client: int | None, what: str) -> None:
        self.divergence = self.divergence or Divergence(version, client)  # the first, which ends it
        raise DivergedError(f"diverged at version {version}: {what}")
