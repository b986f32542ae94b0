"""Faster forms of a model on a CPU, used only where they are seen to compute the same."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes, sizes_to_try
from afl_sim.learning.models.few_channels import with_few_channels_pooled
from afl_sim.learning.models.local_state import runs_foreign_code, tensors_in
from afl_sim.learning.models.nearness import IN_DOUBLE, near

_OF_OUTPUTS = 1e-3  # in float32
_MOST_WEIGHTS = 30_000_000  # copies and gradients in double precision then take a gigabyte
_TRIALS = ((2, False), (2, True), (1, False))  # batch sizes, and whether in training mode
_MOST_SAMPLES = 1000  # of a batch that is tried in float32: as many as evaluations take at once
_SHIFT = 0.1  # of the weights: layers that start at zero would hide what lies behind them


def quickened(
    model: nn.Module, shape: torch.Size, pool: bool, sizes: BatchSizes = UNKNOWN
) -> nn.Module:
    """The model in the form that was measured to be faster; the model as it is if there is none.

    The faster form has convolutions in another order in memory (channels last) and perhaps other
    layers. Not every module can take it: ``view`` wants PyTorch's own order, and dropout on maps
    draws in the order of the memory. So a copy is compared with the original first: outputs,
    gradients and buffers, in double precision, on random images, in training and evaluation mode.
    A class of somebody's own may go by how many images there are, so it is tried with batches of
    the sizes that it will get, too: in float32, where each costs no more than a step of that size.
    If the faster form fails where the other does not, the model stays as it is.

    Very large models are left alone: trying them would take too much memory.

    Args:
        model: its parameters are put into the other order in place; the modules that it consists of
            are not changed.
        shape: one sample as (channels, height, width).
        pool: whether layers may be replaced too (`with_few_channels_pooled`).
        sizes: the batches that it will get.
    """
    if not any(tensor.dim() >= 4 for tensor in chain(model.parameters(), model.buffers())):
        return model
    try:
        if sum(weight.numel() for weight in model.parameters()) > _MOST_WEIGHTS:
            return model
        if _shares_memory(model):
            return model
        plain = copy.deepcopy(model).double()
        quick = _reordered(copy.deepcopy(plain), pool)
        same = _same(plain, quick, shape)
        if same and runs_foreign_code(model):
            same = _same_in_batches(plain.float(), quick.float(), shape, sizes)
    except Exception:  # the user's module may raise anything
        return model
    return _reordered(model, pool) if same else model


def _reordered(model: nn.Module, pool: bool) -> nn.Module:
    if pool:
        model = with_few_channels_pooled(model)
    return model.to(memory_format=torch.channels_last)


def _shares_memory(model: nn.Module) -> bool:
    """Whether two of the model's tensors lie in one memory: another order would part them."""
    tensors = {id(tensor): tensor for m in model.modules() for tensor in tensors_in(vars(m))}
    places = [tensor.untyped_storage().data_ptr() for tensor in tensors.values() if tensor.numel()]
    return len(set(places)) < len(places)


def _same(plain: nn.Module, quick: nn.Module, shape: torch.Size) -> bool:
    """Whether two models of the same weights compute the same; the weights are changed."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight, other in zip(plain.parameters(), quick.parameters(), strict=True):
            weight.add_(torch.rand(weight.shape, generator=draws) - 0.5, alpha=_SHIFT)
            other.copy_(weight)
    for model in (plain, quick):
        model.requires_grad_(True)  # gradients tell what frozen layers compute, too
    # A copy may go on using layers of the original, and then its own have no gradient.
    unseen = {name for name, weight in plain.named_parameters() if weight.dim() >= 4}
    with torch.random.fork_rng(devices=[]):
        for size, training in _TRIALS:
            images = torch.randn(size, *shape, generator=draws, dtype=torch.float64)
            try:
                expected = _Pass(plain, images, training)
            except Exception:
                if size == 1:  # which some normalisations refuse
                    continue
                raise
            if not expected.agrees(_Pass(quick, images, training)):
                return False
            unseen -= {name for name, w in plain.named_parameters() if w.grad is not None}
    return not unseen


def _same_in_batches(
    plain: nn.Module, quick: nn.Module, shape: torch.Size, sizes: BatchSizes
) -> bool:
    """Whether two models of the same weights in float32 compute the same for batches of a run.

    An order that is taken for another shows in all images, so rounding is not mistaken for it.
    """
    draws = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]):
        for size in sizes_to_try(sizes.trained, _MOST_SAMPLES):
            images = torch.randn(size, *shape, generator=draws)
            if not _Pass(plain, images, True).is_near(_Pass(quick, images, True)):
                return False
        with torch.no_grad():
            for size in sizes_to_try(sizes.evaluated, _MOST_SAMPLES):
                images = torch.randn(size, *shape, generator=draws)
                found = _Pass(quick, images, False)
                # Two images take less time than all, and mostly come to the same with others.
                two = _Pass(plain, images[[0, -1]], False)
                if not (
                    two.is_near(found.of([0, -1])) or _Pass(plain, images, False).is_near(found)
                ):
                    return False
    return True


class _Pass:
    """What a model makes of images: outputs and buffers, and the gradients of a loss."""

    def __init__(self, model: nn.Module, images: Tensor, training: bool) -> None:
        torch.manual_seed(0)
        model.train(training).zero_grad()
        outputs = model(images.clone())
        towards = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view(outputs.shape)
        loss = (outputs * (outputs + towards)).sum()
        if loss.requires_grad:
            loss.backward()
        self._results = [outputs.detach(), *(buffer.clone() for buffer in model.buffers())]
        self._gradients = [weight.grad for weight in model.parameters()]

    def agrees(self, other: _Pass) -> bool:
        """Whether two passes in double precision are the same but for rounding."""
        return near(other._gradients, self._gradients, *IN_DOUBLE) and all(
            _close(a, b) for a, b in zip(self._results, other._results, strict=True)
        )

    def of(self, images: list[int]) -> _Pass:
        """The outputs for some of the images only."""
        chosen = copy.copy(self)
        chosen._results = [self._results[0][images]]
        return chosen

    def is_near(self, other: _Pass) -> bool:
        """Whether two passes are the same but for rounding in float32."""
        (mine, *_), (theirs, *_) = self._results, other._results
        return near([theirs], [mine], _OF_OUTPUTS) and near(other._gradients, self._gradients)


def _close(mine: Tensor, other: Tensor) -> bool:
    if not mine.is_floating_point():
        return torch.equal(mine, other)
    return near([other], [mine], IN_DOUBLE[0], 0.0)
