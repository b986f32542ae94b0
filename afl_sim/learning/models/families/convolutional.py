"""Plain stacks of convolutions, pooling and fully connected layers."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries, convolution, linear
from afl_sim.learning.models.spec import StandardSpec, dropout, image_shape, refuse_if_too_small
from afl_sim.learning.models.truncated import DEVIATION, draw_truncated


class LeNet(StandardSpec):
    """Two 5x5 convolutions of 10 and 20 channels, pooled, and 50 units (21,840 on MNIST)."""

    portable: ClassVar[bool] = True
    kind: Literal["lenet"] = Field(default="lenet", description="Small convolutional network.")

    def build(self, form: SampleForm) -> nn.Module:
        channels, rows, columns = self._map(form)
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

    def entries(self, form: SampleForm) -> Entries:
        channels, rows, columns = self._map(form)
        found = convolution("0", channels, 10, 5) + convolution("3", 10, 20, 5)
        return found + linear("7", 20 * rows * columns, 50) + linear("9", 50, form.outputs)

    def _map(self, form: SampleForm) -> tuple[int, int, int]:
        """The channels of the images, and the rows and columns of the last feature map."""
        channels, height, width = image_shape(self.kind, form)
        rows, columns = (_pooled(_pooled(side, 4), 4) for side in (height, width))
        refuse_if_too_small(self.kind, rows, columns, (height, width), 16)
        return channels, rows, columns


class Cnn(StandardSpec):
    """Two 5x5 convolutions, pooled, and a hidden layer.

    By default the CNN of McMahan et al., AISTATS 2017: 32 and 64 channels, 512 units (1,663,370).
    """

    _later = (*StandardSpec._later, "weights")
    portable: ClassVar[bool] = True
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
    weights: Literal["default", "truncated"] = Field(
        default="default",
        description="Initial weights of all layers; truncated: those of TensorFlow's example of "
        "2015, normal with a standard deviation of 0.1 and without what is beyond two of these, "
        "with biases of 0.1, and of 0 in the first layer.",
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a unit of the hidden layer in training.",
    )

    @model_validator(mode="after")
    def _weights_are_given_once(self) -> Self:
        if self.weights != "default" and self.convolutions != "default":
            raise ValueError(
                f"weights is {self.weights} and convolutions is {self.convolutions}; expected one "
                "of them, since weights stands for all layers"
            )
        return self

    def build(self, form: SampleForm) -> nn.Module:
        channels, rows, columns = self._map(form)
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
            *dropout(self.dropout),
            nn.Linear(self.hidden, form.outputs),
        )
        for place, layer in enumerate(model):
            if self.convolutions == "xavier" and isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
            if self.weights == "truncated" and isinstance(layer, nn.Conv2d | nn.Linear):
                draw_truncated(layer, bias=DEVIATION if place else 0.0)
        return model

    def entries(self, form: SampleForm) -> Entries:
        channels, rows, columns = self._map(form)
        first, second = self.channels
        found = convolution("0", channels, first, 5) + convolution("3", first, second, 5)
        found += linear("7", second * rows * columns, self.hidden)
        return found + linear("10" if self.dropout else "9", self.hidden, form.outputs)

    def _map(self, form: SampleForm) -> tuple[int, int, int]:
        """The channels of the images, and the rows and columns of the last feature map."""
        channels, height, width = image_shape(self.kind, form)
        lost = 4 - 2 * self.padding
        rows, columns = (_pooled(_pooled(side, lost), lost) for side in (height, width))
        refuse_if_too_small(self.kind, rows, columns, (height, width), 4 + 3 * lost)
        return channels, rows, columns


class Vgg9(StandardSpec):
    """Six 3x3 convolutions, pooled after every second, and two hidden layers: VGG-9.

    A small network in the style of Simonyan and Zisserman, ICLR 2015. It has the layers of
    ``ModerateCNN`` in the code of Wang et al., "Federated Learning with Matched Averaging", ICLR
    2020 (github.com/IBM/FedMA, model.py): 3,491,530 parameters on CIFAR-10.
    """

    portable: ClassVar[bool] = True
    kind: Literal["vgg9"] = Field(default="vgg9", description="Small VGG network.")
    channels: tuple[PositiveInt, ...] = Field(
        default=(32, 64, 128, 128, 256, 256),
        description="Channels of the convolutions, in order; their number is even.",
    )
    hidden: tuple[PositiveInt, ...] = Field(
        default=(512, 512), description="Widths of the hidden layers, in order (units)."
    )
    dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        allow_inf_nan=False,
        description="Probability of dropping a unit of a hidden layer in training.",
    )

    @model_validator(mode="after")
    def _convolutions_are_paired(self) -> Self:
        count = len(self.channels)
        if count % 2 or not count:
            raise ValueError(f"channels has {count} numbers; expected an even number of them")
        return self

    def build(self, form: SampleForm) -> nn.Module:
        channels, rows, columns = self._map(form)
        layers: list[nn.Module] = []
        for index, out in enumerate(self.channels):
            layers.append(nn.Conv2d(channels, out, 3, padding=1))
            if index % 2:
                layers.append(nn.MaxPool2d(2))
            layers.append(nn.ReLU())
            channels = out
        layers.append(nn.Flatten())
        units = channels * rows * columns
        for hidden in self.hidden:
            layers += [nn.Linear(units, hidden), nn.ReLU(), *dropout(self.dropout)]
            units = hidden
        model = nn.Sequential(*layers)
        model.add_module("head", nn.Linear(units, form.outputs))
        return model

    def entries(self, form: SampleForm) -> Entries:
        channels, rows, columns = self._map(form)
        place, found = 0, Entries()
        for index, out in enumerate(self.channels):
            found += convolution(f"{place}", channels, out, 3)
            channels, place = out, place + (3 if index % 2 else 2)
        units, place = channels * rows * columns, place + 1
        for hidden in self.hidden:
            found += linear(f"{place}", units, hidden)
            units, place = hidden, place + (3 if self.dropout else 2)
        return found + linear("head", units, form.outputs)

    def _map(self, form: SampleForm) -> tuple[int, int, int]:
        """The channels of the images, and the rows and columns of the last feature map."""
        channels, height, width = image_shape(self.kind, form)
        halvings = len(self.channels) // 2
        rows, columns = (side >> halvings for side in (height, width))
        refuse_if_too_small(self.kind, rows, columns, (height, width), 1 << halvings)
        return channels, rows, columns


def _pooled(side: int, lost: int) -> int:
    """Side of a feature map after a convolution that loses `lost` pixels and a 2x2 pooling."""
    return (side - lost) // 2
