"""Which models and optimizers can be trained in batches of clients, and why others cannot."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from afl_sim.learning.data.batch_sizes import sizes_to_try
from afl_sim.learning.models.fixed import has_fixed_statistics, moving_parameters
from afl_sim.learning.models.local_state import LocalState, runs_foreign_code
from afl_sim.learning.models.nearness import IN_DOUBLE, near
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.stack import Stack
from afl_sim.user_code import reason

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
_ROWS = 6  # inputs of the first trial, half of them for each of two models


def batching_problems(
    model: nn.Module, optimizer: str | None, inputs: Tensor, sizes: Sequence[int] = ()
) -> Iterator[str]:
    """The reasons why a model or an optimizer cannot be trained batched, as ``key: message``.

    Args:
        model: the model to train; it is tried, and then restored.
        optimizer: the name of a torch.optim class; None if no client takes a step.
        inputs: shape (N, C, H, W), N >= 6: inputs like those of the data set.
        sizes: the sizes of the mini-batches of the run; sizes above N count as N.
    """
    if optimizer is not None and optimizer not in ELEMENTWISE:
        yield (
            f"training.optimizer.kind: {optimizer} does not treat each entry of a tensor by "
            "itself, which numerics.mode: batched needs; expected one of "
            f"{', '.join(sorted(ELEMENTWISE))}"
        )
    reason = next(_unsuitable_layers(model), None) or _failure(model, inputs, sizes)
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
        elif not has_fixed_statistics(layer) and (
            isinstance(layer, nn.modules.batchnorm._BatchNorm)
            or (isinstance(layer, _NormBase) and layer.track_running_stats)
        ):
            yield (f"layer {name} ({kind}) takes statistics over a mini-batch, {_FILLED}")


def _failure(model: nn.Module, inputs: Tensor, sizes: Sequence[int]) -> str | None:
    """What goes wrong when models are stacked, or when mini-batches are filled up."""
    layout, local_state = ParameterVector(model), LocalState(model)
    first = layout.read(model)
    draws = torch.Generator().manual_seed(0)
    vectors = [first, first + 0.1 * (torch.rand(len(first), generator=draws) - 0.5)]
    rows = inputs[:_ROWS].unflatten(0, (2, -1))
    try:
        alone = []
        for vector, row in zip(vectors, rows, strict=True):
            local_state.put_back()
            layout.write(model, vector)
            before = {name: buffer.clone() for name, buffer in model.named_buffers()}
            outputs = model.train()(row.clone())
            alone.append(
                (
                    outputs.detach(),
                    _gradients(outputs, [weight for _, weight in moving_parameters(model)]),
                )
            )
            for name, buffer in model.named_buffers():
                if name not in before or not torch.equal(buffer, before[name]):
                    return f"buffer {name!r} changes in training, {_FILLED}"
            for name, now, given in _parts(layout, model, vector):
                if not torch.equal(now, given):
                    return (
                        f"parameter {name!r} changes in a forward pass over a mini-batch, {_FILLED}"
                    )
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
        if not (near([outputs[row].detach()], [expected]) and near(mine, gradients)):
            return "numerics.mode: batched computes something else than it does alone"
    return _mixing(model, vectors[1], inputs, sizes)


def _parts(
    layout: ParameterVector, model: nn.Module, vector: Tensor
) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Each parameter's name, its present value, and its value in a vector of shape (P + B,)."""
    given = layout.named(vector)
    for name, parameter in moving_parameters(model):
        yield name, parameter.detach(), given[name]


def _mixing(model: nn.Module, vector: Tensor, inputs: Tensor, sizes: Sequence[int]) -> str | None:
    """What goes wrong with the model on a mini-batch that is filled up.

    Args:
        model: it is left as it was.
        vector: shape (P + B,): the weights that it is tried with.
        inputs: shape (N, C, H, W).
        sizes: of the run's mini-batches.
    """
    kinds = [[_ROWS // 2, _ROWS]]
    # PyTorch's own layers do not depend on the number of samples.
    if runs_foreign_code(model):
        kinds.append(sizes_to_try(sizes, len(inputs)))
    try:
        try:
            double = copy.deepcopy(model).double()
            apart = all(_keeps_apart(double, vector, inputs.double(), k, *IN_DOUBLE) for k in kinds)
        except Exception:  # it cannot be copied, or something in it is float32 for good
            apart = all(_keeps_apart(model, vector, inputs, k) for k in kinds)
    except Exception as error:  # the user's module may raise anything
        return f"it fails on a mini-batch {_FILLED} ({reason(error)})"
    if apart:
        return None
    return f"its output for a sample depends on the other samples of the mini-batch, {_FILLED}"


def _keeps_apart(
    model: nn.Module, vector: Tensor, inputs: Tensor, sizes: Sequence[int], *within: float
) -> bool:
    """Whether samples that fill up smaller mini-batches leave the results of these unchanged.

    Args:
        model: it is left as it was.
        vector: shape (P + B,): the weights that it is tried with.
        inputs: shape (N, C, H, W).
        sizes: of mini-batches, in ascending order.
        within: the bounds of `near`.
    """
    layout, local_state = ParameterVector(model), LocalState(model)
    first, parameters = layout.read(model), [weight for _, weight in moving_parameters(model)]

    def outputs_of(size: int) -> Tensor:
        local_state.put_back()
        layout.write(model, vector)
        outputs: Tensor = model.train()(inputs[:size].clone())
        return outputs

    *smaller, largest = sizes or [0]
    if not smaller:
        return True
    try:
        filled = outputs_of(largest)
        parts = [filled[:size] for size in smaller]
        found = [(part.detach(), _gradients(part, parameters)) for part in parts]
        for size, (outputs, gradients) in zip(smaller, found, strict=True):
            alone = outputs_of(size)
            if not near([outputs], [alone.detach()], *within):
                return False
            if not near(gradients, _gradients(alone, parameters), *within):
                return False
    finally:
        local_state.put_back()
        layout.write(model, first)
    return True


def _loss(outputs: Tensor) -> Tensor:
    """A loss of each row that depends on all its outputs: (..., batch, classes) -> (...)."""
    towards = torch.linspace(-1, 1, outputs.shape[-1])
    return (outputs * (outputs + towards)).sum((-2, -1))


def _gradients(outputs: Tensor, parameters: list[nn.Parameter]) -> list[Tensor | None]:
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    found = iter(torch.autograd.grad(_loss(outputs), trained, retain_graph=True, allow_unused=True))
    return [next(found) if parameter.requires_grad else None for parameter in parameters]
