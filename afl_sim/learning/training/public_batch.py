"""A batch that the server and all clients have: not of any client's own samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from afl_sim.learning.data.dataset import Dataset
from afl_sim.streams import Streams


@dataclass(frozen=True)
class PublicBatch:
    """Inputs and labels of n samples, as a `LocalTrainer` takes them.

    Attributes:
        inputs: float32, or int64 for tokens, (n, ...).
        labels: of the same samples.
    """

    inputs: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> PublicBatch:
        """The same on another device."""
        return replace(self, inputs=self.inputs.to(device), labels=self.labels.to(device))


def noise(dataset: Dataset, samples: int, streams: Streams) -> PublicBatch:
    """Standard normal inputs, and labels that mean nothing: every class is as likely.

    Args:
        dataset: whose inputs are no tokens, and have one class or some numbers each.
        samples: how many.
        streams: the run's.
    """
    form = dataset.form
    draws = streams.generator("public")
    inputs = draws.standard_normal((samples, *form.input_shape), dtype="float32")
    if form.target == "class":
        return PublicBatch(
            torch.from_numpy(inputs), torch.from_numpy(draws.integers(form.outputs, size=samples))
        )
    labels = draws.standard_normal((samples, form.outputs), dtype="float32")
    return PublicBatch(torch.from_numpy(inputs), torch.from_numpy(labels))


def of_validation(dataset: Dataset, samples: int, streams: Streams) -> PublicBatch:
    """Some samples of the held-out share, which has as many, drawn without replacement."""
    held_out = len(dataset.validation_labels)
    rows = torch.from_numpy(streams.generator("public").permutation(held_out)[:samples])
    return PublicBatch(
        dataset.validation_inputs.index_select(0, rows),
        dataset.validation_labels.index_select(0, rows),
    )
