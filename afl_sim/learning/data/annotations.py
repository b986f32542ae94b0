"""What is known of samples without their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from afl_sim.learning.data.sample_form import SampleForm

Ints = npt.NDArray[np.int64]

BINS: Final = 10
"""Number of bins of the numbers that a regression predicts."""


@dataclass(frozen=True)
class Annotations:
    """The samples that are dealt out, without their inputs.

    Attributes:
        labels: int64 (samples,): the label by which a sample is dealt out. It is a sample's class,
            or the bin of its number (`bins_of`); all zeros where samples have no single label.
        classes: number of different labels.
        owners: int64 (samples,): which of the data's own clients a sample comes from; None if the
            data has no clients.
        owner_names: the names of the data's own clients.
        labelled: whether each sample has a single label.
    """

    labels: Ints
    classes: int
    owners: Ints | None = None
    owner_names: tuple[str, ...] = ()
    labelled: bool = True

    def __len__(self) -> int:
        return len(self.labels)

    def of(self, rows: Ints) -> Annotations:
        """The annotations of some of the samples.

        Args:
            rows: indices of samples, int64, in the order that is wanted.
        """
        owners = None if self.owners is None else self.owners[rows]
        return replace(self, labels=self.labels[rows], owners=owners)


def bins_of(numbers: npt.NDArray[np.float32]) -> Ints:
    """The bin of each number, 0 to `BINS` - 1: equal numbers of samples, as far as ties allow.

    Equal numbers share a bin. Partitions by label deal numbers out by their bins.

    Args:
        numbers: shape (samples,) or (samples, outputs), of which the first column counts; finite.
    """
    first = numbers.reshape(len(numbers), -1)[:, 0]
    ordered = np.sort(first)
    edges = ordered[[len(first) * k // BINS for k in range(1, BINS)]]
    return np.searchsorted(edges, first, side="right").astype(np.int64)


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
        return Annotations(bins_of(labels), BINS, owners, owner_names)
    nothing = np.zeros(len(labels), dtype=np.int64)
    return Annotations(nothing, 1, owners, owner_names, labelled=False)
