"""How the tensors of a model lie in a flat vector, without the model itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from afl_sim.lazy import Tensor, torch


@dataclass(frozen=True, eq=False)
class Layout:
    """The names and shapes of what lies in a vector of shape (P + B,).

    P parameters come first, then B entries of floating buffers.

    Attributes:
        names: of the tensors, in order.
        shapes: of the tensors.
        trained: for each parameter, whether it is trained; the others were frozen by the model
            itself, and are sent.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    trained: tuple[bool, ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The number of entries of each tensor."""
        return tuple(map(math.prod, self.shapes))

    @cached_property
    def num_parameters(self) -> int:
        """P, the entries of parameters."""
        return sum(self.sizes[: len(self.trained)])

    @cached_property
    def size(self) -> int:
        """P + B, all entries."""
        return sum(self.sizes)

    def trained_parts(self, vector: Tensor) -> list[Tensor]:
        """The trained parameters as views of a vector, each in the shape that the model has."""
        return [
            part.view(shape)
            for part, shape, trained in zip(
                vector[: self.num_parameters].split(self.sizes[: len(self.trained)]),
                self.shapes,
                self.trained,
                strict=False,  # buffers follow
            )
            if trained
        ]

    def with_frozen(self, vector: Tensor, kept: Tensor) -> Tensor:
        """A vector whose frozen parameters are copied from another vector, bit for bit.

        Args:
            vector: shape (P,); it is not changed. It is returned itself if nothing is frozen.
            kept: shape (P,): the vector with the frozen parameters.
        """
        if all(self.trained):
            return vector
        sizes = self.sizes[: len(self.trained)]
        pairs = zip(vector.split(sizes), kept.split(sizes), self.trained, strict=True)
        return torch.cat([new if trained else old for new, old, trained in pairs])

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The vector's parts under the names of the model's state dict."""
        parts = vector.split(self.sizes)
        return {
            name: part.reshape(shape)
            for name, shape, part in zip(self.names, self.shapes, parts, strict=True)
        }
