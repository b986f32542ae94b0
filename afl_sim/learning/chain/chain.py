"""A network that is a chain of simple layers, with its parameters and its training step."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from afl_sim.learning.chain.links import Factors, Layer
from afl_sim.learning.chain.losses import Labels
from afl_sim.learning.chain.parameters import Parameters
from afl_sim.learning.chain.pooled_convolution import PooledConvolution
from afl_sim.learning.chain.program import Program, Rows
from afl_sim.learning.data.inputs import FlatRows
from afl_sim.portable.blas import Array32

_AT_ONCE = {True: 64, False: 512}  # samples, with maps or without: what fits into a cache
_PROGRAMS_KEPT = {True: 4, False: 16}  # for batch sizes that may come again


class Chain:
    """Computes in float32 what `torch.nn.Sequential` of the same layers does, to rounding.

    A step on many samples is computed in pieces, and their gradients are added.

    Args:
        layers: in order.
        shape: of one sample.
        loss: a key of `afl_sim.learning.chain.losses.CHAIN_LOSSES`.

    Attributes:
        parameters: the parameters and their gradient, in an order of the chain's own.
    """

    def __init__(self, layers: Sequence[Layer], shape: tuple[int, ...], loss: str) -> None:
        self._layers, self._shape, self._loss = tuple(layers), shape, loss
        self._maps = any(isinstance(layer, PooledConvolution) for layer in layers)
        self.parameters = Parameters(layers)
        self._factors = Factors()
        self._programs: OrderedDict[int, Program] = OrderedDict()

    @property
    def weights(self) -> Array32:
        """Shape (P,): the parameters, in the order of the chain."""
        return self.parameters.weights

    @property
    def gradient(self) -> Array32:
        """Shape (P,): their gradient, in the order of the chain."""
        return self.parameters.gradient

    def load(self, vector: Array32) -> None:
        """Take the parameters from a vector of shape (P,) in the order of the model."""
        self.parameters.inward(vector, self.weights)

    def seed(self, number: int) -> None:
        """Seed the draws of dropout."""
        self._factors.draws.manual_seed(number)

    def outputs(self, samples: FlatRows, rows: Rows) -> Array32:
        """The outputs for rows of ``samples``, shape (rows, classes), as in an evaluation."""
        return np.concatenate(
            [self.program(len(piece)).infer(samples, piece).copy() for piece in self._pieces(rows)]
        )

    def differentiate(
        self,
        samples: FlatRows,
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
        self._factors.dropping = training
        for piece in self._pieces(rows):
            begin = len(losses)
            self._factors.kept.value = 1.0 if add or begin else 0.0
            program = self.program(len(piece))
            losses += program.forward(samples, labels, piece)
            if isinstance(weights, np.ndarray):
                program.backward(weights[begin : len(losses), None])
            else:
                program.backward(np.float32(weights))
        return losses

    def descend(self, samples: FlatRows, labels: Labels, rows: Rows, rate: float) -> list[float]:
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
        program = self.program(len(rows))
        losses = program.forward(samples, labels, rows)
        program.descend(np.float32(1.0 / len(rows)))
        if self.parameters.dense_begin:
            self._step(self.parameters.dense_begin, rate)
        return losses

    def step(self, rate: float) -> None:
        """A step of plain SGD along `gradient`, which is overwritten."""
        self._step(len(self.weights), rate)

    def _step(self, end: int, rate: float) -> None:
        gradient, weights = self.gradient[:end], self.weights[:end]
        np.multiply(gradient, np.float32(-rate), out=gradient)
        np.add(weights, gradient, out=weights)

    def program(self, batch: int) -> Program:
        """The chain for one batch size; it is kept for a while."""
        program = self._programs.get(batch)
        if program is not None:
            self._programs.move_to_end(batch)
            return program
        program = self._programs[batch] = Program(
            self._layers,
            self.parameters.of_layers(),
            self._factors,
            self._shape,
            self._maps,
            self._loss,
            batch,
        )
        if len(self._programs) > _PROGRAMS_KEPT[self._maps]:
            self._programs.popitem(last=False)
        return program

    def _pieces(self, rows: Rows) -> list[Rows]:
        most = _AT_ONCE[self._maps]
        return [rows[begin : begin + most] for begin in range(0, len(rows), most)]
