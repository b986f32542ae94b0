"""QuAFL: the server polls clients, which never wait for it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LocalSteps, VirtualWait, check_polls
from afl_sim.strategies.toolkit.quantization import dither, quantized


@register("quafl")
class QuAFL(Strategy):
    """The server averages its model with those of sampled clients, whatever they have done so far.

    Zakerinia et al., "QuAFL: Communication-Efficient Federated Learning with Quantization"
    (arXiv 2206.10032), Algorithm 1. Every ``wait + interaction`` seconds the server samples s
    clients. Each has done h <= K steps with learning rate ``lr (s + 1)/s``. Then
    ``w <- w/(s + 1) + s/(s + 1) mean(w_i)``, and each sampled client continues from
    ``w_old/(s + 1) + s/(s + 1) w_i``. Clients that reach K steps wait for the next poll. If fewer
    than s clients answer, because others are away or their updates are lost, the server uses their
    number in place of s.

    With ``bits`` both directions are quantised. The server decodes w_i next to w, and the client
    decodes w_old next to w_i. The authors' code rounds to the nearest multiple of 1e-4 and sends 14
    bits. The duration of a transfer is the scenario's, whatever the bits are.

    A poll breaks off the step that a client is computing. The step begins again after the poll. By
    default its time is drawn anew. In the authors' code it takes as long as it was drawn to take
    (``interrupted_step: repeated``), so that a step which is longer than the time between two polls
    holds a client up until a poll leaves it out.
    """

    about = About(
        "Zakerinia et al., arXiv 2206.10032",
        "semi-synchronous",
        keeps="nothing; each client its own model",
        checked="authors' code",
        source="ShayanTalaei/QuAFL, trainer.py, client.py and quantizer.py",
    )
    buffers_by_rule = True
    optimizer_gets = "nothing"
    polls = True
    gives_steps = True

    clients_per_round: PositiveInt = Field(5, description="s: clients polled at a time")
    local_steps: LocalSteps = Field(5, description="K: the most steps between two polls")
    interaction_seconds: VirtualWait = Field(
        10.0, description="seconds of virtual time that an interaction with the clients takes"
    )
    wait_seconds: VirtualWait = Field(
        0.0, description="seconds of virtual time that the server waits between interactions"
    )

    bits: PositiveInt | None = Field(
        None, le=24, description="bits of a transmitted element; null: no quantisation"
    )
    quantization_step: PositiveFloat = Field(
        1e-4, description="distance between neighbouring values of a quantised element"
    )
    rounding: Literal["nearest", "stochastic"] = Field(
        "nearest",
        description="a quantised element is rounded to the nearest value, or up or down at random "
        "so that the mean is right",
    )
    interrupted_step: Literal["redrawn", "repeated"] = Field(
        "redrawn",
        description="the time of a step that a poll has broken off: drawn anew after the poll, or "
        "as long again",
    )

    @property
    def lr_scale(self) -> float:
        return (self.clients_per_round + 1) / self.clients_per_round

    def check(self, clients: int) -> Problems:
        period = self.interaction_seconds + self.wait_seconds
        return check_polls(self.clients_per_round, period, clients)

    def schedule(self, server: ServerView) -> Schedule:
        server.dispatch(range(server.clients), steps=self.local_steps, until_polled=True)
        while True:
            yield server.sleep(self.wait_seconds + self.interaction_seconds)
            sampled = server.sample(self.clients_per_round)
            repeat = self.interrupted_step == "repeated"
            polled = [server.poll(client, repeat_step=repeat) for client in sampled]
            arrived = yield server.wait(polled)
            if self.bits is None or self.rounding == "nearest":
                yield server.aggregate(arrived)
            else:
                u = server.uniform("quantization", k=server.version)
                yield server.aggregate(arrived, seed=int(u * 2**53))

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"seed": 0}  # of the dither in the last aggregation

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \frac{1}{s + 1} \left(w + \sum_{i=1}^{s} w_i\right)$."""
        total, state = params, {"seed": context.get("seed", 0)}
        for update in updates:
            total = total + self._sent(update.params, params, state, "up", update.client)
        return total / (len(updates) + 1), state

    def starting_point(self, params: Tensor, state: State, client: Client) -> Tensor:
        r"""$\frac{1}{s + 1} w_{\text{old}} + \frac{s}{s + 1} w_i$."""
        if client.params is None:
            return params
        s = self.clients_per_round
        received = self._sent(params, client.params, state, "down", client.id)
        return received / (s + 1) + client.params * (s / (s + 1))

    def _sent(
        self, vector: Tensor, key: Tensor, state: State, direction: str, client: int
    ) -> Tensor:
        """What the receiver gets of a vector, if the receiver has ``key``."""
        if self.bits is None:
            return vector
        noise = None
        if self.rounding == "stochastic":
            noise = dither(state["seed"], direction, client, len(vector))
        return quantized(vector, key, self.quantization_step, self.bits, noise)
