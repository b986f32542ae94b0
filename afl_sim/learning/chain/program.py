"""A chain for one batch size: its arrays, and a forward and a backward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.learning.chain.links import Factors, Images, Layer, Link, Weights
from afl_sim.learning.chain.losses import CHAIN_LOSSES, Labels
from afl_sim.learning.data.inputs import FlatRows
from afl_sim.portable.blas import Array32

Rows = npt.NDArray[np.int64]


class Program:
    """The links of a chain for one batch size.

    Args:
        layers: of the chain.
        weights: of each layer.
        factors: of the chain.
        shape: of one sample.
        maps: whether the first layer takes maps.
        loss: a key of `CHAIN_LOSSES`.
        batch: samples at once.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        weights: Sequence[Sequence[Weights]],
        factors: Factors,
        shape: tuple[int, ...],
        maps: bool,
        loss: str,
        batch: int,
    ) -> None:
        margins = [*(layer.margin for layer in layers[1:]), 0]
        self._images = Images(shape, batch, maps, layers[0].margin)
        self.links: list[Link] = []
        before: Link = self._images
        for index, (layer, own) in enumerate(zip(layers, weights, strict=True)):
            last = index == len(layers) - 1
            before = layer.link(before, own, factors, margins[index], last)
            self.links.append(before)
        self._loss = CHAIN_LOSSES[loss](*before.y.shape)
        g = self._g = np.empty(before.y.shape, np.float32)
        for index in range(len(layers) - 1, -1, -1):
            g = self.links[index].turn(g, needed=any(weights[:index]))

    def infer(self, samples: FlatRows, rows: Rows) -> Array32:
        """The outputs, as in an evaluation; they are overwritten by the next pass."""
        self._images.gather(samples, rows)
        for link in self.links:
            link.infer()
        return self.links[-1].y

    def forward(self, samples: FlatRows, labels: Labels, rows: Rows) -> list[float]:
        """The loss of each sample."""
        self._images.gather(samples, rows)
        for link in self.links:
            link.forward()
        return self._loss(self.links[-1].y, labels[rows])

    def backward(self, weights: Array32 | np.float32) -> None:
        """The gradients of the weighted sum of the samples' losses."""
        self._loss.differentiate(weights, self._g)
        for link in reversed(self.links):
            link.backward()

    def descend(self, weights: Array32 | np.float32) -> None:
        """Like `backward`, but some weights take their step of SGD instead of a gradient."""
        self._loss.differentiate(weights, self._g)
        for link in reversed(self.links):
            link.descend()
