"""The models a scenario can name.

Every built-in model ends in outputs of shape (batch, outputs), such as logits. PyTorch draws the
initial weights from its global generator, which `build_model` seeds for that time.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.global_draws import global_generators


class ModelSpec(BaseModel):
    """A model's hyperparameters; `build` makes the network."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str = Field(description="The model's name, or package.module:factory.")

    @abstractmethod
    def build(self, form: SampleForm) -> nn.Module:
        """A freshly initialised network.

        Args:
            form: what a sample looks like, and how many outputs it needs.

        Raises:
            ScenarioError: the model cannot take samples of this shape.
        """


class Logistic(ModelSpec):
    """Multinomial logistic regression: one linear layer (7,850 parameters on MNIST)."""

    kind: Literal["logistic"] = Field(default="logistic", description="Logistic regression.")

    def build(self, form: SampleForm) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(_features(self.kind, form), form.outputs))


class Mlp(ModelSpec):
    """Fully connected layers with ReLU; 784-200-200-10 is McMahan et al.'s 2NN (199,210)."""

    kind: Literal["mlp"] = Field(default="mlp", description="Multilayer perceptron.")
    hidden: tuple[int, ...] = Field(
        default=(200, 200), description="Widths of the hidden layers, in order (units)."
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a hidden unit in training, after each hidden layer.",
    )
    weights: Literal["default", "xavier"] = Field(
        default="default",
        description="Initial weights; xavier: Glorot and Bengio's, uniform, with biases of zero.",
    )

    @model_validator(mode="after")
    def _widths_are_positive(self) -> Self:
        for index, width in enumerate(self.hidden):
            if width < 1:
                raise ValueError(f"hidden[{index}] is {width}; expected at least 1")
        return self

    def build(self, form: SampleForm) -> nn.Module:
        layers: list[nn.Module] = [nn.Flatten()]
        width = _features(self.kind, form)
        for units in self.hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), *_dropout(self.dropout)]
            width = units
        model = nn.Sequential(*layers, nn.Linear(width, form.outputs))
        if self.weights == "xavier":
            for layer in model:
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight)
                    nn.init.zeros_(layer.bias)
        return model


class LeNet(ModelSpec):
    """Two 5x5 convolutions of 10 and 20 channels, pooled, and 50 units (21,840 on MNIST)."""

    kind: Literal["lenet"] = Field(default="lenet", description="Small convolutional network.")

    def build(self, form: SampleForm) -> nn.Module:
        channels, height, width = image_shape(self.kind, form)
        rows, columns = (_pooled(_pooled(side, 4), 4) for side in (height, width))
        _refuse_if_too_small(self.kind, rows, columns, (height, width), 16)
        return nn.Sequential(
            nn.Conv2d(channels, 10, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(10, 20, 5),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(20 * rows * columns, 50),
            nn.ReLU(),
            nn.Linear(50, form.outputs),
        )


class Cnn(ModelSpec):
    """Two 5x5 convolutions, pooled, and a hidden layer.

    By default the CNN of McMahan et al., AISTATS 2017: 32 and 64 channels, 512 units (1,663,370).
    """

    kind: Literal["cnn"] = Field(default="cnn", description="McMahan's convolutional network.")
    channels: tuple[PositiveInt, PositiveInt] = Field(
        default=(32, 64), description="Channels of the two convolutions."
    )
    hidden: PositiveInt = Field(default=512, description="Width of the hidden layer (units).")
    padding: int = Field(
        default=2, ge=0, le=2, description="Zeros around the maps; 2 keeps their sides (pixels)."
    )
    convolutions: Literal["default", "xavier"] = Field(
        default="default",
        description="Initial weights of the convolutions; xavier: Glorot and Bengio's, uniform.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a unit of the hidden layer in training.",
    )

    def build(self, form: SampleForm) -> nn.Module:
        channels, height, width = image_shape(self.kind, form)
        lost = 4 - 2 * self.padding
        rows, columns = (_pooled(_pooled(side, lost), lost) for side in (height, width))
        _refuse_if_too_small(self.kind, rows, columns, (height, width), 4 + 3 * lost)
        first, second = self.channels
        model = nn.Sequential(
            # Pooling before ReLU gives the same bits, also of the gradient, and leaves ReLU a
            # quarter of the numbers.
            nn.Conv2d(channels, first, 5, padding=self.padding),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5, padding=self.padding),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(second * rows * columns, self.hidden),
            nn.ReLU(),
            *_dropout(self.dropout),
            nn.Linear(self.hidden, form.outputs),
        )
        if self.convolutions == "xavier":
            for layer in model:
                if isinstance(layer, nn.Conv2d):
                    nn.init.xavier_uniform_(layer.weight)
        return model


MODELS: dict[str, type[ModelSpec]] = {
    "logistic": Logistic,
    "mlp": Mlp,
    "lenet": LeNet,
    "cnn": Cnn,
}


def build_model(spec: ModelSpec, form: SampleForm, seed: int) -> nn.Module:
    """Build a model whose initial weights depend on `seed` alone.

    A factory may draw from the global generators of PyTorch, NumPy or Python.
    """
    with global_generators(seed):
        return spec.build(form)


def count_parameters(spec: ModelSpec, form: SampleForm) -> int:
    """The number of parameters of a built-in model; no memory is used for them.

    Raises:
        ScenarioError: a layer has more entries than can be numbered, or cannot take such samples.
    """
    try:
        with torch.device("meta"):
            model = spec.build(form)
    except (RuntimeError, TypeError) as error:  # what PyTorch says to sizes beyond 64 bits
        raise ScenarioError(
            f"model: {spec.kind} with a layer of this size has more weights than can be numbered; "
            "expected smaller layers"
        ) from error
    return sum(parameter.numel() for parameter in model.parameters())


def image_shape(kind: str, form: SampleForm) -> tuple[int, int, int]:
    """Channels, height and width of images.

    Args:
        kind: the model that takes them.
        form: the form of the samples.

    Raises:
        ScenarioError: the samples are no images.
    """
    if not form.is_image:
        raise ScenarioError(f"model: {kind} takes images, but the inputs are {form.inputs}")
    channels, height, width = form.input_shape
    return channels, height, width


def _features(kind: str, form: SampleForm) -> int:
    if form.vocabulary is not None or form.target == "tokens":
        raise ScenarioError(
            f"model: {kind} takes numbers, but the inputs are {form.inputs}; expected a model of "
            "sequences"
        )
    return math.prod(form.input_shape)


def _pooled(side: int, lost: int) -> int:
    """Side of a feature map after a convolution that loses `lost` pixels and a 2x2 pooling."""
    return (side - lost) // 2


def _dropout(probability: float) -> list[nn.Module]:
    return [nn.Dropout(probability)] if probability else []


def _refuse_if_too_small(
    kind: str, rows: int, columns: int, sides: tuple[int, int], least: int
) -> None:
    if min(rows, columns) < 1:
        raise ScenarioError(
            f"model: {kind} needs images of at least {least}x{least}, got {sides[0]}x{sides[1]}"
        )
