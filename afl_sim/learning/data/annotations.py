"""What is known of samples without their inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

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
