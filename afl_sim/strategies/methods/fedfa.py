"""FedFa: the global model is the mean of the last K models that have arrived."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView


@register("fedfa")
class FedFa(ConcurrentStrategy):
    """Each arriving model enters a queue of K; the global model is the mean of the queue.

    Xu, Zhang, Di, Liu, Alharthi, Cao, "FedFa: A Fully Asynchronous Training Paradigm for Federated
    Learning", IJCAI 2024 (arXiv 2404.11015). A model that arrives is put into a queue, and the
    oldest of more than K models leaves it. Then ``w <- (1/K) sum_k w_k`` over the queue. All models
    count alike, however stale they are. The first step comes when the queue is full for the first
    time; after that each arrival makes a step.

    A client that has delivered is replaced at once, after the step if there is one.
    """

    about = About(
        "Xu et al., IJCAI 2024 (arXiv 2404.11015)",
        "asynchronous",
        keeps="the last K models that arrived",
        checked="re-implementations",
        source="zsl503/asynflsim, src/fl/fedfa.py",
        unconfirmed="the paper's other form, in which clients send differences: its rule was "
        "looked for and not found, and is not here",
    )
    optimizer_gets = "nothing"
    adapts = ("concurrency",)

    queue_size: PositiveInt = Field(10, description="K: models in the queue")

    def schedule(self, server: ServerView) -> Schedule:
        server.send(self.in_parallel(server.clients))
        new: list[TaskView] = []
        full = False
        while True:
            new.append((yield server.arrival()))
            if full or len(new) == self.queue_size:
                yield server.aggregate(new)
                new, full = [], True
            server.send()

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"queue": []}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \frac{1}{K} \sum_{k=1}^{K} w_k$ over the last K models."""
        queue = [*state["queue"], *(update.params for update in updates)][-self.queue_size :]
        return torch.stack(queue).mean(0), {"queue": queue}
