"""The tensors of a built-in model, by name and shape, without the model.

A schedule needs to know how much is sent, and no weights. `ModelSpec.entries` gives the tensors
that `ModelSpec.build` makes, in the order of PyTorch's ``named_parameters`` and ``named_buffers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.names import matching

Shape = tuple[int, ...]
NOTHING_TRAINED = "model: it has no parameters to train; expected some"
TRAINABLE = "model.trainable"


@dataclass(frozen=True)
class Entries:
    """Tensors by name, in order.

    Attributes:
        parameters: the shapes of parameters.
        statistics: the shapes of floating-point buffers, which are sent with the parameters.
        counters: the names of buffers of whole numbers, which are not sent.
    """

    parameters: dict[str, Shape] = field(default_factory=dict)
    statistics: dict[str, Shape] = field(default_factory=dict)
    counters: tuple[str, ...] = ()

    def __add__(self, other: Entries) -> Entries:
        return Entries(
            self.parameters | other.parameters,
            self.statistics | other.statistics,
            self.counters + other.counters,
        )

    def layout(self, trained: Sequence[str] | None) -> Layout:
        """How the tensors that are sent lie in a vector.

        Args:
            trained: the scenario's ``model.trainable``: patterns; None for all.

        Raises:
            ScenarioError: a pattern matches nothing, or nothing is trained.
        """
        parameters, statistics = self.parameters, self.statistics
        if trained is not None:
            names = [*parameters, *statistics, *self.counters]
            kept = matching(trained, names, TRAINABLE)
            parameters = {name: shape for name, shape in parameters.items() if name in kept}
            statistics = {name: shape for name, shape in statistics.items() if name in kept}
        if not parameters:
            raise ScenarioError(NOTHING_TRAINED)
        return Layout(
            (*parameters, *statistics),
            (*parameters.values(), *statistics.values()),
            (True,) * len(parameters),
        )


def linear(name: str, inputs: int, outputs: int) -> Entries:
    """A fully connected layer with a bias."""
    return Entries({f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)})


def convolution(name: str, before: int, after: int, side: int, bias: bool = True) -> Entries:
    """A convolution of square kernels between so many channels."""
    shapes: dict[str, Shape] = {f"{name}.weight": (after, before, side, side)}
    return Entries(shapes | ({f"{name}.bias": (after,)} if bias else {}))


def normalization(name: str, width: int, batch: bool = False) -> Entries:
    """A normalization with a factor and a summand for each channel.

    Args:
        name: of the layer.
        width: the number of channels.
        batch: whether it is of batches, and keeps running statistics.
    """
    shapes: dict[str, Shape] = {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    if not batch:
        return Entries(shapes)
    statistics: dict[str, Shape] = {
        f"{name}.running_mean": (width,),
        f"{name}.running_var": (width,),
    }
    return Entries(shapes, statistics, (f"{name}.num_batches_tracked",))


def embedding(name: str, tokens: int, width: int) -> Entries:
    """So many numbers for each token."""
    return Entries({f"{name}.weight": (tokens, width)})


def lstm(name: str, inputs: int, units: int, layers: int) -> Entries:
    """Layers of LSTM, one upon the other."""
    shapes: dict[str, Shape] = {}
    for layer in range(layers):
        shapes |= {
            f"{name}.weight_ih_l{layer}": (4 * units, units if layer else inputs),
            f"{name}.weight_hh_l{layer}": (4 * units, units),
            f"{name}.bias_ih_l{layer}": (4 * units,),
            f"{name}.bias_hh_l{layer}": (4 * units,),
        }
    return Entries(shapes)
