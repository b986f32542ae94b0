"""SCAFFOLD: control variates correct the drift of local training."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Client, Context, Population, State, Step, Updates, Work
from afl_sim.strategies.bases import RoundStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit import control_variates


@register("scaffold")
class Scaffold(RoundStrategy):
    """Each client steps along its gradient plus the difference of two control variates.

    Karimireddy et al., "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", ICML
    2020 (arXiv 1910.06378), Algorithm 1 with option II. Local steps are
    ``y <- y - eta_l (g - c_i + c)``. After K steps ``c_i+ = c_i - c + (x - y)/(K eta_l)``. The
    server sets ``x <- x + eta_g mean(y_i - x)`` over the clients of the round, and
    ``c <- c + (1/N) sum (c_i+ - c_i)``. All control variates are 0 at first.

    Option II assumes plain SGD as the local optimizer. Other optimizers, momentum and a rate of 0
    are refused.
    """

    about = About(
        "Karimireddy et al., ICML 2020 (arXiv 1910.06378)",
        "synchronous",
        keeps="a control variate; each client another one",
        checked="re-implementations",
        source="alpemreacar/FedDyn, utils_methods.py (train_SCAFFOLD)",
    )
    plain_sgd: ClassVar[bool] = True

    server_lr: PositiveFloat = Field(1.0, description="eta_g: the server's learning rate")

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"c": torch.zeros_like(params), "clients": population.clients}

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor:
        """$c - c_i$, added to every local gradient."""
        return control_variates.difference(state["c"], client)

    def client_state(self, params: Tensor, state: State, client: Client, work: Work) -> Tensor:
        r"""$c_i^+ = c_i - c + (x - y_i) / (K \eta_l)$, and its change $c_i^+ - c_i$."""
        return control_variates.after_task(state["c"], client, work)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$x \leftarrow x + \eta_g \frac{1}{|S|} \sum_{i \in S} (y_i - x)$,
        $c \leftarrow c + \frac{1}{N} \sum_{i \in S} (c_i^+ - c_i)$.
        """
        mean = torch.stack([update.delta for update in updates]).mean(0)
        c = state["c"]
        for update in updates:
            change = control_variates.change(update)
            if change is not None:
                c = c.add(change, alpha=1 / state["clients"])
        return params + self.server_lr * mean, {**state, "c": c}
