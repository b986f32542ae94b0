"""What can be trained batched, and for what reason the rest cannot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from afl_sim.learning.local_state import LocalState
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


_FILLED = "which numerics.mode: batched fills up with samples of weight 0"


def batching_problems(model: nn.Module, optimizer: str | None, images: Tensor) -> Iterator[str]:
    """Why a model or an optimizer cannot be trained batched, as ``key: message``.

    Args:
        model: what would be trained; it is tried, and left as it was.
        optimizer: the name of a torch.optim class; None where no client takes a step.
        images: shape (N, C, H, W), N even: such as it would be trained on.
    """
    if optimizer is not None and optimizer not in ELEMENTWISE:
        yield (
            f"training.optimizer.kind: {optimizer} does not treat each entry of a tensor by "
            "itself, which numerics.mode: batched needs; expected one of "
            f"{', '.join(sorted(ELEMENTWISE))}"
        )
    reason = next(_unsuitable_layers(model), None) or _failure(model, images)
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
            yield (f"layer {name} ({kind}) takes statistics over a mini-batch, {_FILLED}")


def _failure(model: nn.Module, images: Tensor) -> str | None:
    """What goes wrong when two copies of the model are mapped over at once."""
    layout, local_state = ParameterVector(model), LocalState(model)
    first = layout.read(model)
    draws = torch.Generator().manual_seed(0)
    vectors = [first, first + 0.1 * (torch.rand(len(first), generator=draws) - 0.5)]
    rows = images.unflatten(0, (2, -1))
    try:
        alone = []
        for vector, row in zip(vectors, rows, strict=True):
            local_state.put_back()
            layout.write(model, vector)
            before = {name: buffer.clone() for name, buffer in model.named_buffers()}
            outputs = model.train()(row.clone())
            alone.append((outputs.detach(), _gradients(outputs, list(model.parameters()))))
            for name, buffer in model.named_buffers():
                if name not in before or not torch.equal(buffer, before[name]):
                    return f"buffer {name!r} changes in training, {_FILLED}"
        local_state.put_back()
        stack = Stack(model, layout, vectors)
        outputs = stack.outputs(rows.clone())
        found = stack.gradients(_loss(outputs).sum())
    except Exception as error:  # the user's module may raise anything
        line = (str(error).splitlines() or [""])[0]
        return f"it cannot be mapped over clients by numerics.mode: batched ({line})"
    finally:
        local_state.put_back()
        layout.write(model, first)
    for row, (expected, gradients) in enumerate(alone):
        mine = [None if gradient is None else gradient[row] for gradient in found]
        if not (_near([outputs[row].detach()], [expected]) and _near(mine, gradients)):
            return "numerics.mode: batched computes something else than it does alone"
    return None


def _loss(outputs: Tensor) -> Tensor:
    """Some loss of each row's outputs, not flat in any of them: (..., batch, classes) -> (...)."""
    towards = torch.linspace(-1, 1, outputs.shape[-1])
    return (outputs * (outputs + towards)).sum((-2, -1))


def _gradients(outputs: Tensor, parameters: list[nn.Parameter]) -> list[Tensor | None]:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    found = iter(torch.autograd.grad(_loss(outputs), trained, allow_unused=True))
    return [next(found) if parameter.requires_grad else None for parameter in parameters]


def _near(mine: Sequence[Tensor | None], others: Sequence[Tensor | None]) -> bool:
    """Whether tensors are the same but for rounding in float32, which may switch some ReLU."""
    if [each is None for each in mine] != [each is None for each in others]:
        return False
    pairs = [(a, b) for a, b in zip(mine, others, strict=True) if a is not None and b is not None]
    whole = max((float(b.norm()) for _, b in pairs), default=0.0)
    return all(float((a - b).norm()) <= 0.05 * float(b.norm()) + 1e-3 * whole for a, b in pairs)
