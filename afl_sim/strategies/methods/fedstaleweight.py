"""FedStaleWeight: updates of clients that are stale on average weigh more."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.schedules import buffers


@register("fedstaleweight")
class FedStaleWeight(ConcurrentStrategy):
    """FedBuff in which an update's weight is the mean staleness of its client's last updates.

    Ma, Tu, Chen, Janapa Reddi, "FedStaleWeight: Buffered Asynchronous Federated Learning with Fair
    Aggregation via Staleness Reweighting", 2024 (arXiv 2406.02877). Slow clients come into the
    buffer seldom, and their updates are stale. So a weight that grows with the staleness gives them
    the part that fast clients would take. With s_i the mean staleness of client i's last updates,
    the new one included, ``w <- w + sum_i p_i Delta_i`` with ``p_i = s_i / sum_j s_j``. If all of
    them are 0, the updates count alike.
    """

    about = About(
        "Ma et al., 2024 (arXiv 2406.02877)",
        "semi-synchronous",
        keeps="the staleness of each client's last updates",
        checked="authors' code",
        source="18jeffreyma/afl-bench, afl_bench/experiments/expected_staleness.py",
        unconfirmed="the mean over the last five updates: once there are five, that code replaces "
        "the newest of them, so that the first four stay; and it makes no step if all means are 0. "
        "The paper's text was looked for, and only its abstract was found",
    )
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="updates per server step")
    window: PositiveInt = Field(5, description="the last updates of a client that the mean is over")

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"staleness": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \sum_i p_i \Delta_i$ with $p_i = s_i / \sum_j s_j$.

        $s_i$ is the mean staleness of client i's last updates.
        """
        known = dict(state["staleness"])
        for update in updates:
            last = (*known.get(update.client, ()), update.staleness)
            known[update.client] = last[-self.window :]
        weights = [_mean(known[update.client]) for update in updates]
        if not sum(weights):
            weights = [1.0] * len(updates)
        move = weighted_mean([update.delta for update in updates], weights)
        return params + move, {"staleness": known}


def _mean(numbers: tuple[int, ...]) -> float:
    return sum(numbers) / len(numbers)
