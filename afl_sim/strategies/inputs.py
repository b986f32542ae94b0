"""What the hooks of a strategy are given: plain, frozen records.

P is the number of model parameters everywhere. Buffers (the running statistics of BatchNorm) are
not among the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from afl_sim.lazy import Tensor


@dataclass(frozen=True, slots=True)
class Update:
    """What one client's task contributes to an aggregation.

    Attributes:
        client: the client's index, from 0.
        base_version: the version that the client downloaded.
        staleness: the number of versions made after that download and before this aggregation.
        num_samples: n_k, the number of samples that the client holds.
        steps: the number of local steps that the client did.
        delta: shape (P,): the local model minus its starting point; for a gradient method, -g.
        params: shape (P,): the local model after training; for a gradient method, the model at
            which g was computed.
        loss: the mean training loss over the task; NaN if no step was done.
        client_state: what the client keeps after the task (`Strategy.client_state`), or None.
        lr_factor: the factor of ``training.lr_schedule`` on the task's learning rate, times that
            of `ServerView.dispatch`.
        public_gradient: shape (P,): the gradient of the public batch's mean loss at `params`; None
            without such a batch (`Strategy.public_batch`).
    """

    client: int
    base_version: int
    staleness: int
    num_samples: int
    steps: int
    delta: Tensor
    params: Tensor
    loss: float
    client_state: Tensor | None = None
    lr_factor: float = 1.0
    public_gradient: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What a schedule may know of an update's numbers (`ServerView.result`).

    Attributes:
        client, base_version, staleness, num_samples, steps, loss: as in `Update`.
    """

    client: int
    base_version: int
    staleness: int
    num_samples: int
    steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class Client:
    """A client that is about to train.

    What a client keeps changes when its update arrives. A task that never arrives changes nothing.

    Attributes:
        id: the client's index, from 0.
        params: shape (P,): its model at the end of its last task; None before its first.
        state: what it kept after that task (`Strategy.client_state`), or None.
    """

    id: int
    params: Tensor | None
    state: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a client has done in a task.

    Attributes:
        steps: the number of local steps, at least one.
        lr: the local learning rate.
        delta: shape (P,): the local model minus its starting point; for a gradient method, -g.
    """

    steps: int
    lr: float
    delta: Tensor


@dataclass(frozen=True)
class Public:
    """A batch that the server and all clients have, and that is no client's own.

    Attributes:
        samples: how many.
        source: ``noise``: standard normal inputs, and labels that mean nothing; or ``validation``:
            samples that ``data.validation`` holds out.
    """

    samples: int
    source: Literal["noise", "validation"]


@dataclass(frozen=True, slots=True)
class Population:
    """What is known about the clients before any of them answers.

    Attributes:
        clients: the number of clients.
        num_samples: gives n_k, the number of samples that a client holds, for its index.
    """

    clients: int
    num_samples: Callable[[int], int]
