"""FedQueue: clients behind queues get as much work as fits into what is left of a round."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor
from typing import Literal

from pydantic import Field

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LocalSteps, VirtualSeconds, VirtualWait
from afl_sim.strategies.task_view import TaskView, Timing
from afl_sim.strategies.toolkit.staleness import AnyStalenessWeight, Hinge

_HAIR = 1e-9  # so that a whole number of steps is not missed by a rounding error
_LEAST_BUDGET = 0.5  # seconds


@dataclass
class Queues:
    """What the scheduler knows of the clients, and has got from them; local to a schedule.

    Attributes:
        rule: the strategy, with its settings.
        queue: client -> q, the estimate of its queue (seconds).
        step: client -> c, the estimate of its time for a step (seconds).
        admitted: the updates that were in time.
        late: the updates that were not.
        timer: the number of the timer that runs; those before it are over.
        runs: whether a timer runs.
    """

    rule: FedQueue
    queue: dict[int, float] = field(default_factory=dict)
    step: dict[int, float] = field(default_factory=dict)
    admitted: list[TaskView] = field(default_factory=list)
    late: list[TaskView] = field(default_factory=list)
    timer: int = 0
    runs: bool = False

    def arrive(self, update: TaskView, timing: Timing) -> None:
        """Judge an update by the queue that was expected, and learn from what its client tells."""
        client, rule = update.client, self.rule
        expected = self.queue.get(client, rule.queue_seconds)
        in_time = timing.waited <= expected + rule.admission * rule.round_seconds
        (self.admitted if in_time else self.late).append(update)
        self.queue[client] = rule.queue_momentum * timing.waited + (
            (1 - rule.queue_momentum) * expected
        )
        if not update.steps:
            return  # it has no samples
        seconds = timing.computed / update.steps
        if not seconds:
            raise ScheduleError(
                f"strategy {rule.kind}: the scheduler needs the time of a step, and client "
                f"{client}'s tasks take none"
            )
        before = self.step.get(client, seconds)
        self.step[client] = rule.step_momentum * seconds + (1 - rule.step_momentum) * before

    def work(self, client: int) -> tuple[int, float]:
        """E and the factor on the learning rate of the client's next task."""
        steps = self._steps(client)
        fewest = min(map(self._steps, self.step), default=steps)
        return steps, fewest / steps

    def take(self, version: int) -> list[TaskView]:
        """The updates of the next step. Late ones have waited for a step, unless all are late."""
        updates = self.admitted + [late for late in self.late if late.base_version < version]
        updates = updates or self.late
        self.admitted, self.late = [], [late for late in self.late if late not in updates]
        return updates

    def _steps(self, client: int) -> int:
        rule, seconds = self.rule, self.step.get(client)
        if seconds is None:
            return rule.warm_up_steps
        left = rule.round_seconds - self.queue[client] - rule.safety_seconds
        fitting = max(left, _LEAST_BUDGET) / seconds + _HAIR
        return max(floor(min(fitting, rule.max_steps)), rule.warm_up_steps)


@register("fedqueue")
class FedQueue(Strategy):
    """Clients get as many local steps as fit into a round after the queue that is expected.

    Li, Dey, Li, Raghavan, Madduri, Kim, "FedQueue: Queue-Aware Federated Learning for
    Cross-Facility HPC Training", 2026 (arXiv 2605.02125). Clients are clusters, in whose queues a
    task waits before it begins. With an update a client reports how long it waited and computed.
    The server keeps moving averages of both: q_k, the queue, and c_k, the time of a step.

    Work (`Queues.work`): client k does ``E_k = (T - q_k - theta) / c_k`` steps, rounded down, with
    the time of a round T and the safety margin theta. These are at least the steps of its first
    task, and at most ``max_steps``, which is ours. Its learning rate is multiplied by
    ``min_j E_j / E_k``, so that those who do more do not move further.

    Admission (`Queues.arrive`): an update whose task waited longer than ``q_k + a T`` is late. It
    has no part in the first step after its client was sent the model but in a later one, and its
    client waits as well.

    Steps of the server: when all clients have arrived, or ``(1 + b) T`` after the last step;
    ``w <- sum_k p_k w_k`` over the updates, ``p_k`` in proportion to ``s(tau_k) E_k``. Then their
    clients go on. If all updates are late, they make the step.

    The queue is what a task waits before its first step (`ServerView.timing`):
    ``clients.compute.jitter_seconds``, and the time behind other tasks of its client.
    """

    about = About(
        "Li et al., 2026 (arXiv 2605.02125)",
        "semi-synchronous",
        checked="authors' code",
        source="APPFL/APPFL, src/appfl/algorithm/scheduler/queue_scheduler.py and "
        "aggregator/fedqueue_aggregator.py",
        unconfirmed="p_k: that aggregator has the steps, while the scheduler's log has the samples "
        "(shares: samples); s there is constant by default, while the abstract speaks of "
        "staleness. If nothing has arrived when a round ends, the next one begins with the next "
        "arrival; there no further timer is set",
    )
    assigns_steps = True
    gives_steps = True
    reads_timing = True

    round_seconds: VirtualSeconds = Field(3600.0, description="T: the time of a round (seconds)")
    safety_seconds: VirtualWait = Field(
        60.0, description="theta: what is kept free of a round (seconds)"
    )
    warm_up_steps: LocalSteps = Field(
        20, description="local steps of a client's first task, and the fewest of all later ones"
    )
    max_steps: LocalSteps = Field(
        10_000, description="the most local steps of a task (not in the paper)"
    )
    queue_seconds: VirtualWait = Field(
        2.0, description="the queue that is expected of a client at first (seconds)"
    )
    queue_momentum: float = Field(
        0.5, gt=0, le=1, description="the weight of the last task in the estimate of a queue"
    )
    step_momentum: float = Field(
        0.5, gt=0, le=1, description="the weight of the last task in the estimate of a step's time"
    )
    admission: float = Field(
        0.2, ge=0, le=1e6, description="a: a wait that is so much of a round too long is late"
    )
    tolerance: float = Field(
        0.15, ge=0, le=1e6, description="b: a round may last so much of its time longer"
    )
    staleness: AnyStalenessWeight = Field(
        Hinge(a=0.5, b=0.0), description="s(tau): an update's weight; by default 1 / (1 + tau / 2)"
    )
    shares: Literal["steps", "samples"] = Field(
        "steps", description="p_k / s(tau_k): in proportion to the steps of the task, or n_k"
    )

    def check(self, clients: int) -> Problems:
        if self.warm_up_steps > self.max_steps:
            yield (
                ("warm_up_steps",),
                f"{self.warm_up_steps} is more than max_steps; expected at most {self.max_steps}",
            )

    def schedule(self, server: ServerView) -> Schedule:
        queues = Queues(self)
        server.dispatch(server.workers(server.clients), steps=self.warm_up_steps)
        while True:
            update = yield server.arrival()
            queues.arrive(update, server.timing(update))
            if len(queues.admitted) + len(queues.late) == server.clients:
                yield from self._step(server, queues)
            elif not queues.runs:
                self._set_timer(server, queues)

    def _step(self, server: ServerView, queues: Queues) -> Schedule:
        """A step of what has arrived; then its clients go on."""
        queues.runs = False
        queues.timer += 1
        updates = queues.take(server.version)
        if not updates:
            return
        yield server.aggregate(updates)
        for update in updates:
            steps, factor = queues.work(update.client)
            server.dispatch(update.client, steps=steps, lr_factor=factor)
        self._set_timer(server, queues)

    def _set_timer(self, server: ServerView, queues: Queues) -> None:
        queues.runs = True
        queues.timer += 1
        server.spawn(self._timer(server, queues, queues.timer))

    def _timer(self, server: ServerView, queues: Queues, number: int) -> Schedule:
        """Ends a round that has not ended by itself."""
        yield server.sleep((1 + self.tolerance) * self.round_seconds)
        if queues.timer == number:
            yield from self._step(server, queues)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \sum_k p_k w_k$ with $p_k \propto s(\tau_k) E_k$."""
        by_steps = self.shares == "steps"
        weights = [
            self.staleness(update.staleness) * (update.steps if by_steps else update.num_samples)
            for update in updates
        ]
        total = sum(weights)
        if not total:
            return params, state
        parts = [
            update.params * (weight / total)
            for update, weight in zip(updates, weights, strict=True)
        ]
        return torch.stack(parts).sum(0), state
