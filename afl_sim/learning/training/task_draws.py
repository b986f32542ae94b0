"""What is drawn for a client's task: its mini-batches, their changes, and the gradients' noise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.mini_batches import mini_batches
from afl_sim.learning.training.phase import ORDINARY, Phase
from afl_sim.scenario.sections.training import batches_in_pass, limited
from afl_sim.streams import Streams


class Shards(Protocol):
    """Which samples a client holds."""

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        """Indices into the training pool, in a fixed order."""


class TaskDraws:
    """The draws of clients' tasks, each a function of the client, the task and the phase.

    Args:
        shards: which samples a client holds.
        streams: the run's random streams.
        settings: how every client trains.
        gradient_size: P, the numbers in a gradient.
    """

    def __init__(
        self, shards: Shards, streams: Streams, settings: LocalSettings, gradient_size: int
    ) -> None:
        self._shards = shards
        self._streams = streams
        self.settings = settings
        self.gradient_size = gradient_size
        self._most: npt.NDArray[np.int64] | None = None

    def limit_batches(self, most: npt.NDArray[np.int64] | None) -> None:
        """Bound each client's mini-batches: int64 (clients,); None for no bounds."""
        self._most = most

    def augmenting(
        self, client: int, task: int, phase: Phase = ORDINARY
    ) -> np.random.Generator | None:
        """What draws the changes of a task's mini-batches; None if there are none."""
        if not self.settings.augment:
            return None
        return self._streams.generator(phase.stream("augment"), client, task)

    def batch_indices(
        self, client: int, task: int, steps: int, phase: Phase = ORDINARY
    ) -> Iterator[Tensor]:
        """The task's mini-batches as int64 tensors, ``steps`` in all."""
        yield from map(torch.from_numpy, self.batches(client, task, steps, phase))

    def batches(
        self, client: int, task: int, steps: int, phase: Phase = ORDINARY
    ) -> Iterator[npt.NDArray[np.int64]]:
        """The task's mini-batches as arrays (`mini_batches`)."""
        order = None
        if self.settings.shuffle:
            order = self._streams.generator(phase.stream("batches"), client, task)
        return mini_batches(
            self._shards.indices(client),
            self._batch_size(client),
            self.settings.drop_last,
            steps,
            order,
        )

    def batches_in_pass(self, client: int) -> int:
        """How many mini-batches a pass over the client's data has."""
        settings = self.settings
        held = len(self._shards.indices(client))
        return batches_in_pass(held, self._batch_size(client), settings.drop_last)

    def _batch_size(self, client: int) -> int | None:
        size = self.settings.batch_size
        return size if self._most is None else limited(size, int(self._most[client]))

    def noise(self, client: int, task: int, phase: Phase = ORDINARY) -> Iterator[Tensor]:
        """The noise of the task's gradients, one vector of shape (P,) after another."""
        draws = self._streams.generator(phase.stream("gradient_noise"), client, task)
        scale = np.float32(self.settings.gradient_noise)
        size = self.gradient_size
        while True:
            count = 1 if self.settings.shared_noise else size
            drawn = draws.standard_normal(count, dtype=np.float32)
            yield torch.from_numpy(np.broadcast_to(drawn * scale, size).copy())
