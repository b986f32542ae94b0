"""IA2SGD: incremental aggregated asynchronous SGD."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.gradient_table import empty, mean_of_means, replaced
from afl_sim.strategies.toolkit.schedules import one_of_each_then_every_arrival


@register("ia2sgd")
class IA2SGD(GradientStrategy):
    """Each arrival replaces its client's gradient in a table, and the step is the table's mean.

    Incremental aggregated asynchronous SGD, the baseline of Maranjyan, Richtarik, "Ringleader ASGD:
    The First Asynchronous SGD with Optimal Time Complexity under Data Heterogeneity", ICLR 2026
    (arXiv 2509.22860): ``g_i <- g``, then ``w <- w - gamma (1/n) sum_i g_i``.

    The table begins as in the authors' code. Clients send gradients at the initial model until
    there is one of each; a later one replaces an earlier one. The arrival that fills the table
    makes no step. The first step comes with the next arrival.
    """

    about = About(
        "Maranjyan, Richtarik, ICLR 2026 (arXiv 2509.22860)",
        "asynchronous",
        keeps="a table of each client's last gradient",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, src/asynchronous/algorithm.py (IAASGD)",
    )
    waits_for_all = True

    lr: PositiveFloat = Field(0.05, description="gamma: the server's step size")

    def schedule(self, server: ServerView) -> Schedule:
        return one_of_each_then_every_arrival(server, step_when_filled=False)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return empty(params)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma \frac{1}{n} \sum_i g_i$ over the table."""
        table = replaced(state, updates)
        return params + self.lr * mean_of_means(table), table
