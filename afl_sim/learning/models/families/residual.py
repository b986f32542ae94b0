"""Residual networks for small images."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries, convolution, linear, normalization
from afl_sim.learning.models.spec import StandardSpec, image_shape, refuse_if_too_small

_SHRUNK = 4  # how much smaller than an image the last feature map is


class ResNet(StandardSpec):
    """The residual network of He et al., CVPR 2016, for CIFAR: 6n + 2 layers, three widths.

    Shortcuts have no parameters (option A), so that depth 20 has 0.27 million. Mini-batches of
    clients are small and differ between clients, which batch statistics suffer from. So groups of
    channels are normalised by default (Wu and He, ECCV 2018).
    """

    portable: ClassVar[bool] = True
    kind: Literal["resnet"] = Field(default="resnet", description="Residual network.")
    depth: PositiveInt = Field(
        default=20,
        le=1202,
        description="Number of layers: 6n + 2, such as 8, 14, 20, 32, 44, 56 or 110.",
    )
    width: PositiveInt = Field(
        default=16,
        description="Channels of the first third of the layers; the others have 2 and 4 times as "
        "many.",
    )
    norm: Literal["group", "batch"] = Field(
        default="group",
        description="Normalization: of groups of channels, or of batches. The running statistics "
        "of batches are sent and averaged with the parameters.",
    )
    groups: PositiveInt = Field(
        default=8, description="Groups of channels of norm: group; they divide the width."
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.depth % 6 != 2 or self.depth < 8:
            nearest = max(8, 6 * round((self.depth - 2) / 6) + 2)
            raise ValueError(
                f"depth is {self.depth}; expected 6n + 2, such as 8, 14 or 20; the nearest is "
                f"{nearest}"
            )
        if self.norm == "group" and self.width % self.groups:
            raise ValueError(
                f"groups is {self.groups}; expected a number that divides the width, {self.width}"
            )
        return self

    def build(self, form: SampleForm) -> nn.Module:
        from afl_sim.learning.models.families.residual_network import Block, MeanOfMap

        channels = self._channels(form)
        model = nn.Sequential()
        model.add_module("conv", nn.Conv2d(channels, self.width, 3, padding=1, bias=False))
        model.add_module("norm", self._norm(self.width))
        model.add_module("relu", nn.ReLU())
        before = self.width
        for number in range(3):
            after, stage = self.width << number, nn.Sequential()
            for index in range((self.depth - 2) // 6):
                stride = 2 if number and not index else 1
                stage.append(Block(before, after, stride, (self._norm(after), self._norm(after))))
                before = after
            model.add_module(f"stage{number + 1}", stage)
        model.add_module("mean", MeanOfMap())
        model.add_module("head", nn.Linear(before, form.outputs))
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):  # as He et al., ICCV 2015
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        return model

    def entries(self, form: SampleForm) -> Entries:
        batch, before = self.norm == "batch", self.width
        found = convolution("conv", self._channels(form), before, 3, bias=False)
        found += normalization("norm", before, batch)
        for number in range(3):
            after = self.width << number
            for index in range((self.depth - 2) // 6):
                place = f"stage{number + 1}.{index}"
                found += convolution(f"{place}.conv1", before, after, 3, bias=False)
                found += convolution(f"{place}.conv2", after, after, 3, bias=False)
                found += normalization(f"{place}.norm1", after, batch)
                found += normalization(f"{place}.norm2", after, batch)
                before = after
        return found + linear("head", before, form.outputs)

    def _channels(self, form: SampleForm) -> int:
        """The channels of the images, which must be large enough."""
        channels, height, width = image_shape(self.kind, form)
        # With a last map of one pixel, a batch of one image would have no batch statistics.
        refuse_if_too_small(
            self.kind, height // (_SHRUNK + 1), width // (_SHRUNK + 1), (height, width), _SHRUNK + 1
        )
        return channels

    def _norm(self, channels: int) -> nn.Module:
        if self.norm == "batch":
            return nn.BatchNorm2d(channels)
        return nn.GroupNorm(self.groups, channels)
