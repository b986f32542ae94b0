"""Clients that attack: who they are, what they send, and on which labels they train."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.training.own_tensors import called
from afl_sim.scenario.sections.attack import ATTACKS, Attack, poisoned_by
from afl_sim.streams import Streams

if TYPE_CHECKING:
    from afl_sim.learning.training.local_result import LocalResult


def attackers_of(spec: Attack, count: int, streams: Streams) -> frozenset[int]:
    """The clients that attack, of so many.

    Those with the smallest draws do, so that more attackers contain fewer.
    """
    if spec.clients is not None:
        return frozenset(spec.clients)
    assert spec.share is not None
    draws = streams.uniforms("attack.clients", np.arange(count))
    order = np.argsort(draws, kind="stable")
    return frozenset(order[: round(spec.share * count)].tolist())


@dataclass(frozen=True)
class Attackers:
    """The attack of a run.

    Args:
        spec: the scenario's ``clients.attack``.
        members: the clients that attack.
        streams: the run's random streams; the generator of a task is addressed by client and task.
        gradient: whether an update is a gradient; then the client's model does not change.
    """

    spec: Attack
    members: frozenset[int]
    streams: Streams
    gradient: bool = False

    def sent(
        self,
        client: int,
        task: int,
        start: Tensor,
        model: Tensor,
        result: LocalResult,
        layout: Layout,
    ) -> LocalResult:
        """The result of a task of this client, as the client tells it.

        Args:
            client, task: the client, and the number of its task.
            start: shape (P + B,): where the client began.
            model: shape (P,): the global model that it downloaded.
            result: what it computed.
            layout: how the model lies in its vector; frozen parameters stay as they are.
        """
        if client not in self.members or not type(self.spec).falsifies():
            return result
        draws = self.streams.generator("attack.update", client, task)
        update = called(self.spec, ATTACKS, result.delta, model, draws)
        update = layout.with_frozen(update, result.delta)
        if self.gradient:
            return replace(result, delta=update)
        count = len(update)
        vector = torch.cat([start[:count] + update, result.vector[count:]])
        return replace(result, vector=vector, delta=update)


def poisoned(
    spec: Attack,
    members: frozenset[int],
    labels: Tensor,
    classes: int,
    held: Callable[[int], npt.NDArray[np.int64]],
    clients: int,
) -> Tensor:
    """The labels on which the clients train, shape (N,), int64; a new tensor if any differ.

    Args:
        spec: the attack.
        members: the clients that attack.
        labels: shape (N,), int64: the true labels.
        classes: the number of classes.
        held: gives the indices of a client's samples.
        clients: the number of clients.

    Raises:
        ScenarioError: an attacker shares a sample with an honest client.
        OwnRuleError: the attack gave other things than labels.
    """
    if not type(spec).poisons():
        return labels
    rows = np.unique(np.concatenate([held(client) for client in sorted(members)]))
    false = np.zeros(len(labels), dtype=bool)
    false[rows] = True
    for client in range(clients):
        if client not in members and false[held(client)].any():
            raise ScenarioError(
                f"clients.attack: {spec.kind} changes labels, but client {client}, which does not "
                "attack, has samples of an attacker; expected a data.partition that gives each "
                "sample to one client"
            )
    changed = labels.clone()
    true = labels.numpy()[rows]
    changed[torch.from_numpy(rows)] = torch.from_numpy(poisoned_by(spec, true, classes))
    return changed
