"""What a training step asks of a device, from numbers that a model has."""

from __future__ import annotations

from dataclasses import dataclass

NUMBER = 4
"""Bytes of a float32."""
BACKWARD = 3
"""How many times the operations of a forward pass a training step has.

The backward pass computes as many for the gradients by inputs, and as many for those by weights.
"""
_READ_OR_WRITTEN = 5  # a kept number and its gradient, in forward and backward pass


@dataclass(frozen=True)
class ModelCost:
    """What a network asks for; all of it is in float32.

    Attributes:
        flops: floating-point operations of a forward pass, for each sample. Matrix products,
            convolutions and attention count; a multiplication and an addition are two.
        kept: bytes that the forward pass keeps for the backward pass, for each sample of a batch.
        kept_once: such bytes that do not depend on the batch.
        parameters: numbers in parameters.
        trained: those of them that are trained.
        buffers: numbers in floating-point buffers.
    """

    flops: float
    kept: float
    kept_once: float
    parameters: int
    trained: int
    buffers: int = 0

    @property
    def step_flops(self) -> float:
        """Operations of a training step, for each sample of its batch."""
        return BACKWARD * self.flops

    @property
    def moved_per_sample(self) -> float:
        """Bytes that a training step moves for each sample of its batch.

        A number that is kept is written and read in the forward pass and read in the backward pass,
        where its gradient is written and read.
        """
        return _READ_OR_WRITTEN * self.kept

    def moved_per_step(self, states: int) -> float:
        """Bytes that a training step moves whatever its batch.

        Both passes read the parameters. Of what is trained, the gradient is written and read, the
        parameter read and written, and each number of the optimizer's state read and written.

        Args:
            states: numbers that the optimizer holds for each one that is trained.
        """
        return NUMBER * (2 * self.parameters + (4 + 2 * states) * self.trained)

    def held(self, states: int, copies: int = 0) -> float:
        """Bytes that training holds whatever the batch: the model, its gradient, and more.

        Args:
            states: numbers that the optimizer holds for each one that is trained.
            copies: further vectors of the size of what is trained.
        """
        numbers = self.parameters + self.buffers + (1 + states + copies) * self.trained
        return NUMBER * numbers + self.kept_once

    def needed(self, batch: int, states: int, copies: int = 0) -> float:
        """Bytes that training holds at the end of the forward pass of a batch, where it is most."""
        return self.held(states, copies) + batch * self.kept
