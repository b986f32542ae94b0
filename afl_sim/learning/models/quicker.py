"""Faster forms of a model on a CPU, used only after a test that they compute the same."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, nn

from afl_sim.learning.data.batch_sizes import UNKNOWN, BatchSizes, sizes_to_try
from afl_sim.learning.models.few_channels import with_few_channels_pooled
from afl_sim.learning.models.global_draws import one_thread_draws
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
    """The model in a form that was measured to be faster, or unchanged if there is none.

    The faster form stores convolutions in another memory order (channels last), and may have other
    layers. Not every module works in this order: ``view`` needs PyTorch's own order, and dropout on
    maps draws in memory order. So a copy is first compared with the original: outputs, gradients
    and buffers, in double precision, on random images, in training and evaluation mode. A user's
    own class may depend on the number of images. So it is also tried with batches of the sizes that
    it will get, in float32, which costs one step for each size. If the faster form fails where the
    original does not, the model stays unchanged.

    Very large models stay unchanged, because a trial would take too much memory.

    Args:
        model: the memory order of its parameters is changed in place; its modules are not changed.
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
    """Whether two of the model's tensors share memory: another memory order would separate them."""
    tensors = {id(tensor): tensor for m in model.modules() for tensor in tensors_in(vars(m))}
    places = [tensor.untyped_storage().data_ptr() for tensor in tensors.values() if tensor.numel()]
    return len(set(places)) < len(places)


def _same(plain: nn.Module, quick: nn.Module, shape: torch.Size) -> bool:
    """Whether two models with the same weights compute the same. Their weights are changed."""
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight, other in zip(plain.parameters(), quick.parameters(), strict=True):
            weight.add_(torch.rand(weight.shape, generator=draws) - 0.5, alpha=_SHIFT)
            other.copy_(weight)
    for model in (plain, quick):
        model.requires_grad_(True)  # gradients show what frozen layers compute, too
    # A copy may still use layers of the original; its own layers then have no gradient.
    unseen = {name for name, weight in plain.named_parameters() if weight.dim() >= 4}
    with one_thread_draws, torch.random.fork_rng(devices=[]):
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
    """Whether two models with the same float32 weights compute the same for batches of a run.

    A mistaken memory order changes all images, so it cannot be confused with rounding.
    """
    draws = torch.Generator().manual_seed(0)
    with one_thread_draws, torch.random.fork_rng(devices=[]):
        for size in sizes_to_try(sizes.trained, _MOST_SAMPLES):
            images = torch.randn(size, *shape, generator=draws)
            if not _Pass(plain, images, True).is_near(_Pass(quick, images, True)):
                return False
        with torch.no_grad():
            for size in sizes_to_try(sizes.evaluated, _MOST_SAMPLES):
                images = torch.randn(size, *shape, generator=draws)
                found = _Pass(quick, images, False)
                # Two images take less time than all, and mostly they give the same result.
                two = _Pass(plain, images[[0, -1]], False)
                if not (
                    two.is_near(found.of([0, -1])) or _Pass(plain, images, False).is_near(found)
                ):
                    return False
    return True


class _Pass:
    """The result of a model for images: outputs, buffers, and the gradients of a loss."""

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
        """Whether two passes in double precision are equal up to rounding."""
        return near(other._gradients, self._gradients, *IN_DOUBLE) and all(
            _close(a, b) for a, b in zip(self._results, other._results, strict=True)
        )

    def of(self, images: list[int]) -> _Pass:
        """The outputs for some of the images only."""
        chosen = copy.copy(self)
        chosen._results = [self._results[0][images]]
        return chosen

    def is_near(self, other: _Pass) -> bool:
        """Whether two passes are equal up to rounding in float32."""
        (mine, *_), (theirs, *_) = self._results, other._results
        return near([theirs], [mine], _OF_OUTPUTS) and near(other._gradients, self._gradients)


def _close(mine: Tensor, other: Tensor) -> bool:
    if not mine.is_floating_point():
        return torch.equal(mine, other)
    return near([other], [mine], IN_DOUBLE[0], 0.0)
