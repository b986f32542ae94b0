"""A data set in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from afl_sim.lazy import Tensor
from afl_sim.learning.data.annotations import Annotations, annotations_of
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.inputs import Inputs


@dataclass(frozen=True)
class Dataset:
    """A data set in memory. Its tensors are shared by the whole process: never write to them.

    Attributes:
        name: the scenario's name for it.
        inputs: of the samples that clients get, in the order of the files:
            (samples, channels, height, width) for images, float32 and normalised, or `RawInputs`,
            which normalise batch by batch. The held-out share is not among them.
        labels: int64 (samples,) for classes.
        validation_inputs, validation_labels: the held-out share; possibly no samples.
        test_inputs, test_labels: the published test set, normalised alike.
        form: what one sample looks like.
        owners: int64 (samples,): which of the data's own clients a sample comes from; None if the
            data has no clients.
        owner_names: the names of the data's own clients.
        weights: float32 (samples,): how much each of `inputs` counts in a loss; None if all count
            the same.
        stored: folder of the pool's memory maps (`afl_sim.learning.data.arrays`), if there is one.
    """

    name: str
    inputs: Inputs
    labels: Tensor
    validation_inputs: Inputs
    validation_labels: Tensor
    test_inputs: Inputs
    test_labels: Tensor
    form: SampleForm
    owners: Tensor | None = None
    owner_names: tuple[str, ...] = ()
    weights: Tensor | None = None
    stored: Path | None = None

    @property
    def annotations(self) -> Annotations:
        """What is needed to deal the samples out."""
        owners = None if self.owners is None else self.owners.numpy()
        return annotations_of(self.labels.numpy(), self.form, owners, self.owner_names)
