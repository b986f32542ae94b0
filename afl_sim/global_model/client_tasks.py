"""The tasks of the clients: submitted, used, and what a client goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.execution.tasks import Executor, Future, Job, Known, Later, TrainingTask, ended
from afl_sim.global_model.dispatched import Dispatched
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.phase import Fresh
from afl_sim.strategies.base import State, Strategy
from afl_sim.strategies.purity import PurityCheck


class ClientTasks:
    """Gives each dispatch its `Job`, and remembers those whose numbers may still be needed.

    Args:
        strategy: tells whether clients go on from their own models.
        executor: runs the tasks.
        lr_factor: the learning-rate schedule, a function of the base version.
        kept: gives the result of a future that has one, or None. It is set if a result depends on
            more than its task.
        feeds_back: whether clients keep what compression removed from their updates.
        personal: whether clients keep parts of the model for themselves.

    Attributes:
        own: the last task of each client that has arrived.
        changes: how often that has changed.
    """

    def __init__(
        self,
        strategy: Strategy,
        executor: Executor,
        lr_factor: Callable[[int], float],
        kept: Callable[[Future[LocalResult]], LocalResult | None] | None,
        feeds_back: bool,
        personal: bool = False,
    ) -> None:
        self._strategy = strategy
        self._executor = executor
        self._lr_factor = lr_factor
        self._kept = kept
        self._uses_own = strategy.uses_own()
        self._uses_state = strategy.uses_state()
        self._takes_back = personal or type(strategy).client_state is not Strategy.client_state
        self._goes_on = self._uses_own or feeds_back or personal
        self._purity = PurityCheck(Strategy)
        self._live: dict[Dispatched, None] = {}  # tasks not yet used, in order of dispatch
        # Those that were used, with the versions that they start from and merge. Whoever holds a
        # task may use it again. Its job goes with it; the task itself may be of a compiled class,
        # which cannot be referred to weakly.
        self._used: WeakKeyDictionary[Job, tuple[int, int]] = WeakKeyDictionary()
        self.own: dict[int, Future[LocalResult]] = {}
        self.changes = 0
        self._latest: dict[int, int] = {}  # the number of the task that ``own`` has
        self._to_finish: list[Future[LocalResult]] = []  # by the end of the next aggregation

    def start(
        self, dispatch: Dispatched, after: Dispatched | None, base: Tensor, state: State
    ) -> None:
        """Submit a task; or only prepare it, if a poll or a fresh model decides what it computes.

        Args:
            dispatch: the task.
            after: the same client's task that it goes on from, if any.
            base: shape (P + B,): the global model that the client downloads.
            state: the strategy's state beside it.
        """
        own = None
        if self._goes_on:
            own = None if after is None else after.job.future
            if own is None:  # the task before has crashed, or there is none
                own = self.own.get(dispatch.client)
        if own is not None:
            self._finish_soon(own)
        self._prepare(dispatch, base, state, own)
        if not dispatch.undecided:
            dispatch.job.future = self._executor.submit(dispatch.job.task, dispatch.due_us)

    def refresh(self, dispatch: Dispatched, model: Tensor) -> None:
        """Submit a task whose client has asked for the newest model.

        Args:
            dispatch: the task.
            model: shape (P + B,): the global model, which it gets if it is newer than its own.
        """
        job: Job = dispatch.job
        job.task = replace(job.task, fresh=self._fresh(dispatch, model))
        job.future = self._executor.submit(job.task, dispatch.due_us)

    def recall(self, dispatch: Dispatched) -> None:
        """Submit a task with the steps that were done."""
        job: Job = dispatch.job
        job.task = replace(
            job.task,
            steps=dispatch.steps,
            extra_steps=dispatch.extra_steps,
            fresh=None if dispatch.fresh_version < 0 else job.task.fresh,
        )
        if job.future is not None:
            self._executor.cancel(job.future)
        job.future = self._executor.submit(job.task, dispatch.due_us)

    def arrive(self, dispatch: Dispatched) -> None:
        """From now on the client goes on from this task."""
        if self._goes_on:
            self.own[dispatch.client] = dispatch.job.future
            self._latest[dispatch.client] = dispatch.task
            self.changes += 1
            self._finish_soon(dispatch.job.future)

    def drop(self, dispatch: Dispatched) -> None:
        """Let go of a task; nobody waits for it."""
        self._live.pop(dispatch, None)
        job: Job = dispatch.job
        if job.future is not None and self.own.get(dispatch.client) is not job.future:
            self._executor.cancel(job.future)
        if not self._goes_on:
            dispatch.job = None

    def take_back(self, dispatch: Dispatched) -> None:
        """A client whose update was refused goes on from the state before, as the server does.

        So it does with its personal part, which may be as wrong as the update.
        """
        if not self._takes_back or self.own.get(dispatch.client) is not dispatch.job.future:
            return  # the client has gone on already, or has nothing that is taken back
        self.changes += 1
        self._latest.pop(dispatch.client, None)
        before = dispatch.job.task.after
        if before is None:
            del self.own[dispatch.client]
        else:
            self.own[dispatch.client] = before

    def were_used(self, dispatches: Sequence[Dispatched]) -> None:
        """An aggregation has used these tasks."""
        for dispatch in dispatches:
            self._live.pop(dispatch, None)
            self._used[dispatch.job] = _versions(dispatch)
        for future in self._to_finish:
            future.result()
        self._to_finish.clear()

    def save(self, snapshot: Snapshot) -> None:
        """Put into a snapshot what the tasks need that are not finished with."""
        used = list(self._used.items())
        snapshot.again = [(job.task.client, job.task.task) for job, _ in used]
        fresh: dict[int, Tensor] = {}
        live = [(dispatch.job, _versions(dispatch)) for dispatch in self._live]
        for job, (base_version, fresh_version) in live + used:
            task = job.task
            address = task.client, task.task
            state = None if task.origin is None else task.origin[1]
            snapshot.bases[base_version] = (task.base, state)
            if task.fresh is not None:
                fresh[fresh_version] = task.fresh.model
            if task.after is not None:
                snapshot.before[address] = task.after.result().vector
            if self._kept is not None and job.future is not None:
                result = self._kept(job.future)
                if result is not None:
                    snapshot.results[address] = result
        for version, model in fresh.items():
            snapshot.bases.setdefault(version, (model, None))
        for client, future in self.own.items():
            snapshot.own[client] = future.result().vector
        snapshot.latest = dict(self._latest)

    def restore(
        self, snapshot: Snapshot, live: Mapping[Dispatched, int], used: Iterable[Dispatched]
    ) -> None:
        """Go on from a snapshot.

        Args:
            snapshot: what `save` has filled.
            live: the tasks that are not yet used, in order of dispatch, and when each was due
                as far as was known when it was submitted (microseconds).
            used: the tasks that were used and that somebody still holds.
        """
        self.own = {client: ended(vector) for client, vector in snapshot.own.items()}
        self._latest = dict(snapshot.latest)
        for dispatch, due_us in live.items():
            self._prepare(dispatch, *snapshot.origin(dispatch), snapshot.fresh(dispatch))
            result = snapshot.results.get((dispatch.client, dispatch.task))
            if result is not None:
                dispatch.job.future = Known(result)
            elif not dispatch.undecided:
                dispatch.job.future = self._executor.submit(dispatch.job.task, due_us)
            latest = snapshot.latest.get(dispatch.client)
            if self._takes_back and dispatch.arrived and dispatch.task == latest:
                self.own[dispatch.client] = dispatch.job.future
        again = set(snapshot.again)
        for dispatch in used:
            key = dispatch.client, dispatch.task
            if key in again:
                origin = *snapshot.origin(dispatch), snapshot.fresh(dispatch)
                job = dispatch.job = Job(self._task(dispatch, *origin))
                result = snapshot.results.get(key)
                later = Later(self._executor, job.task, dispatch.due_us)
                job.future = later if result is None else Known(result)
                self._used[job] = _versions(dispatch)

    def _prepare(
        self,
        dispatch: Dispatched,
        base: Tensor,
        state: State,
        own: Future[LocalResult] | None,
        fresh: Tensor | None = None,
    ) -> None:
        dispatch.job = Job(self._task(dispatch, base, state, own, fresh))
        self._live[dispatch] = None

    def _task(
        self,
        dispatch: Dispatched,
        base: Tensor,
        state: State,
        own: Future[LocalResult] | None,
        fresh: Tensor | None,
    ) -> TrainingTask:
        return TrainingTask(
            dispatch.client,
            dispatch.task,
            dispatch.steps,
            base,
            self._lr_factor(dispatch.base_version) * self._strategy.lr_scale * dispatch.lr_factor,
            (self._strategy, state) if self._uses_state else None,
            own,
            dispatch.extra_steps,
            dispatch.messages,
            None if fresh is None else self._fresh(dispatch, fresh),
        )

    def _fresh(self, dispatch: Dispatched, model: Tensor) -> Fresh | None:
        """What the client merges into its own model; None if the server had no newer one.

        Raises:
            StrategyError: the weight is no number from 0 to 1.
        """
        newer = dispatch.fresh_version
        if newer < 0:
            return None
        versions = {"base_version": dispatch.base_version, "fresh_version": newer}
        with self._purity.hook(self._strategy, "refresh_weight", **versions):
            weight = self._strategy.refresh_weight(**versions)
        if not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise StrategyError(
                f"strategy {self._strategy.kind}: refresh_weight is {weight!r} for a task of "
                f"version {dispatch.base_version} that gets version {newer}; expected a number "
                "from 0 to 1"
            )
        return Fresh(dispatch.fresh_step, model, float(weight))

    def _finish_soon(self, future: Future[LocalResult]) -> None:
        """Finish a task that clients go on from by the end of the next aggregation.

        A snapshot needs its result, and is taken when the wall clock says so. It must not be the
        snapshot that starts the computation, since in batched training a result depends on the
        tasks that are trained with it.
        """
        if self._kept is not None:
            self._to_finish.append(future)


def _versions(dispatch: Dispatched) -> tuple[int, int]:
    """The versions that a task starts from and merges on its way; -1 for none."""
    return dispatch.base_version, dispatch.fresh_version
