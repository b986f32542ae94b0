"""What can be trained batched, and for what reason the rest cannot."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from afl_sim.learning.models import Shape
from afl_sim.learning.parameters import ParameterVector
from afl_sim.learning.stack import Stack

ELEMENTWISE = frozenset(
    {
        "ASGD",
        "Adadelta",
        "Adagrad",
        "Adam",
        "AdamW",
        "Adamax",
        "FedAdagrad",
        "FedAdam",
        "FedYogi",
        "NAdam",
        "RAdam",
        "RMSprop",
        "Rprop",
        "SGD",
    }
)
"""Optimizers that treat each entry of a tensor by itself, so that rows of a stack stay apart."""


def batching_problems(model: nn.Module, optimizer: str | None, shape: Shape) -> Iterator[str]:
    """Why a model or an optimizer cannot be trained batched, as ``key: message``.

    Args:
        model: what would be trained; it is tried, and left as it was.
        optimizer: the name of a torch.optim class; None where no client takes a step.
        shape: one sample as (channels, height, width).
    """
    if optimizer is not None and optimizer not in ELEMENTWISE:
        yield (
            f"training.optimizer.kind: {optimizer} does not treat each entry of a tensor by "
            "itself, which numerics.mode: batched needs; expected one of "
            f"{', '.join(sorted(ELEMENTWISE))}"
        )
    reason = next(_unsuitable_layers(model), None) or _failure(model, shape)
    if reason is not None:
        yield f"model: {reason}; expected another model, or numerics.mode: exact"


def _unsuitable_layers(model: nn.Module) -> Iterator[str]:
    for name, layer in model.named_modules():
        kind = type(layer).__name__
        if isinstance(layer, _DropoutNd) and layer.p > 0:
            yield (
                f"layer {name} ({kind}) draws random numbers, which numerics.mode: batched could "
                "not draw for each client by itself"
            )
        elif isinstance(layer, nn.modules.batchnorm._BatchNorm) or (
            isinstance(layer, _NormBase) and layer.track_running_stats
        ):
            yield (
                f"layer {name} ({kind}) takes statistics over a mini-batch, which "
                "numerics.mode: batched fills up with samples of other weight"
            )


def _failure(model: nn.Module, shape: Shape) -> str | None:
    """What goes wrong when two copies of the model are mapped over at once."""
    layout = ParameterVector(model)
    vector = layout.read(model)
    try:
        stack = Stack(model, layout, [vector, vector])
        outputs = stack.outputs(torch.zeros(2, 2, *shape))
        stack.gradients(outputs.sum())
    except Exception as error:  # the user's module may raise anything
        first = (str(error).splitlines() or [""])[0]
        return f"it cannot be mapped over clients by numerics.mode: batched ({first})"
    return None
