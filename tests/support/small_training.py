"""Tiny models and data, and a plain training loop that owes the trainer nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.optimizers import OPTIMIZERS, OptimizerSpec
from afl_sim.streams import Streams

CLASSES = 3
SAMPLES = 23
SEED = 11


def sgd(lr: float = 0.1, **settings: Any) -> OptimizerSpec:
    return OPTIMIZERS["SGD"](lr=lr, **settings)


def data(samples: int = SAMPLES, size: int = 4) -> tuple[Tensor, Tensor]:
    """Images of shape (samples, 1, 1, size) and labels; the same for the same arguments."""
    draws = torch.Generator().manual_seed(5)
    images = torch.randn(samples, 1, 1, size, generator=draws)
    return images, torch.randint(0, CLASSES, (samples,), generator=draws)


def mean_squared_error(outputs: Tensor, classes: Tensor) -> Tensor:
    """The mean over samples and outputs; the wanted output is 1 for the class, 0 for the others."""
    return ((outputs - torch.eye(outputs.shape[1], dtype=outputs.dtype)[classes]) ** 2).mean()


MEAN_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda outputs, classes: (
        -outputs.log_softmax(1)[torch.arange(len(classes)), classes].mean()
    ),
    "mse": mean_squared_error,
}


def linear(size: int = 4) -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, CLASSES))


def small_mlp(size: int = 4) -> nn.Module:
    torch.manual_seed(2)
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 5), nn.Tanh(), nn.Linear(5, CLASSES))


class Held:
    """Shards, read-only as those of a run: client c holds what is given for it, or everything."""

    def __init__(self, *indices: list[int], samples: int = SAMPLES) -> None:
        self._indices = indices
        self._samples = samples

    def indices(self, client: int) -> np.ndarray:
        held = self._indices[client] if self._indices else range(self._samples)
        indices = np.array(held, dtype=np.int64)
        indices.flags.writeable = False
        return indices


class Remembers(nn.Module):
    """Tells samples apart by their first pixel, and remembers which it saw, batch by batch."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CLASSES))
        self.seen: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append([int(i) for i in images[:, 0, 0, 0]])
        return self.weight.expand(len(images), CLASSES)


def numbered(samples: int = SAMPLES) -> tuple[Tensor, Tensor]:
    """Images whose pixel is their index."""
    return torch.arange(samples, dtype=torch.float32).view(-1, 1, 1, 1), torch.zeros(
        samples, dtype=torch.int64
    )


class Trainer(LocalTrainer):
    """A trainer that knows the vector of its model as it was built."""

    def __init__(self, model: nn.Module, *rest: Any) -> None:
        super().__init__(model, *rest)
        self.initial = self.layout.read(model)


def trainer(
    model: nn.Module,
    sample: tuple[Tensor, Tensor] | None = None,
    shards: Any = None,
    seed: int = SEED,
    sizes: BatchSizes = UNKNOWN,
    **settings: Any,
) -> Trainer:
    images, labels = sample if sample is not None else data()
    settings.setdefault("optimizer", sgd())
    shards = shards or Held(samples=len(labels))
    return Trainer(model, images, labels, shards, Streams(seed), LocalSettings(**settings), sizes)


def addressed_batches(
    held: np.ndarray, client: int, task: int, size: int, steps: int, seed: int = SEED
) -> Iterator[np.ndarray]:
    """The mini-batches that the streams name: one permutation for each pass."""
    order = Streams(seed).generator("batches", client, task)
    while True:
        visit = order.permutation(held)
        for begin in range(0, len(held), size):
            if steps == 0:
                return
            steps -= 1
            yield visit[begin : begin + size]


Rule = Callable[[list[Tensor], list[Tensor], dict[str, Any]], None]


def plain_loop(
    model: nn.Module,
    sample: tuple[Tensor, Tensor],
    batches: Iterator[np.ndarray],
    rule: Rule,
) -> Tensor:
    """Train with nothing but autograd and ``rule``; returns the parameters' vector."""
    images, labels = sample
    weights = list(model.parameters())
    memory: dict[str, Any] = {}
    for batch in batches:
        loss = nn.functional.cross_entropy(model(images[batch]), labels[batch])
        gradients = list(torch.autograd.grad(loss, weights))
        with torch.no_grad():
            rule(weights, gradients, memory)
    return torch.cat([w.detach().reshape(-1) for w in weights])


def train(
    local: Trainer,
    steps: int = 1,
    *,
    client: int = 0,
    task: int = 0,
    start: Tensor | None = None,
    anchor: Tensor | None = None,
    lr_factor: float = 1.0,
) -> LocalResult:
    start = local.initial if start is None else start
    anchor = start[: local.layout.num_parameters] if anchor is None else anchor
    return local.train(client, task, steps, start, anchor, lr_factor)
