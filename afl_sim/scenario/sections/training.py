"""The ``training:`` section: local training at a client."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    SerializeAsAny,
    model_validator,
)
from pydantic_core import PydanticCustomError

from afl_sim.scenario.catalogue import optimizer_block
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.section import (
    Count,
    Flag,
    Float32,
    LaterSection,
    Number,
    Section,
    default_choice,
    kind_alone,
    refuse_many,
)
from afl_sim.scenario.sections.augmentation import Augmentation
from afl_sim.scenario.sections.compression import Compression
from afl_sim.scenario.sections.losses import AnyLoss
from afl_sim.scenario.sections.personalization import AnyPersonalization


class ConstantRate(Section):
    """The optimizer's own learning rate throughout."""

    kind: Literal["constant"] = Field(default="constant", description="The kind of schedule.")

    def factor(self, base_version: int) -> float:
        """The factor on the learning rate of a task that starts from ``base_version``."""
        return 1.0


class StepRate(Section):
    """The learning rate is multiplied by ``factor`` after every ``every`` versions."""

    kind: Literal["step"] = Field(description="The kind of schedule.")
    every: Count = Field(description="Number of versions between two changes (versions).")
    # The key is `factor`; the attribute leaves that name to the method all schedules share.
    each: Number = Field(
        alias="factor",
        gt=0,
        le=1,
        description="Factor on the learning rate at each change (no unit).",
    )

    def factor(self, base_version: int) -> float:
        """The factor on the learning rate of a task that starts from ``base_version``."""
        return float(self.each ** (base_version // self.every))


class InverseSqrtRate(Section):
    """The learning rate falls as ``1 / sqrt(1 + version / scale)``."""

    kind: Literal["inverse_sqrt"] = Field(description="The kind of schedule.")
    scale: Number = Field(
        default=1.0,
        gt=0,
        description="Number of versions after which the rate is 0.71 of the initial one "
        "(versions).",
    )

    def factor(self, base_version: int) -> float:
        """The factor on the learning rate of a task that starts from ``base_version``."""
        return 1 / math.sqrt(1 + base_version / self.scale)


RateSchedule = Annotated[
    Annotated[ConstantRate | StepRate | InverseSqrtRate, Field(discriminator="kind")],
    BeforeValidator(kind_alone),
]


def _whole(value: Distribution) -> Distribution:
    if not value.positive:
        raise PydanticCustomError("scenario", "can be 0; expected 1 or more")
    if value.constant is not None and (value.constant < 1 or not value.constant.is_integer()):
        raise PydanticCustomError(
            "scenario", f"got {value.constant:g}; expected a whole number of 1 or more"
        )
    return value


def batches_in_pass(samples: int, batch_size: int | None, drop_last: bool) -> int:
    """Mini-batches in one pass over a client's samples.

    Args:
        samples: that the client holds.
        batch_size: samples per mini-batch; None for all of them.
        drop_last: whether a last, smaller mini-batch is left out, unless it is the only one.
    """
    if batch_size is None:
        return 1 if samples else 0
    whole, rest = divmod(samples, batch_size)
    return whole + bool(rest and not (drop_last and whole))


def limited(batch_size: int | None, most: int) -> int | None:
    """The size of a client's mini-batches if a memory takes so many samples.

    Args:
        batch_size: samples per mini-batch; None for all that the client has.
        most: the most that fit.
    """
    return most if batch_size is None else min(batch_size, most)


DEFAULT_OPTIMIZER: dict[str, Any] = {"kind": "SGD", "lr": 0.05}
LENGTHS = ("epochs", "steps")
Repetitions = Annotated[Distribution, AfterValidator(_whole)]


class Training(LaterSection):
    """Local training of one task."""

    _later = ("augment", "gradient_noise_per", "personalization")

    epochs: Repetitions | None = Field(
        default=None,
        description="Number of passes over the client's data, drawn for each task and rounded to "
        "a whole number, at least 1 (epochs). Give either this or `steps`; by default 1.",
    )
    steps: Repetitions | None = Field(
        default=None,
        description="Number of local optimizer steps, drawn for each task and rounded to a whole "
        "number, at least 1 (steps).",
    )
    batch_size: Count | Literal["full"] = Field(
        default=32, description="Number of samples in a step; `full`: all samples of the client."
    )
    optimizer: Annotated[SerializeAsAny[BaseModel], BeforeValidator(optimizer_block)] = Field(
        default=DEFAULT_OPTIMIZER,
        validate_default=True,
        description="A torch.optim class and its arguments; each task begins with a new optimizer.",
    )
    lr_schedule: RateSchedule = Field(
        default=ConstantRate(),
        description="Factor on the learning rate, a function of the version from which a task "
        "starts.",
    )
    proximal: Float32 = Field(
        default=0.0,
        ge=0,
        description="Weight mu of the proximal term mu/2 * ||w - w_base||^2 (no unit).",
    )
    clip_norm: Float32 | None = Field(
        default=None, gt=0, description="Largest L2 norm of a step's gradient; null: no limit."
    )
    gradient_noise: Float32 = Field(
        default=0.0,
        ge=0,
        description="Standard deviation of the normal noise that is added to every entry of each "
        "gradient before clipping (no unit).",
    )
    gradient_noise_per: Literal["entry", "gradient"] = Field(
        default="entry",
        description="entry: each entry of a gradient has noise of its own; gradient: one number is "
        "drawn for a gradient and added to all its entries.",
    )
    augment: tuple[Augmentation, ...] = Field(
        default=(),
        description="Random changes of the images of each mini-batch, one after another; they are "
        "drawn for each task and image. random_crop, horizontal_flip, vertical_flip, or the name "
        "of a class of torchvision.transforms.v2 with its arguments, such as {kind: RandomErasing, "
        "p: 0.2}, which gets one normalised image at a time.",
    )
    shuffle: Flag = Field(
        default=True, description="Whether each epoch visits the samples in a new random order."
    )
    drop_last: Flag = Field(
        default=False,
        description="Whether a last batch that is smaller than batch_size is left out.",
    )
    compression: Compression = Field(
        default=Compression(),
        description="Compression of models and updates; it affects values and bytes.",
    )
    loss: AnyLoss = Field(
        default="cross_entropy",
        description="Of classes and of tokens: cross_entropy of logits, nll of log-probabilities; "
        "of classes also mse to one-hot labels. Of numbers: mse, l1, huber. Of several labels: bce "
        "(or multilabel), binary cross-entropy of logits. Or `package.module:name` for your own.",
    )

    personalization: AnyPersonalization | None = Field(
        default=None,
        description="Further steps of each task, for what the client keeps for itself. fedrep: the "
        "parts that model.personal names are trained apart from the others; ditto: the client has "
        "a second model of its own. They take time, and their samples count as trained. null: "
        "none.",
    )

    @property
    def samples_per_step(self) -> int | None:
        """Samples in a step; None for all that the client has."""
        return None if self.batch_size == "full" else self.batch_size

    @model_validator(mode="before")
    @classmethod
    def _default_epochs(cls, block: Any) -> Any:
        return default_choice(block, LENGTHS, {"epochs": 1.0})

    @model_validator(mode="after")
    def _epochs_or_steps(self) -> Self:
        refuse_many(self, LENGTHS)
        return self
