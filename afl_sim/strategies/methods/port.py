"""Port: buffered aggregation that hurries the stalest clients and trusts those that agree."""

from __future__ import annotations

from pydantic import Field, NonNegativeFloat, PositiveInt

from afl_sim.lazy import F, Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Update,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.means import weighted_mean


@register("port")
class Port(ConcurrentStrategy):
    """Stale clients report what they have done; fresh updates that agree weigh more.

    Su, Li, "How Asynchronous Can Federated Learning Be?", IWQoS 2022. When ``buffer_size`` updates
    have arrived, all clients whose staleness is above the bound S are told to report at once.
    Then ``w <- w + sum_i p_i Delta_i``, with p_i in proportion to
    ``n_i (a S / (S + tau_i) + b (cos_i + 1) / 2)``. cos_i is the cosine between Delta_i and the
    last move of the global model, from the version before the current one to the current one. It
    is 1 for an update whose staleness is at most 1. The p_i add up to 1. No aggregated update has a
    staleness above S + 1. Weights, defaults, bound and cosine are those of the code by the authors'
    group (Plato, examples/async/port).

    Here a client that is told to report stops after its current step. If it has done no step, or
    cannot be reached, it does not report. Clients are replaced after the server has aggregated.
    """

    about = About(
        "Su, Li, IWQoS 2022",
        "semi-synchronous",
        keeps="the global model before the last step",
        checked="authors' code",
        source="TL-System/plato, examples/async/port/port_server.py",
    )
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(10, description="updates that the server waits for")
    staleness_bound: PositiveInt = Field(
        10, description="S: the staleness, in versions, beyond which clients are told to report"
    )
    staleness_weight: NonNegativeFloat = Field(3.0, description="a: weight of the freshness")
    similarity_weight: NonNegativeFloat = Field(1.0, description="b: weight of the agreement")

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        most = self.in_parallel(clients)
        if self.buffer_size > most:  # nobody is replaced before the server has aggregated
            yield (
                ("buffer_size",),
                f"{self.buffer_size} updates are more than {most} concurrent clients can fill; "
                f"expected at most {most}",
            )
        if not self.staleness_weight + self.similarity_weight:
            yield ("staleness_weight",), "0 together with similarity_weight 0 leaves no weight"

    def schedule(self, server: ServerView) -> Schedule:
        server.send(self.in_parallel(server.clients))
        while True:
            buffer: list[TaskView] = []
            enough = server.in_force("buffer_size", self.buffer_size)
            while len(buffer) < enough:
                buffer.append((yield server.arrival()))
            stale = [
                task for task in server.in_flight if server.staleness(task) > self.staleness_bound
            ]
            ended = len(buffer) + len(stale)
            for task in filter(server.is_paused, stale):
                server.cancel(task)
            told = [server.recall(task) for task in stale if task.in_flight]
            buffer += yield server.wait(told)
            early = server.arrivals()
            buffer += early
            for update in buffer:
                if not update.steps:
                    server.discard(update)
            yield server.aggregate([update for update in buffer if update.steps])
            server.send(ended + len(early))

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"before": params}  # the global model before the last step

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \sum_i p_i \Delta_i$.

        $p_i \propto n_i \left(a \frac{S}{S + \tau_i} + b \frac{\cos_i + 1}{2}\right)$ and
        $\sum_i p_i = 1$.
        """
        move = params - state["before"]
        weights = [update.num_samples * self._trust(move, update) for update in updates]
        if not sum(weights):  # all updates point in the opposite direction
            weights = [float(update.num_samples) for update in updates]
        mean = weighted_mean([update.delta for update in updates], weights)
        return params + mean, {"before": params}

    def _trust(self, move: Tensor, update: Update) -> float:
        bound = self.staleness_bound
        similarity = 1.0
        if update.staleness > 1:
            similarity = float(F.cosine_similarity(move, update.delta, dim=0))
        return (
            self.staleness_weight * bound / (bound + update.staleness)
            + self.similarity_weight * (similarity + 1) / 2
        )
