"""AREA: the server's model is the mean of the last models of all clients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.task_view import TaskView


@register("area")
class AREA(Strategy):
    """Clients send how far they are from their last models, so that all of them count alike.

    Iakovidou, Kim, "Asynchronous Federated Stochastic Optimization for Heterogeneous Objectives
    Under Arbitrary Delays", 2025 (arXiv 2405.10123v3). Client i remembers the model y_i that it
    sent last, at first the initial model. It trains the model that it was given, to x_i, sends
    ``x_i - y_i``, and sets ``y_i <- x_i``. When ``buffer_size`` of them have arrived, the server
    makes the step ``x <- x + (1/n) sum (x_i - y_i)`` over them; n is the number of all clients. So
    x is always the mean of all y_i, however often each client arrives.

    All clients work all the time. A client that has delivered gets the current model at once. The
    one that fills the buffer thus gets the model before the step, as in the first author's
    simulator. With ``replacement: after_step`` it gets the model after the step, as in APPFL by the
    authors' group. The simulator also multiplies a client's learning rate by its share of all
    samples. Here all clients have the scenario's rate.

    The server keeps y_i in place of the client. A task that fails and an update that is refused
    leave y_i as it is.
    """

    about = About(
        "Iakovidou, Kim, 2025 (arXiv 2405.10123v3)",
        "semi-synchronous",
        keeps="each client's last model",
        checked="authors' code",
        source="chariako/asynchronous_federated_learning_simulation, src/afl_sim/core/client.py "
        "and server.py; APPFL/APPFL, src/appfl/algorithm/aggregator/area_aggregator.py and "
        "trainer/area_trainer.py",
    )
    optimizer_gets = "nothing"
    adapts = ("buffer_size",)

    buffer_size: PositiveInt = Field(10, description="updates per server step")
    replacement: Literal["before_step", "after_step"] = Field(
        "before_step", description="when the client that fills the buffer gets its next model"
    )

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(server.workers(server.clients))
        while True:
            buffer: list[TaskView] = []
            enough = server.in_force("buffer_size", self.buffer_size)
            while len(buffer) < enough:
                buffer.append((yield server.arrival()))
                client = buffer[-1].client
                if self.replacement == "before_step":
                    server.dispatch(client)
                if len(buffer) == enough:
                    yield server.aggregate(buffer)
                if self.replacement == "after_step":
                    server.dispatch(client)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"clients": population.clients, "initial": params, "memory": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$x \leftarrow x + \frac{1}{n} \sum_i (x_i - y_i)$, with $y_i \leftarrow x_i$ after each.

        $y_i$ is the initial model at first.
        """
        memory = dict(state["memory"])
        residuals = []
        for update in updates:
            residuals.append(update.params - memory.get(update.client, state["initial"]))
            memory[update.client] = update.params
        step = torch.stack(residuals).sum(0) / state["clients"]
        return params + step, {**state, "memory": memory}
