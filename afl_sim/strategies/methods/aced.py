"""ACE and ACED: a step along the mean of the clients' last gradients, those too old left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.schedules import one_of_each_then_every_arrival


@register("aced")
class ACED(GradientStrategy):
    """Each arrival makes a step along the mean of all clients' last gradients that are recent.

    Chang, Yao, Krishnamurthy, Shelton, Chakraborty, Swami, Oymak, Roy-Chowdhury, "Mitigating
    Participation Imbalance Bias in Asynchronous Federated Learning", 2025 (arXiv 2511.19066). The
    server caches the last gradient U_i of every client. At iteration t it puts the gradient that
    has arrived into the cache, and A(t) are the clients with ``t - t_i <= tau_algo``. Then
    ``w <- w - eta (1/|A(t)|) sum_{i in A(t)} U_i``. If A(t) is empty, w stays as it is; t goes on.
    Without a limit all clients count: this is ACE.

    t counts versions. t_i is the version at which U_i was computed (``age: gradient``). In the
    authors' code it is the version that client i is working on now (``age: task``), so that a
    gradient counts until its client is late with the next one, however old it was itself.

    Before the first step clients send gradients at the initial model until there is one of each; a
    later one replaces an earlier one. The arrival that fills the cache makes the first step.
    """

    about = About(
        "Chang et al., 2025 (arXiv 2511.19066)",
        "asynchronous",
        keeps="each client's last gradient and its version",
        checked="authors' code",
        source="xchang1121/AsyncFL, algorithms/stalesgd.py (ACED) and "
        "algorithms/stalesgd_conceptual.py (ACE and its first step)",
        unconfirmed="what t_i is: comments and README of that code speak of the cached gradient, "
        "but its loop sets t_i when the client gets its next task; that loop also steps only "
        "once in n arrivals. The paper's text was looked for and not found",
    )
    waits_for_all = True
    optimizer_gets = "nothing"

    lr: PositiveFloat = Field(0.05, description="eta: the server's step size")
    staleness_limit: NonNegativeInt | None = Field(
        50, description="tau_algo: the largest age, in versions, that counts; null: no limit (ACE)"
    )
    age: Literal["gradient", "task"] = Field(
        "gradient",
        description="what has to be recent: the version of the gradient in the cache, or that of "
        "its client's task at work",
    )

    def schedule(self, server: ServerView) -> Schedule:
        return one_of_each_then_every_arrival(server, step_when_filled=True)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"cache": {}, "active": [], "sum": torch.zeros_like(params, dtype=torch.float64)}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \eta \frac{1}{|A(t)|} \sum_{i \in A(t)} U_i$.

        $A(t) = \{i : t - t_i \le \tau_{\text{algo}}\}$.
        """
        t = updates[-1].base_version + updates[-1].staleness
        cache = dict(state["cache"])
        for update in updates:
            # Who completes the aggregation is sent the version that it makes.
            sent = t + 1 if update is updates[-1] else t
            t_i = update.base_version if self.age == "gradient" else sent
            cache[update.client] = (update.delta, t_i)
        limit = self.staleness_limit
        active = [i for i, (_, t_i) in cache.items() if limit is None or t - t_i <= limit]
        total = _sum_over(active, cache, state)
        mean = (total / len(active)).to(params.dtype) if active else torch.zeros_like(params)
        return params + self.lr * mean, {"cache": cache, "active": active, "sum": total}


def _sum_over(
    active: Sequence[int], cache: Mapping[int, tuple[Tensor, int]], before: Mapping[str, Any]
) -> Tensor:
    """The sum of the active clients' gradients, float64.

    It begins with the sum before, so the cost depends on the clients that have changed.
    """
    total: Tensor = before["sum"].clone()
    was, now = set(before["active"]), set(active)
    for i, (gradient, _) in cache.items():
        old = before["cache"][i][0] if i in was else None
        new = gradient if i in now else None
        if new is old:
            continue
        if new is not None:
            total += new
        if old is not None:
            total -= old
    return total
