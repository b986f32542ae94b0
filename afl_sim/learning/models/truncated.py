"""Initial weights as TensorFlow's first example for MNIST draws them."""

from __future__ import annotations

from typing import Final

from afl_sim.lazy import nn, torch

DEVIATION: Final = 0.1
"""Of the normal distribution before it is cut off, and the value of most biases."""
CUT: Final = 2.0
"""Where it is cut off, on both sides (standard deviations)."""


def draw_truncated(layer: nn.Linear | nn.Conv2d, bias: float = DEVIATION) -> None:
    """Draw a layer's weights from a normal distribution without its tails; set its biases.

    The distribution is that of ``tf.truncated_normal`` with ``stddev=0.1``: what is more than two
    standard deviations from zero is drawn again. Google's example of 2015 has these weights
    (tensorflow/tensorflow, ``tensorflow/models/image/mnist/convolutional.py``).

    PyTorch's own function inverts the error function, whose bits depend on the processor. Here a
    uniform number is kept with the probability that the density allows.
    """
    with torch.no_grad():
        weights = layer.weight.view(-1)
        left = torch.arange(len(weights))
        while len(left):
            drawn = _uniform(len(left)) * (2 * CUT) - CUT
            kept = _uniform(len(left)) < torch.exp(-0.5 * drawn * drawn)
            weights[left[kept]] = DEVIATION * drawn[kept]
            left = left[~kept]
        if layer.bias is not None:
            layer.bias.fill_(bias)


def _uniform(count: int) -> torch.Tensor:
    return torch.empty(count).uniform_()
