"""FedASMU: dynamic mixing weights, and clients that fetch a fresh model while they train."""

from __future__ import annotations

import math

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Update,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register

Controls = tuple[float, float, float]
"""lambda, sigma and iota of a client."""


@register("fedasmu")
class FedASMU(ConcurrentStrategy):
    """Models are mixed in with adapted weights, and clients merge a newer model on their way.

    Liu, Jia, Che, Huo, Ren, Zhou, Dai, Dou, "FedASMU: Efficient Asynchronous Federated Learning
    with Dynamic Staleness-Aware Model Update", AAAI 2024 (arXiv 2312.05770; also 2507.06031). A
    model that was trained from version o makes version t: ``w <- (1 - alpha) w + alpha w_i`` with
    ``alpha = mu xi / (1 + mu xi)`` and ``xi = lambda / (sqrt(t) (t - o)^sigma) + iota``. Updates
    with ``t - o`` above tau are discarded.

    Each client has its own lambda, sigma and iota. They follow the negative gradient of its loss,
    which is known if its task began with the version that its last update made. The change of its
    parameters in the task is then about -eta L times the mean gradient there (eta: the local
    learning rate, L: the steps), and ``w_i - w`` of that last update is how the version changed
    with alpha.

    After a share of its steps the client asks for the newest model. If that is version g > o, it is
    downloaded and merged: ``w_i <- (1 - beta) w_i + beta w_g``, where
    ``beta = nu phi / (1 + nu phi)`` and ``phi = gamma / sqrt(g) (1 - upsilon / sqrt(g - o + 1))``.
    Then training goes on. In the paper a meta model on the server and a model on each device learn
    when to ask; here the share is fixed. While the model is on its way, the client waits.
    """

    about = About(
        "Liu, Jia, Che, Huo, Ren, Zhou, Dai, Dou, AAAI 2024 (arXiv 2312.05770)",
        "asynchronous",
        keeps="each client's control parameters and last update",
        checked="re-implementations",
        source="alpha: wangpengyu2004/AFVLM_CM, code/afl_vlm/methods/fedasmu.py, and CyberStaZJU/"
        "dirbridge-response, algorithm/fedasmu.py, which has sigma/2 in place of sigma; beta: the "
        "same, and models/local_update.py there",
        unconfirmed="the gradients of lambda, sigma and iota, which are derived: a "
        "re-implementation of the server alone, whose repository was not named where it was read, "
        "has their terms after the paper's appendix, with the other sign and with version t - 1 "
        "for t. gamma and upsilon, which are fixed here; the paper adapts them, and the "
        "re-implementations by rules of their own. The instant of the request, which is fixed as "
        "it is in AFVLM_CM; the learnt one needs the text of the reinforcement learning. Whether a "
        "client trains on while the model is on its way. Of the paper only the abstract was found",
    )
    refreshes = True
    adapts = ("concurrency",)

    mu_alpha: PositiveFloat = Field(1.0, description="mu: the scale of the server's weight")
    scale: NonNegativeFloat = Field(1.0, description="lambda at first: the part that falls with t")
    exponent: NonNegativeFloat = Field(0.5, description="sigma at first: how it falls with t - o")
    floor: NonNegativeFloat = Field(0.0, description="iota at first: the part that does not fall")
    control_rate: NonNegativeFloat = Field(
        0.02,
        description="the rate at which lambda, sigma and iota are learnt, over the clients' "
        "learning rate; 0: they stay",
    )
    staleness_limit: PositiveInt | None = Field(
        None, description="tau: the largest t - o that is used; null: no limit"
    )
    request_after: float | None = Field(
        0.5,
        gt=0,
        lt=1,
        description="the share of its steps after which a client asks for the newest model; null: "
        "it does not",
    )
    mu_beta: PositiveFloat = Field(1.0, description="nu: the scale of the client's weight")
    refresh_scale: NonNegativeFloat = Field(1.0, description="gamma: how much a fresh model counts")
    refresh_discount: NonNegativeFloat = Field(
        0.5, description="upsilon: how much less it counts if it is only a little newer"
    )

    def schedule(self, server: ServerView) -> Schedule:
        server.send(self.in_parallel(server.clients), refresh_after=self.request_after)
        while True:
            update = yield server.arrival()
            # t - o is one more than the versions made since.
            if self.staleness_limit and server.staleness(update) >= self.staleness_limit:
                server.discard(update)
            else:
                yield server.aggregate([update])
            server.send(refresh_after=self.request_after)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"controls": {}, "last": {}}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow (1 - \alpha) w + \alpha w_i$, with $\alpha = \frac{\mu \xi}{1 + \mu \xi}$.

        $\xi = \frac{\lambda}{\sqrt{t} (t - o)^\sigma} + \iota$.
        """
        (update,) = updates
        client, age = update.client, update.staleness + 1
        version = update.base_version + age
        first = (self.scale, self.exponent, self.floor)
        controls = tuple(state["controls"].get(client, first))
        last = state["last"].get(client)
        if self.control_rate and update.steps:
            if last is not None and last["version"] == update.base_version:
                controls = self._adapted(controls, last, update)
            state = {
                "controls": {**state["controls"], client: controls},
                "last": {
                    **state["last"],
                    client: {"version": version, "age": age, "move": update.params - params},
                },
            }
        alpha = _weight(self.mu_alpha * _xi(controls, version, age))
        return (1 - alpha) * params + alpha * update.params, state

    def _adapted(self, controls: Controls, last: State, update: Update) -> Controls:
        """The control parameters after a step against the gradient of the client's loss.

        That is ``dF/dlambda = <g, w_i - w> dalpha/dlambda``, and so on, at its last update.
        """
        version, age = last["version"], last["age"]
        scale, exponent, floor = controls
        falls = 1 / (math.sqrt(version) * _power(age, exponent))
        slope = self.mu_alpha / (1 + self.mu_alpha * _xi(controls, version, age)) ** 2
        # delta is -eta L times the mean gradient, and the rate counts in units of eta.
        gain = float(update.delta.double() @ last["move"].double()) / update.steps
        step = self.control_rate * slope * gain
        return (
            max(0.0, scale + step * falls),
            max(0.0, exponent - step * scale * falls * math.log(age)),
            max(0.0, floor + step),
        )

    def refresh_weight(self, base_version: int, fresh_version: int) -> float:
        r"""$\beta = \frac{\nu \varphi}{1 + \nu \varphi}$.

        $\varphi = \frac{\gamma}{\sqrt{g}} \left(1 - \frac{\upsilon}{\sqrt{g - o + 1}}\right)$, but
        at least 0.
        """
        newer = fresh_version - base_version + 1
        phi = self.refresh_scale / math.sqrt(fresh_version)
        phi *= 1 - self.refresh_discount / math.sqrt(newer)
        return _weight(self.mu_beta * max(0.0, phi))


def _xi(controls: Controls, version: int, age: int) -> float:
    scale, exponent, floor = controls
    return scale / (math.sqrt(version) * _power(age, exponent)) + floor


def _power(age: int, exponent: float) -> float:
    """``age ** exponent``; infinite where Python raises an error."""
    try:
        return float(age**exponent)
    except OverflowError:
        return math.inf


def _weight(scaled: float) -> float:
    """``x / (1 + x)``, and 1 at infinity."""
    return 1.0 if scaled == math.inf else scaled / (1 + scaled)
