"""Random changes of the images of a mini-batch: ``training.augment``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, field_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.section import Count, Number, Section, kind_alone
from afl_sim.scenario.wording import hint, show

Probability = Annotated[Number, Field(ge=0, le=1)]


class RandomCrop(Section):
    """Each image is padded on all sides, and a random part of the old size is kept."""

    kind: Literal["random_crop"] = Field(description="The kind of change.")
    padding: Count = Field(default=4, description="Width of the border (pixels).")
    border: Literal["constant", "edge", "reflect"] = Field(
        default="constant",
        description="What the border holds. constant: zeros, after normalisation; edge: the "
        "outermost pixels; reflect: the image, mirrored at its outermost pixels.",
    )


class HorizontalFlip(Section):
    """Each image is mirrored left to right, or not."""

    kind: Literal["horizontal_flip"] = Field(description="The kind of change.")
    p: Probability = Field(default=0.5, description="Probability that an image is mirrored.")


class VerticalFlip(Section):
    """Each image is mirrored top to bottom, or not."""

    kind: Literal["vertical_flip"] = Field(description="The kind of change.")
    p: Probability = Field(default=0.5, description="Probability that an image is mirrored.")


class Transform(Section):
    """A transform of torchvision.transforms.v2; every other key is an argument of it.

    It gets one image at a time, after normalisation, as float32 (channels, height, width).
    """

    model_config = ConfigDict(extra="allow")

    kind: str = Field(
        description="The name of a class of torchvision.transforms.v2, such as RandomErasing.",
    )

    @field_validator("kind")
    @classmethod
    def _names_a_class(cls, kind: str) -> str:
        if not kind[:1].isupper():
            raise PydanticCustomError(
                "scenario",
                f"got {show(kind)}; expected one of {', '.join(BUILT_IN)}, or a class of "
                f"torchvision.transforms.v2{hint(kind, BUILT_IN)}",
            )
        return kind


BUILT_IN = {
    "random_crop": RandomCrop,
    "horizontal_flip": HorizontalFlip,
    "vertical_flip": VerticalFlip,
}


def _which(block: Any) -> str:
    kind = block.get("kind") if isinstance(block, dict) else getattr(block, "kind", None)
    return kind if isinstance(kind, str) and kind in BUILT_IN else "torchvision"


Augmentation = Annotated[
    Annotated[
        Annotated[RandomCrop, Tag("random_crop")]
        | Annotated[HorizontalFlip, Tag("horizontal_flip")]
        | Annotated[VerticalFlip, Tag("vertical_flip")]
        | Annotated[Transform, Tag("torchvision")],
        Discriminator(_which),
    ],
    BeforeValidator(kind_alone),
]
