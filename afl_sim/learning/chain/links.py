"""What the layers of a chain have in common, and its first link: the images.

A `Layer` describes a layer. For each batch size it makes a `Link`, which owns the arrays of that
size and is joined to the link before it. So a training step allocates nothing.
"""

from __future__ import annotations

import ctypes
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from afl_sim.learning.data.inputs import FlatRows
from afl_sim.portable.blas import Array32

Call = Callable[[], None]


@dataclass(eq=False)
class Factors:
    """What the links of a chain look up in each pass; products read the two numbers.

    Attributes:
        dropping: whether dropout is active.
        kept: 0 if a backward pass replaces the gradients, 1 if it adds to them.
        rate: minus the learning rate, where a backward pass changes the weights themselves.
        draws: gives dropout its random numbers. It is not the global generator, which the threads
            of a process share.
    """

    dropping: bool = True
    kept: ctypes.c_float = field(default_factory=lambda: ctypes.c_float(0.0))
    rate: ctypes.c_float = field(default_factory=lambda: ctypes.c_float(0.0))
    draws: torch.Generator = field(default_factory=torch.Generator)


class Weights:
    """A weight or bias of a chain, as it lies in the chain's own vector.

    Attributes:
        value, gradient: shape as the layer likes it; views of the chain's two vectors.
    """

    def __init__(self, value: Array32, gradient: Array32) -> None:
        self.value, self.gradient = value, gradient


class Layer(ABC):
    """One layer of a chain.

    Attributes:
        margin: zeros that it wants around its input maps (pixels).
        descends: whether its links can change the weights themselves (`Link.descend`).
    """

    margin = 0
    descends = False

    def orders(self) -> Sequence[tuple[tuple[int, ...], tuple[int, ...]]]:
        """How each of its parameters lies in the chain's vector, in the order of the model.

        Returns:
            For each parameter: the shape in the chain's vector, and the order of these axes in
            which the numbers are PyTorch's.
        """
        return ()

    @abstractmethod
    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of one sample's output, given that of its input."""

    @abstractmethod
    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        """Join the layer to the link before it.

        Args:
            before: the link that gives the input.
            weights: of this layer, in the order of `orders`.
            factors: of the chain.
            margin: zeros that the next layer wants around the output maps.
            last: whether the output is the chain's.
        """


class Link:
    """A layer for one batch size.

    Attributes:
        y: the output. Samples are rows, shape (N, features), in any memory order; or maps of shape
            (H, C, W, N).
        padded: maps with the zeros around them; `y` is their inner part.
    """

    y: Array32
    padded: Array32

    def turn(self, g: Array32, needed: bool) -> Array32:
        """Prepare the backward pass.

        Args:
            g: where the gradient of `y` will be; it may be overwritten.
            needed: whether the gradient of the input is needed.

        Returns:
            Where the gradient of the input will be, in the shape of the input.
        """
        raise NotImplementedError

    def forward(self) -> None:
        """Compute `y`, and what the backward pass needs."""

    def infer(self) -> None:
        """Compute `y` alone, without dropout."""
        self.forward()

    def backward(self) -> None:
        """Compute the gradients of the weights and of the input."""

    def descend(self) -> None:
        """Like `backward`, but if the layer descends, its weights take a step of SGD."""
        self.backward()


def margined(
    height: int, channels: int, width: int, batch: int, margin: int
) -> tuple[Array32, Array32]:
    """Maps of zeros, and their inner part without the margin."""
    padded = np.zeros((height + 2 * margin, channels, width + 2 * margin, batch), np.float32)
    inner = padded[margin : margin + height, :, margin : margin + width]
    return padded, inner


class Images(Link):
    """The first link: a batch of images, gathered from all of them.

    Args:
        shape: of one image, (C, H, W), or of one sample in any other form.
        batch: images at once.
        maps: whether the next layer takes maps, or samples as rows.
        margin: zeros that the next layer wants around the maps.
    """

    def __init__(self, shape: tuple[int, ...], batch: int, maps: bool, margin: int) -> None:
        self._rows = np.empty((batch, int(np.prod(shape))), np.float32)
        self._maps: Array32 | None = None
        self.y = self._rows
        if maps:
            channels, height, width = shape
            self.padded, self.y = margined(height, channels, width, batch, margin)
            self._maps = self._rows.reshape(batch, *shape).transpose(2, 1, 3, 0)

    def gather(self, samples: FlatRows, chosen: npt.NDArray[np.int64]) -> None:
        """Take the chosen rows of ``samples``, shape (all, features)."""
        samples.take(chosen, axis=0, out=self._rows, mode="clip")
        if self._maps is not None:
            np.copyto(self.y, self._maps)


_INTS = np.int32
_SIGN = 31  # the place of a float32's sign


def keep_where_positive(g: Array32, y: Array32, scratch: npt.NDArray[np.int32]) -> None:
    """Set ``g`` to zero where ``y``, which is not negative, is zero.

    Args:
        g, y: of one shape, in any memory order.
        scratch: of the same shape; overwritten.
    """
    np.negative(y.view(_INTS), out=scratch)  # a positive float is a positive integer
    np.right_shift(scratch, _SIGN, out=scratch)
    bits = g.view(_INTS)
    np.bitwise_and(bits, scratch, out=bits)


def share_by_sign(g: Array32, excess: Array32, first: Array32) -> None:
    """Give a gradient to the larger of two numbers; of equal ones the first gets it.

    Args:
        g: the gradient.
        excess: first minus second; becomes the second's gradient.
        first: becomes the first's gradient.
    """
    bits, of_second = g.view(_INTS), excess.view(_INTS)
    np.right_shift(of_second, _SIGN, out=of_second)  # all bits set where the second is larger
    np.bitwise_and(bits, of_second, out=of_second)
    np.bitwise_xor(bits, of_second, out=first.view(_INTS))
