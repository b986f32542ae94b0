"""What ``training.loss`` may say: a loss by name, or one of the user's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.section import Float32, Section

FITS: Final[dict[str, tuple[str, ...]]] = {
    "cross_entropy": ("class", "tokens"),
    "nll": ("class", "tokens"),
    "mse": ("class", "number"),
    "l1": ("number",),
    "huber": ("number",),
    "bce": ("several",),
}
"""The forms of labels that each loss fits (`afl_sim.learning.data.form.Target`)."""

_Name = Literal["cross_entropy", "nll", "mse", "l1", "huber", "bce", "multilabel"]
_ALIASES: Final = {"multilabel": "bce"}


class Huber(Section):
    """Quadratic in small errors and linear in large ones."""

    kind: Literal["huber"] = Field(description="The kind of loss.")
    delta: Float32 = Field(
        default=1.0,
        gt=0,
        description="The size of an error from which the loss is linear (unit of the labels).",
    )


class Loss(Rule):
    """The base class of a user's own loss.

    It is a pure function of PyTorch tensors, and autograd takes its gradient.

    Example:
        >>> from afl_sim import Loss
        >>> class Pinball(Loss):
        ...     quantile: float = 0.5
        ...
        ...     def __call__(self, outputs, labels):
        ...         error = labels - outputs
        ...         return (self.quantile * error).maximum((self.quantile - 1) * error).mean(1)
        >>> import torch
        >>> Pinball(quantile=0.9)(torch.tensor([[1.0]]), torch.tensor([[3.0]])).item() > 1.79
        True
    """

    def __call__(self, outputs: Any, labels: Any) -> Any:
        """The loss of each sample.

        Args:
            outputs: float32 (n, outputs): what the model gives. Of labels for positions, each
                position that has a label is a sample.
            labels: int64 (n,) for classes, else float32 (n, outputs).

        Returns:
            float32 (n,): one loss for each sample. Steps and evaluations use their mean.
        """
        raise NotImplementedError


LOSS_RULES: Final = RuleKind("loss", "afl_sim.losses", Loss, "__call__", ("outputs", "labels"))


def _name(value: Any) -> Any:
    """A block of a kind without settings as its name; an alias as what it stands for."""
    if isinstance(value, dict) and len(value) == 1 and "kind" in value:
        value = value["kind"]
    return _ALIASES.get(value, value) if isinstance(value, str) else value


def _is_block(value: Any) -> str:
    return "block" if isinstance(value, dict | Huber) else "name"


if TYPE_CHECKING:
    AnyLoss = str | Huber | Loss
else:
    AnyLoss = Annotated[
        Annotated[
            Annotated[
                Literal["cross_entropy", "nll", "mse", "l1", "huber", "bce", "multilabel"],
                Tag("name"),
            ]
            | Annotated[Huber, Tag("block")],
            Discriminator(_is_block),
            BeforeValidator(_name),
        ],
        OpenTo(LOSS_RULES, (*FITS, *_ALIASES)),
    ]
"""A built-in loss, or one of the user's own."""


def loss_name(loss: Any) -> str:
    """The name of a loss in messages."""
    return str(loss if isinstance(loss, str) else loss.kind)
