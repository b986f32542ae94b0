"""MindFlayer SGD: gradients that take too long are given up, and begun anew."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency, VirtualSeconds
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@register("mindflayer")
class MindFlayer(GradientStrategy, ConcurrentStrategy):
    """Each worker tries so many gradients at one model, and gives each one up after a time.

    Maranjyan, Omar, Richtarik, "MindFlayer SGD: Efficient Parallel SGD in the Presence of
    Heterogeneous and Random Worker Compute Times", UAI 2025 (arXiv 2410.04285). In a round worker i
    makes B_i trials at w, one after the other. A gradient that is not there after t_i seconds is
    given up, and the worker goes on with its next trial. When all workers are through, the server
    steps by ``w <- w - (gamma / B) sum g`` over the gradients that came. B is their expected
    number, ``sum_i p_i B_i``, with p_i the probability that a trial is in time. So the step is
    unbiased.

    Here B_i and t_i are the same for all workers. The p_i are not known in practice. So by default
    B is the mean number of gradients of the rounds so far, this one included. A trial that is lost
    ends when the server notices it.
    """

    about = About(
        "Maranjyan, Omar, Richtarik, UAI 2025 (arXiv 2410.04285)",
        "synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, "
        "code/experiments/asynchronous/algorithm.py (FixedClipping), at commit 9013e25",
        unconfirmed="the mean in place of B is ours. There B_i and t_i differ from worker to "
        "worker, and B is known (code/experiments/theoritical/mf_theoritical_batches.py); the "
        "paper's text was looked for, and only its abstract was found",
    )

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    trials: PositiveInt = Field(1, description="B_i: gradients that a worker tries in a round")
    allotted_seconds: VirtualSeconds = Field(
        60.0, description="t_i: the time after which a trial is given up (seconds)"
    )
    expected_batch: PositiveFloat | None = Field(
        None, description="B; null: the mean number of gradients of the rounds so far"
    )
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the sum over B, in place of lr"
    )

    @property
    def task_limit(self) -> tuple[str, float]:
        return "allotted_seconds", self.allotted_seconds

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        gradients = rounds = 0
        while True:
            if all(map(server.is_gone, workers)):  # no trial would take any time
                yield server.wait_idle(among=workers)
            batch: list[TaskView] = []
            yield from [server.spawn(self._trials(server, i, batch)) for i in workers]
            gradients, rounds = gradients + len(batch), rounds + 1
            yield server.aggregate(batch, gradients=gradients, rounds=rounds)

    def _trials(self, server: ServerView, client: int, batch: list[TaskView]) -> Schedule:
        """A worker's trials in a round; what is in time goes into the batch."""
        for _ in range(self.trials):
            task = server.dispatch(client, retry=False)
            batch += yield server.wait([task], deadline=self.allotted_seconds)
            if task.in_flight:
                server.cancel(task)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \frac{\gamma}{B} \sum_j g_j(w)$."""
        step, state = self.direction(params, state, updates, context)
        return params + self.lr * step, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\frac{1}{B} \sum_j g_j(w)$."""
        mean = context.get("gradients", len(updates)) / context.get("rounds", 1)
        batch = mean if self.expected_batch is None else self.expected_batch
        return torch.stack([update.delta for update in updates]).sum(0) / batch, state
