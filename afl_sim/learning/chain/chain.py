"""A network that is a chain of simple layers, with its parameters and its training step."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from afl_sim.learning.chain.dense import Dense
from afl_sim.learning.chain.links import Factors, Images, Layer, Link, Weights
from afl_sim.learning.chain.losses import CHAIN_LOSSES, Labels
from afl_sim.learning.chain.pooled_convolution import PooledConvolution
from afl_sim.portable.blas import Array32

Rows = npt.NDArray[np.int64]

_AT_ONCE = {True: 64, False: 512}  # samples, with maps or without: what fits into a cache
_PROGRAMS_KEPT = {True: 4, False: 16}  # for batch sizes that may come again


class Chain:
    """Computes in float32 what `torch.nn.Sequential` of the same layers does, to rounding.

    A step on many samples is computed in pieces, and their gradients are added.

    Args:
        layers: in order.
        shape: of one sample.
        loss: a key of `CHAIN_LOSSES`.

    Attributes:
        weights: shape (P,): the parameters, in an order of the chain's own within each of them.
        gradient: shape (P,), in the same order.
    """

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, ...], loss: str) -> None:
        self._layers, self._shape, self._loss = tuple(layers), shape, loss
        self._maps = any(isinstance(layer, PooledConvolution) for layer in layers)
        self._orders = [order for layer in layers for order in layer.orders()]
        sizes = [int(np.prod(size)) for size, _ in self._orders]
        self._ends = np.cumsum(sizes).tolist()
        self._begins = [0, *self._ends[:-1]]
        self.weights: Array32 = np.zeros(sum(sizes), np.float32)
        self.gradient: Array32 = np.zeros(sum(sizes), np.float32)
        self._factors = Factors()
        self._programs: OrderedDict[int, _Program] = OrderedDict()

    def load(self, vector: Array32) -> None:
        """Take the parameters from a vector of shape (P,) in the order of the model."""
        self.inward(vector, self.weights)

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
        for begin, end, (shape, axes) in zip(self._begins, self._ends, self._orders, strict=True):
            own = mine[begin:end].reshape(shape).transpose(axes)
            parts.append((theirs[begin:end].reshape(own.shape), own))
        return parts

    def outputs(self, samples: Array32, rows: Rows) -> Array32:
        """The outputs for rows of ``samples``, shape (rows, classes), as in an evaluation."""
        parts = []
        for piece in self._pieces(rows):
            program = self._program(len(piece))
            program.images.gather(samples, piece)
            for link in program.links:
                link.infer()
            parts.append(program.links[-1].y.copy())
        return np.concatenate(parts)

    def differentiate(
        self,
        samples: Array32,
        labels: Labels,
        rows: Rows,
        weights: Array32 | float,
        add: bool = False,
        training: bool = True,
    ) -> list[float]:
        """The gradient of the weighted sum of the samples' losses, into `gradient`.

        Args:
            samples: shape (all, features); labels: shape (all,).
            rows: the samples that count.
            weights: of these samples, shape (rows,), or one for all.
            add: add to `gradient` instead of replacing it.
            training: whether dropout is active.

        Returns:
            The loss of each sample.
        """
        losses: list[float] = []
        begin = 0
        self._factors.dropping = training
        for piece in self._pieces(rows):
            self._factors.kept.value = 1.0 if add or begin else 0.0
            each = weights
            if isinstance(weights, np.ndarray):
                each = weights[begin : begin + len(piece), None]
            program = self._program(len(piece))
            losses += program.forward(samples, labels, piece)
            program.backward(np.float32(each) if isinstance(each, float) else each)
            for link in reversed(program.links):
                link.backward()
            begin += len(piece)
        return losses

    def descend(self, samples: Array32, labels: Labels, rows: Rows, rate: float) -> list[float]:
        """One step of plain SGD on the mean loss of some rows; `gradient` is overwritten.

        Returns:
            The loss of each sample, before the step.
        """
        if len(rows) > _AT_ONCE[self._maps]:
            losses = self.differentiate(samples, labels, rows, 1.0 / len(rows))
            self.step(rate)
            return losses
        factors = self._factors
        factors.dropping, factors.kept.value, factors.rate.value = True, 0.0, -rate
        program = self._program(len(rows))
        losses = program.forward(samples, labels, rows)
        program.backward(np.float32(1.0 / len(rows)))
        for link in reversed(program.links):
            link.descend()
        self._step(self._first_dense, rate)
        return losses

    def step(self, rate: float) -> None:
        """A step of plain SGD along `gradient`, which is overwritten."""
        self._step(len(self.weights), rate)

    def _step(self, end: int, rate: float) -> None:
        gradient, weights = self.gradient[:end], self.weights[:end]
        np.multiply(gradient, np.float32(-rate), out=gradient)
        np.add(weights, gradient, out=weights)

    @property
    def _first_dense(self) -> int:
        """Where the parameters of the dense layers begin, which take their step themselves."""
        count = 0
        for layer in self._layers:
            if isinstance(layer, Dense):
                break
            count += len(layer.orders())
        return self._begins[count] if count < len(self._begins) else len(self.weights)

    def _pieces(self, rows: Rows) -> list[Rows]:
        most = _AT_ONCE[self._maps]
        return [rows[begin : begin + most] for begin in range(0, len(rows), most)]

    def _program(self, batch: int) -> _Program:
        program = self._programs.get(batch)
        if program is None:
            program = _Program(self, batch)
            self._programs[batch] = program
            if len(self._programs) > _PROGRAMS_KEPT[self._maps]:
                self._programs.popitem(last=False)
        else:
            self._programs.move_to_end(batch)
        return program


class _Program:
    """The links of a chain for one batch size."""

    def __init__(self, chain: Chain, batch: int) -> None:
        weights = iter(
            [
                Weights(
                    chain.weights[begin:end].reshape(shape),
                    chain.gradient[begin:end].reshape(shape),
                )
                for begin, end, (shape, _) in zip(
                    chain._begins, chain._ends, chain._orders, strict=True
                )
            ]
        )
        layers = chain._layers
        margins = [*(layer.margin for layer in layers[1:]), 0]
        self.images = Images(chain._shape, batch, chain._maps, layers[0].margin)
        self.links: list[Link] = []
        before: Link = self.images
        has_weights = []
        for index, (layer, margin) in enumerate(zip(layers, margins, strict=True)):
            own = [next(weights) for _ in layer.orders()]
            before = layer.link(before, own, chain._factors, margin, index == len(layers) - 1)
            self.links.append(before)
            has_weights.append(bool(own))
        self._loss = CHAIN_LOSSES[chain._loss](*before.y.shape)
        g = self._g = np.empty(before.y.shape, np.float32)
        for index in range(len(layers) - 1, -1, -1):
            g = self.links[index].turn(g, any(has_weights[:index]))

    def forward(self, samples: Array32, labels: Labels, rows: Rows) -> list[float]:
        """The loss of each sample."""
        self.images.gather(samples, rows)
        for link in self.links:
            link.forward()
        return self._loss(self.links[-1].y, labels[rows])

    def backward(self, weights: Array32 | np.float32) -> None:
        """The gradient of the outputs."""
        self._loss.differentiate(weights, self._g)
