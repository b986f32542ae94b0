"""The cost of the built-in models, from their hyperparameters alone.

Each function goes through the layers of a family as its network does. A layer keeps for the
backward pass what PyTorch keeps of it on a processor: the inputs of matrix products, convolutions,
normalisations, maxima and GELU, the results of ReLU, the places of maxima, and the masks of
dropout. What two layers keep is kept once.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.sample_form import SampleForm
from afl_sim.learning.models.cost.model_cost import NUMBER, ModelCost
from afl_sim.learning.models.spec import features, image_shape, token_sequence

_INDEX: Final = 8  # bytes of a whole number, such as a token or the place of a maximum


class Tape:
    """Adds up what the layers of a network ask for."""

    def __init__(self) -> None:
        self.flops = 0
        self.bytes = 0
        self.bytes_once = 0
        self.parameters = 0
        self.buffers = 0

    def keep(self, *numbers: int) -> None:
        """Numbers that are kept for each sample."""
        self.bytes += NUMBER * sum(numbers)

    def keep_indices(self, count: int) -> None:
        """Whole numbers that are kept for each sample."""
        self.bytes += _INDEX * count

    def linear(self, before: int, after: int, times: int = 1) -> None:
        """A fully connected layer that is applied so many times; its inputs are not kept here."""
        self.flops += 2 * before * after * times
        self.parameters += before * after + after

    def convolution(self, before: int, after: int, side: int, area: int, bias: bool = True) -> None:
        """A convolution of square kernels to a map of an area; its inputs are not kept here."""
        self.flops += 2 * before * after * side**2 * area
        self.parameters += before * after * side**2 + (after if bias else 0)

    def cost(self) -> ModelCost:
        """The sums."""
        return ModelCost(
            self.flops,
            self.bytes,
            self.bytes_once,
            self.parameters,
            self.parameters,
            self.buffers,
        )


def counted(spec: Any, form: SampleForm) -> ModelCost | None:
    """The cost of a built-in model; None of a model that only PyTorch can tell about.

    Args:
        spec: the scenario's ``model``.
        form: of the samples.

    Raises:
        ScenarioError: the model cannot take samples of this form.
    """
    count = _FAMILIES.get(spec.kind)
    if count is None or any(getattr(spec, key, None) is not None for key in ("trainable", "lora")):
        return None
    tape = Tape()
    count(tape, spec, form)
    return tape.cost()


def _one_layer(tape: Tape, spec: Any, form: SampleForm) -> None:
    _perceptron(tape, features(spec.kind, form), (), form.outputs, 0.0)


def _mlp(tape: Tape, spec: Any, form: SampleForm) -> None:
    _perceptron(tape, features(spec.kind, form), spec.hidden, form.outputs, spec.dropout)


def _perceptron(
    tape: Tape, width: int, hidden: tuple[int, ...], outputs: int, dropout: float
) -> None:
    tape.keep(width)
    for units in hidden:
        tape.linear(width, units)
        tape.keep(units)
        if dropout:
            tape.keep(units, units)  # the mask, and what the next layer gets
        width = units
    tape.linear(width, outputs)


def _lenet(tape: Tape, spec: Any, form: SampleForm) -> None:
    _convolutions(tape, spec.kind, form, ((10, True), (20, True)), 5, 0, (50,), 0.0)


def _cnn(tape: Tape, spec: Any, form: SampleForm) -> None:
    pooled = tuple((channels, True) for channels in spec.channels)
    hidden = (spec.hidden,)
    _convolutions(tape, spec.kind, form, pooled, 5, spec.padding, hidden, spec.dropout)


def _vgg9(tape: Tape, spec: Any, form: SampleForm) -> None:
    layers = tuple((channels, i % 2 == 1) for i, channels in enumerate(spec.channels))
    _convolutions(tape, spec.kind, form, layers, 3, 1, spec.hidden, spec.dropout)


def _convolutions(
    tape: Tape,
    kind: str,
    form: SampleForm,
    layers: tuple[tuple[int, bool], ...],
    side: int,
    padding: int,
    hidden: tuple[int, ...],
    dropout: float,
) -> None:
    """Convolutions, of which some are pooled by 2x2 before ReLU, and then a perceptron."""
    channels, rows, columns = image_shape(kind, form)
    for index, (after, pooled) in enumerate(layers):
        if not index:
            tape.keep(math.prod(form.input_shape))
        lost = side - 1 - 2 * padding
        rows, columns = rows - lost, columns - lost
        tape.convolution(channels, after, side, rows * columns)
        channels = after
        if pooled:
            tape.keep(channels * rows * columns)
            rows, columns = rows // 2, columns // 2
            if min(rows, columns) < 1:
                raise ScenarioError(f"model: {kind} needs larger images than {form.inputs}")
            tape.keep_indices(channels * rows * columns)
        if index < len(layers) - 1:
            tape.keep(channels * rows * columns)
    _perceptron(tape, channels * rows * columns, hidden, form.outputs, dropout)


def _resnet(tape: Tape, spec: Any, form: SampleForm) -> None:
    channels, rows, columns = image_shape(spec.kind, form)
    tape.keep(math.prod(form.input_shape))

    def layer(before: int, after: int) -> None:
        area = rows * columns
        tape.convolution(before, after, 3, area, bias=False)
        tape.parameters += 2 * after
        tape.keep(after * area, after * area)  # before the normalisation, and after ReLU
        if spec.norm == "batch":
            tape.buffers += 2 * after
            tape.bytes_once += NUMBER * 2 * after
        else:
            tape.keep(2 * spec.groups)

    layer(channels, spec.width)
    before = spec.width
    for number in range(3):
        after = spec.width << number
        for index in range((spec.depth - 2) // 6):
            if number and not index:
                rows, columns = -(-rows // 2), -(-columns // 2)
            layer(before, after)
            layer(after, after)
            before = after
    tape.keep(before)
    tape.linear(before, form.outputs)


def _lstm(tape: Tape, spec: Any, form: SampleForm) -> None:
    length, vocabulary = token_sequence(spec.kind, form)
    hidden = spec.hidden
    tape.keep_indices(length)
    tape.parameters += vocabulary * spec.embedding
    width = spec.embedding
    for index in range(spec.layers):
        tape.keep(length * width)
        if spec.dropout and index:
            tape.keep(length * width)  # the mask
        tape.flops += 2 * 4 * hidden * (width + hidden) * length
        tape.parameters += 4 * hidden * (width + hidden + 2)
        # Four gates, the state of the cell before and after, and the state before.
        tape.keep(7 * hidden * length)
        width = hidden
    positions = _read_out(tape, form, spec.readout, length * hidden)
    if spec.dropout:
        if positions == length or spec.readout == "mean":
            tape.keep(positions * hidden)  # the mask
        else:
            # The last state alone is dropped from, so that the others are not kept for it.
            tape.keep(2 * hidden - length * hidden)
    if spec.projection is not None:
        tape.linear(hidden, spec.projection, positions)
        tape.keep(positions * spec.projection)
        width = spec.projection
    tape.linear(width, form.outputs, positions)


def _read_out(tape: Tape, form: SampleForm, readout: str, states: int) -> int:
    """Keep the states that the output layer gets, and say at how many positions it is applied."""
    length = form.input_shape[0]
    if form.target == "tokens":
        tape.keep(states)
        return length
    # The last state is a part of all states, which are therefore kept as a whole.
    tape.keep(states if readout == "last" else states // length)
    return 1


def _transformer(tape: Tape, spec: Any, form: SampleForm) -> None:
    length, vocabulary = token_sequence(spec.kind, form)
    width, states = spec.width, length * spec.width
    hidden = spec.feed_forward or 4 * width
    dropped = states if spec.dropout else 0  # a mask
    tape.keep_indices(length)
    tape.parameters += (vocabulary + length) * width
    tape.keep(dropped)

    def normalisation() -> None:
        tape.parameters += 2 * width
        tape.keep(states, 2 * length)  # its input, and a mean and a deviation for each position

    for _ in range(spec.layers):
        normalisation()
        tape.keep(states)
        tape.linear(width, 3 * width, length)
        tape.flops += 4 * length**2 * width
        tape.keep(3 * states, spec.heads * length, states)
        tape.linear(width, width, length)
        tape.keep(dropped)
        normalisation()
        tape.keep(states)
        tape.linear(width, hidden, length)
        tape.keep(2 * hidden * length)
        tape.linear(hidden, width, length)
        tape.keep(dropped)
    normalisation()
    positions = _read_out(tape, form, spec.readout, states)
    tape.linear(width, form.outputs, positions)


_FAMILIES: Final[dict[str, Callable[[Tape, Any, SampleForm], None]]] = {
    "logistic": _one_layer,
    "linear": _one_layer,
    "mlp": _mlp,
    "lenet": _lenet,
    "cnn": _cnn,
    "vgg9": _vgg9,
    "resnet": _resnet,
    "lstm": _lstm,
    "transformer": _transformer,
}
