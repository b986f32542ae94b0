"""What every source gives: the samples of a training and a test set, as they were stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.errors import DataError
from afl_sim.learning.data.sample_form import SampleForm

Array = npt.NDArray[Any]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SourcePart:
    """The samples of a training or a test set.

    Attributes:
        inputs: uint8 images (n, C, H, W), float32 (n, ...), or int64 tokens (n, length); possibly
            a memory map.
        labels: as `SampleForm.target` says.
        owners: int64 (n,): which client a sample comes from, an index into `Source.owner_names`;
            None if the data does not say.
        weights: float32 (n,), above 0; None if all samples weigh the same.
    """

    inputs: Array
    labels: Array
    owners: Ints | None = None
    weights: Floats | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Ints) -> SourcePart:
        """Some of the samples, in the order of ``chosen``."""
        return SourcePart(
            self.inputs[chosen],
            self.labels[chosen],
            None if self.owners is None else self.owners[chosen],
            None if self.weights is None else self.weights[chosen],
        )


@dataclass(frozen=True, eq=False)
class Source:
    """A training and a test set of one form.

    Attributes:
        train, test: their samples.
        form: what one sample looks like.
        owner_names: the clients that the samples come from; empty if the data names none.
    """

    train: SourcePart
    test: SourcePart
    form: SampleForm
    owner_names: tuple[str, ...] = ()


def bad(where: Path | str, key: str, problem: str) -> DataError:
    """The error for a file that cannot be used: one line that names the key and the file.

    Args:
        where: the file.
        key: the key of ``data.dataset`` that led to it.
        problem: what was found, and what was expected.
    """
    return DataError(f"data.dataset.{key}: {where}: {' '.join(problem.split())}")
