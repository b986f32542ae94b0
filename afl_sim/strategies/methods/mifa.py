"""MIFA: the last update of a client that is away takes its place."""

from __future__ import annotations

from pydantic import Field, PositiveFloat

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Population, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import RoundStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LEAST_RATE, ClientsPerRound
from afl_sim.strategies.task_view import TaskView


@register("mifa")
class MIFA(RoundStrategy):
    """Rounds of the active clients, in which the last update of every client counts.

    Gu, Huang, Zhang, Huang, "Fast Federated Learning in the Presence of Arbitrary Device
    Unavailability", NeurIPS 2021 (arXiv 2106.04159), memory-augmented impatient federated
    averaging. An active client sets ``G_i <- (w - w_i)/eta``, and then
    ``w <- w - eta (1/N) sum_i G_i`` over all N clients. The table holds each client's last delta,
    divided by the factor that ``training.lr_schedule`` had then. w moves by the mean of the table,
    times the factor that it has now, times ``server_lr``. So eta cancels except for its schedule,
    and any local optimizer can be used.

    The first step waits until there is a G_i of every client. The scenario's availability says
    which clients are active; ``clients_per_round`` limits a round to a random sample of them.
    """

    about = About(
        "Gu et al., NeurIPS 2021 (arXiv 2106.04159)",
        "synchronous",
        keeps="each client's last update",
        checked="authors' code",
        source="hmgxr128/MIFA_code, src/trainers/fdu.py",
    )
    waits_for_all = True

    clients_per_round: ClientsPerRound = Field(
        1.0,
        description="active clients in a round: a count, or a rounded fraction (1.0 is all)",
    )
    server_lr: PositiveFloat = Field(1.0, description="a factor on the mean update")

    def schedule(self, server: ServerView) -> Schedule:
        size = self.cohort_size(server.clients)
        missing = dict.fromkeys(range(server.clients))
        first: list[TaskView] = []
        while True:
            yield server.wait_idle()
            active = server.pick(size, among=list(missing)) or server.pick(size)
            arrived = yield server.wait(server.dispatch(active))
            if not missing:
                yield server.aggregate(arrived)
                continue
            first += arrived
            for update in arrived:
                missing.pop(update.client, None)
            if not missing:
                yield server.aggregate(first)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \eta \frac{1}{N} \sum_{i=1}^{N} G_i$ over the table.

        Before it, $G_i \leftarrow (w - w_i) / \eta$ for the active clients.
        """
        table = dict(state)
        for update in updates:
            scale = update.lr_factor
            table[update.client] = update.delta / scale if scale >= LEAST_RATE else update.delta
        now = updates[-1].lr_factor  # the updates of a round have the same version
        return params + self.server_lr * now * torch.stack(list(table.values())).mean(0), table
