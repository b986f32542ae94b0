"""Control variates of clients and of the server, as SCAFFOLD has them (its option II).

The server keeps c, and each client i its c_i; all of them are 0 at first. Local steps are
``y <- y - eta_l (g - c_i + c)`` by plain SGD. So ``(x - y)/(K eta_l)`` is the mean of g - c_i + c
over the K steps that led from x to y, and the mean of g is the client's next variate.
"""

from __future__ import annotations

from typing import NamedTuple

from afl_sim.lazy import Tensor, torch
from afl_sim.strategies.inputs import Client, Update, Work
from afl_sim.strategies.settings import LEAST_RATE
from afl_sim.strategies.toolkit.named_pieces import NamedPieces


class Kept(NamedTuple):
    """What a client keeps after a task, each of shape (P,).

    Attributes:
        control: c_i, its control variate.
        change: the change of c_i in that task, which the server needs.
    """

    control: Tensor
    change: Tensor


KEPT = NamedPieces(Kept)


def difference(c: Tensor, client: Client) -> Tensor:
    """$c - c_i$, to be added to every local gradient."""
    return c - _control(client, c)


def after_task(c: Tensor, client: Client, work: Work) -> Tensor:
    r"""$c_i^+ = c_i - c + (x - y) / (K \eta_l)$ and its change, as what the client keeps.

    Args:
        c: shape (P,): the server's variate when the client got the model.
        client: the client before the task.
        work: what it has done. A rate of 0 teaches nothing.
    """
    c_i = _control(client, c)
    if work.lr < LEAST_RATE:
        return KEPT.pack(Kept(control=c_i, change=torch.zeros_like(c_i)))
    new = c_i - c - work.delta / (work.steps * work.lr)
    return KEPT.pack(Kept(control=new, change=new - c_i))


def change(update: Update) -> Tensor | None:
    """$c_i^+ - c_i$, shape (P,); None if the client did no step, and so learnt nothing."""
    if not update.steps or update.client_state is None:
        return None
    return KEPT.unpack(update.client_state).change


def _control(client: Client, c: Tensor) -> Tensor:
    """c_i."""
    return torch.zeros_like(c) if client.state is None else KEPT.unpack(client.state).control
