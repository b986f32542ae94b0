"""Which trainer trains a model."""

from __future__ import annotations

from torch import Tensor, nn

from afl_sim.learning.chain.recognition import chain_of
from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes
from afl_sim.learning.data.inputs import Inputs
from afl_sim.learning.training.chain_training import ChainTrainer
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.task_draws import Shards
from afl_sim.streams import Streams


def trainer_of(
    model: nn.Module,
    inputs: Inputs,
    labels: Tensor,
    shards: Shards,
    streams: Streams,
    settings: LocalSettings,
    sizes: BatchSizes = UNKNOWN,
    weights: Tensor | None = None,
) -> LocalTrainer:
    """A `ChainTrainer` for a chain of classes in portable arithmetic, else a `LocalTrainer`.

    A chain takes labels of classes, and samples that count the same.

    The arguments are those of `LocalTrainer`.
    """
    of_classes = labels.dim() == 1 and not labels.is_floating_point()
    if settings.portable and of_classes and weights is None and isinstance(settings.loss, str):
        chain = chain_of(model, inputs.shape[1:], settings.loss)
        if chain is not None:
            return ChainTrainer(chain, model, inputs, labels, shards, streams, settings)
    return LocalTrainer(model, inputs, labels, shards, streams, settings, sizes, weights)
