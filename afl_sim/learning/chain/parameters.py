"""The parameters of a chain and their gradient, as two flat vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from afl_sim.learning.chain.links import Layer, Weights
from afl_sim.portable.blas import Array32


class Parameters:
    """The parameters in the order in which the layers of a chain like them.

    A parameter takes the same part of a vector as in the model. Only the order within it differs.

    Args:
        layers: of the chain.

    Attributes:
        weights, gradient: shape (P,).
        dense_begin: where the parameters begin that take the step of SGD by themselves.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        orders = [layer.orders() for layer in layers]
        self._axes = [axes for own in orders for _, axes in own]
        self._shapes = [shape for own in orders for shape, _ in own]
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._ends = np.cumsum(sizes).tolist()
        self._begins = [0, *self._ends[:-1]]
        self.weights: Array32 = np.zeros(sum(sizes), np.float32)
        self.gradient: Array32 = np.zeros(sum(sizes), np.float32)
        self._numbers = [len(own) for own in orders]
        before = 0
        for layer, number in zip(layers, self._numbers, strict=True):
            if number and layer.descends:
                break
            before += number
        self.dense_begin = self._begins[before] if before < len(sizes) else sum(sizes)

    def of_layers(self) -> list[list[Weights]]:
        """The parameters of each layer."""
        made = iter(
            [
                Weights(
                    self.weights[begin:end].reshape(shape), self.gradient[begin:end].reshape(shape)
                )
                for begin, end, shape in zip(self._begins, self._ends, self._shapes, strict=True)
            ]
        )
        return [[next(made) for _ in range(number)] for number in self._numbers]

    def inward(self, vector: Array32, out: Array32) -> Array32:
        """Bring a vector of shape (P,) from the order of the model into that of the chain."""
        for theirs, mine in self._parts(vector, out):
            np.copyto(mine, theirs)
        return out

    def outward(self, vector: Array32) -> Array32:
        """A new vector in the order of the model, from one in the order of the chain."""
        made = np.empty_like(vector)
        for theirs, mine in self._parts(made, vector):
            np.copyto(theirs, mine)
        return made

    def _parts(self, theirs: Array32, mine: Array32) -> list[tuple[Array32, Array32]]:
        parts = []
        for begin, end, shape, axes in zip(
            self._begins, self._ends, self._shapes, self._axes, strict=True
        ):
            own = mine[begin:end].reshape(shape).transpose(axes)
            parts.append((theirs[begin:end].reshape(own.shape), own))
        return parts
