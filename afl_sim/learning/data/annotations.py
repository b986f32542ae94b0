"""What is known of samples without their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.learning.data.sample_form import SampleForm

BINS = 10
"""Of numbers to predict: samples are dealt out by the tenth that their first number falls into."""

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Annotations:
    """The samples that are dealt out, without their inputs.

    Attributes:
        labels: int64 (samples,): the label by which a sample is dealt out.
        classes: number of different labels.
        owners: int64 (samples,): which of the data's own clients a sample comes from; None if the
            data has no clients.
        owner_names: the names of the data's own clients.
    """

    labels: Ints
    classes: int
    owners: Ints | None = None
    owner_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, rows: Ints) -> Annotations:
        """The annotations of some of the samples.

        Args:
            rows: indices of samples, int64, in the order that is wanted.
        """
        owners = None if self.owners is None else self.owners[rows]
        return replace(self, labels=self.labels[rows], owners=owners)


def annotations_of(
    labels: npt.NDArray[Any], form: SampleForm, owners: Ints | None, owner_names: tuple[str, ...]
) -> Annotations:
    """The annotations of samples with labels of any kind.

    Args:
        labels: as `SampleForm.target` says.
        form: of the samples.
        owners, owner_names: as in `Annotations`.
    """
    if form.target == "class":
        return Annotations(labels, form.outputs, owners, owner_names)
    if form.target == "number":
        # By rank, so that every tenth has as many samples; the order of the files breaks ties.
        order = np.argsort(labels[:, 0], kind="stable")
        bins = np.empty(len(labels), dtype=np.int64)
        bins[order] = np.arange(len(labels)) * BINS // max(1, len(labels))
        return Annotations(bins, BINS, owners, owner_names)
    if form.target == "several":
        first = np.where(labels.any(axis=1), labels.argmax(axis=1), form.outputs)
        return Annotations(first.astype(np.int64), form.outputs + 1, owners, owner_names)
    return Annotations(np.zeros(len(labels), dtype=np.int64), 1, owners, owner_names)
