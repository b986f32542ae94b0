"""FedDyn: a dynamic regularizer that makes local optima agree with the global one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Client, Context, Population, State, Step, Updates, Work
from afl_sim.strategies.bases import RoundStrategy
from afl_sim.strategies.registry import register


@register("feddyn")
class FedDyn(RoundStrategy):
    """Clients carry their last gradient into the next task; the server carries their mean drift.

    Acar et al., "Federated Learning Based on Dynamic Regularization", ICLR 2021 (arXiv 2111.04263),
    Algorithm 1. Client k minimises ``f_k(w) - <lambda_k, w> + alpha/2 |w - w_base|^2`` and sets
    ``lambda_k <- lambda_k - alpha (w_k - w_base)``, its gradient at w_k. The server sets
    ``h <- h - alpha (1/N) sum (w_k - w)`` and ``w <- mean(w_k) - h / alpha``. lambda_k and h are 0
    at first.

    The paper minimises exactly. Here the local steps of a task take the place of that.

    Where clients hold different numbers of samples, the authors' code divides client k's alpha by
    n_k N / n, with n_k of all n samples. The rounds then settle where the mean loss over all
    samples is least. This is the default. With ``scaling: none`` all clients have the same alpha,
    and all count the same. The authors' code also clips gradients to a norm of 10
    (``training.clip_norm: 10``).
    """

    about = About(
        "Acar et al., ICLR 2021 (arXiv 2111.04263)",
        "synchronous",
        keeps="the mean drift h; each client its last gradient",
        checked="authors' code",
        source="alpemreacar/FedDyn, utils_methods.py",
    )
    optimizer_gets = "nothing"

    alpha: PositiveFloat = Field(0.1, description="weight of the regularizer")

    scaling: Literal["samples", "none"] = Field(
        "samples",
        description="what alpha is divided by for client k: n_k N / n, with n_k of all n samples, "
        "or nothing",
    )

    @property
    def proximal(self) -> float:
        return self.alpha

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {
            "h": torch.zeros_like(params),
            "clients": population.clients,
            "factors": self._factors(population),
        }

    def _factors(self, population: Population) -> list[float]:
        """1 / (n_k N / n) of each client; empty if all are 1."""
        if self.scaling == "none":
            return []
        samples = [population.num_samples(client) for client in range(population.clients)]
        if len(set(samples)) == 1:
            return []
        mean = sum(samples) / len(samples)
        return [mean / n if n else 1.0 for n in samples]

    def proximal_factor(self, params: Tensor, state: State, client: Client) -> float:
        r"""$\frac{n}{n_k N}$, on the weight of the regularizer."""
        return float(state["factors"][client.id]) if state["factors"] else 1.0

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        r"""$-\lambda_k$, added to every local gradient."""
        return None if client.state is None else -client.state

    def client_state(self, params: Tensor, state: State, client: Client, work: Work) -> Tensor:
        r"""$\lambda_k \leftarrow \lambda_k - \alpha_k (w_k - w_{\text{base}})$.

        $\alpha_k = \alpha n / (n_k N)$.
        """
        drift = -self.alpha * self.proximal_factor(params, state, client) * work.delta
        return drift if client.state is None else client.state + drift

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$h \leftarrow h - \frac{\alpha}{N} \sum_{k \in S} (w_k - w)$,
        $w \leftarrow \frac{1}{|S|} \sum_{k \in S} w_k - \frac{1}{\alpha} h$.
        """
        drift = torch.stack([update.params - params for update in updates])
        h = state["h"] - self.alpha * drift.sum(0) / state["clients"]
        return params + drift.mean(0) - h / self.alpha, {**state, "h": h}
