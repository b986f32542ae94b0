"""The inputs of samples: a tensor, or 8-bit numbers that are normalised batch by batch.

Both forms give the same bits, because normalising works on each number by itself, or on each image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.data.mapped_files import MappedFile
from afl_sim.learning.data.normalization import normalized, of_unit_norm
from afl_sim.machine import physical_memory

LARGEST_SHARE: Final = 0.25
"""Of this machine's memory: normalised inputs that would take more are not kept."""


@dataclass(frozen=True)
class Scaling:
    """How 8-bit inputs are normalised: ``(x - shift) / scale``.

    Attributes:
        shift, scale: float32, of shapes that broadcast to a batch of inputs.
        unit_norm: whether each input is scaled to L2 norm 1 after that.
        of_bytes: whether it is for 8-bit numbers.
    """

    shift: Tensor
    scale: Tensor
    unit_norm: bool = False
    of_bytes: bool = False

    def of(self, inputs: Tensor) -> Tensor:
        """Inputs as float32, normalised; a new tensor."""
        own = inputs.clone() if inputs.dtype == torch.float32 else inputs
        scaled = normalized(own, self.shift, self.scale)
        return of_unit_norm(scaled) if self.unit_norm else scaled

    def to(self, device: torch.device) -> Scaling:
        """The same on another device."""
        return replace(self, shift=self.shift.to(device), scale=self.scale.to(device))


@dataclass(frozen=True)
class RawInputs:
    """Inputs as their files have them; a batch is normalised when it is taken.

    It offers what training and evaluation use of a tensor.

    Attributes:
        raw: of any type, (all, ...); it may be a memory map.
        scaling: how they are normalised.
        rows: int64 (samples,): which of ``raw`` they are; None for all, in their order.
        file: where ``raw`` is mapped from, if it is a file of the user's.
    """

    raw: Tensor
    scaling: Scaling
    rows: Tensor | None = None
    file: MappedFile | None = None

    def __len__(self) -> int:
        return len(self.raw if self.rows is None else self.rows)

    @property
    def shape(self) -> torch.Size:
        """(samples, ...), as of a tensor."""
        return torch.Size((len(self), *self.raw.shape[1:]))

    def __getitem__(self, rows: Tensor | slice) -> RawInputs:
        """Some of the inputs; nothing is copied but their indices.

        Args:
            rows: int64 indices, or a slice.
        """
        held = torch.arange(len(self.raw)) if self.rows is None else self.rows
        return replace(self, rows=held[rows])

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """A batch, normalised: float32 (rows, ...), a new tensor. ``dim`` is 0."""
        chosen = rows if self.rows is None else self.rows.index_select(0, rows)
        return self.scaling.of(self.raw.index_select(dim, chosen))

    def split(self, size: int) -> Iterator[Tensor]:
        """All inputs in order, normalised, in batches of ``size``; the last may be smaller."""
        for first in range(0, len(self), size):
            last = min(first + size, len(self))
            if self.rows is None:
                yield self.scaling.of(self.raw[first:last])
            else:
                yield self.scaling.of(self.raw.index_select(0, self.rows[first:last]))

    def to(self, device: torch.device) -> RawInputs:
        """The same on another device."""
        if device == self.raw.device:
            return self
        rows = None if self.rows is None else self.rows.to(device)
        return replace(self, raw=self.raw.to(device), scaling=self.scaling.to(device), rows=rows)


Inputs = Tensor | RawInputs


@dataclass(frozen=True)
class FlatRaw:
    """`RawInputs` as rows of numbers."""

    inputs: RawInputs

    def take(
        self,
        indices: npt.NDArray[np.int64],
        axis: int,
        out: npt.NDArray[np.float32],
        mode: str,
    ) -> None:
        """Write some of the rows into ``out``, as `numpy.ndarray.take` does."""
        batch = self.inputs.index_select(axis, torch.from_numpy(indices))
        out[...] = batch.reshape(len(indices), -1).numpy()


FlatRows = npt.NDArray[np.float32] | FlatRaw
"""Inputs as rows of float32, (samples, features): what a chain gathers its batches from."""


def flat_rows(inputs: Inputs) -> FlatRows:
    """Inputs on the CPU as rows of numbers; a tensor's own memory is used."""
    if isinstance(inputs, RawInputs):
        return FlatRaw(inputs)
    flat: npt.NDArray[np.float32] = inputs.reshape(len(inputs), -1).numpy()
    return flat


def stays_raw(storage: str, numbers: int) -> bool:
    """Whether inputs are kept as their files have them.

    Args:
        storage: the scenario's ``data.storage``: auto | float32 | uint8.
        numbers: how many numbers all of the inputs have together.
    """
    if storage != "auto":
        return storage == "uint8"
    memory = physical_memory()
    return memory is not None and 4 * numbers > LARGEST_SHARE * memory
