"""What every model of a scenario has: its keys, and how a network is made of them."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from pydantic import Field

from afl_sim.errors import ScenarioError
from afl_sim.lazy import nn
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.entries import Entries
from afl_sim.learning.models.lora import ADAPTERS, Lora
from afl_sim.learning.models.pretrained import WeightsFile
from afl_sim.scenario.section import LaterSection


class ModelSpec(LaterSection):
    """A model's hyperparameters; `build` makes the network.

    Attributes:
        tried: whether its network is tried before a run, since its code is not this package's.
        portable: whether its network is known to have portable arithmetic in whatever settings.
            Others are tried.
    """

    _later: ClassVar[tuple[str, ...]] = ("pretrained", "trainable", "lora", "personal")
    tried: ClassVar[bool] = False
    portable: ClassVar[bool] = False

    kind: str = Field(description="The model's name, or package.module:factory.")

    @abstractmethod
    def build(self, form: SampleForm) -> nn.Module:
        """A freshly initialised network.

        Its outputs have shape (batch, outputs), such as logits; for token targets (batch, length,
        outputs).

        Args:
            form: what a sample looks like, and how many outputs it needs.

        Raises:
            ScenarioError: the model cannot take samples of this form.
        """

    def entries(self, form: SampleForm) -> Entries | None:
        """The tensors of the network that `build` makes; None if only the network tells.

        Args:
            form: as for `build`.

        Raises:
            ScenarioError: the model cannot take samples of this form.
        """
        return None

    def begin(self, model: nn.Module) -> None:
        """Give a network that `build` has made the weights and the fixed parts of the scenario.

        Raises:
            ScenarioError: the file of weights does not fit, or a pattern matches nothing.
        """
        weights: WeightsFile | None = getattr(self, "pretrained", None)
        trained: tuple[str, ...] | None = getattr(self, "trainable", None)
        if "pretrained" in type(self).model_fields and weights is not None:
            weights.load_into(model)
        lora: Lora | None = getattr(self, "lora", None)
        if "trainable" not in type(self).model_fields:
            trained = None
        if "lora" in type(self).model_fields and lora is not None:
            lora.insert_into(model)
            trained = (ADAPTERS, *(trained or ()))
        if trained is not None:
            from afl_sim.learning.models.fixed import fix_all_but  # a class in it needs PyTorch

            fix_all_but(model, trained)

    @property
    def kept_by_clients(self) -> tuple[str, ...] | None:
        """Patterns of what each client keeps for itself; None if nothing."""
        return getattr(self, "personal", None) if "personal" in type(self).model_fields else None

    @property
    def changed(self) -> bool:
        """Whether its network gets layers that `build` has not made."""
        return "lora" in type(self).model_fields and getattr(self, "lora", None) is not None


def _or_a_path(schema: dict[str, Any]) -> None:
    schema["anyOf"].append({"type": "string"})


class StandardSpec(ModelSpec):
    """The keys that models of every kind have.

    A user's factory that has a parameter of such a name gets the value itself.
    """

    pretrained: WeightsFile | None = Field(
        default=None,
        description="A file of safetensors whose weights the run starts from: a path, or a block. "
        "null: random weights.",
        json_schema_extra=_or_a_path,
    )
    trainable: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of the parameters and buffers that are trained, such as head.*; all "
        "others keep their first values, are known to the clients, and are never sent. null: all.",
    )
    lora: Lora | None = Field(
        default=None,
        description="Small matrices that are trained beside the weights of some layers, in place "
        "of these. null: none.",
    )
    personal: tuple[str, ...] | None = Field(
        default=None,
        min_length=1,
        description="Patterns of the parameters and buffers that each client keeps for itself, "
        "such as classifier.*; they are trained, and never sent. Each client then has a model of "
        "its own, so evaluation.on must be client_test or client_train. null: none.",
    )


def image_shape(kind: str, form: SampleForm) -> tuple[int, int, int]:
    """Channels, height and width of images.

    Args:
        kind: the model that takes them.
        form: the form of the samples.

    Raises:
        ScenarioError: the samples are no images, or their labels are tokens.
    """
    if not form.is_image:
        raise ScenarioError(f"model: {kind} takes images, but the inputs are {form.inputs}")
    _refuse_token_labels(kind, form)
    channels, height, width = form.input_shape
    return channels, height, width


def features(kind: str, form: SampleForm) -> int:
    """How many numbers an input has.

    Args:
        kind: the model that takes them.
        form: the form of the samples.

    Raises:
        ScenarioError: the inputs are tokens, or the labels are.
    """
    if form.vocabulary is not None:
        raise ScenarioError(
            f"model: {kind} takes numbers, but the inputs are {form.inputs}; expected a model of "
            "sequences: lstm or transformer"
        )
    _refuse_token_labels(kind, form)
    return math.prod(form.input_shape)


def token_sequence(kind: str, form: SampleForm) -> tuple[int, int]:
    """The length of the inputs, and the number of different tokens.

    Args:
        kind: the model that takes them.
        form: the form of the samples.

    Raises:
        ScenarioError: the inputs are no sequences of tokens.
    """
    if form.vocabulary is None or len(form.input_shape) != 1:
        raise ScenarioError(
            f"model: {kind} takes sequences of tokens, but the inputs are {form.inputs}"
        )
    return form.input_shape[0], form.vocabulary


def refuse_if_too_small(
    kind: str, rows: int, columns: int, sides: tuple[int, int], least: int
) -> None:
    """Refuse images that leave nothing after the convolutions.

    Args:
        kind: the model.
        rows, columns: of the last feature map.
        sides: height and width of an image.
        least: the least side that works.

    Raises:
        ScenarioError: the last feature map is empty.
    """
    if min(rows, columns) < 1:
        raise ScenarioError(
            f"model: {kind} needs images of at least {least}x{least}, got {sides[0]}x{sides[1]}"
        )


def dropout(probability: float) -> list[nn.Module]:
    """A layer that drops units, or none where the probability is 0."""
    return [nn.Dropout(probability)] if probability else []


def _refuse_token_labels(kind: str, form: SampleForm) -> None:
    if form.target == "tokens":
        raise ScenarioError(
            f"model: {kind} gives one result for a sample, but each position has a label of its "
            "own; expected a model of sequences: lstm or transformer"
        )
