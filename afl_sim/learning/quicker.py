"""Orders of a model's numbers in memory that are faster on a CPU than PyTorch's own."""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import nn

from afl_sim.learning.few_channels import pool_few_channels


def quicken(model: nn.Module, shape: torch.Size, pool: bool) -> None:
    """Have a model's convolutions take the order in memory that was measured to be faster.

    What is then in it are the same numbers, but not every module can take it: ``view`` wants
    PyTorch's own order. So a copy is tried first; where that fails, the model stays as it is.

    Args:
        model: it is changed in place.
        shape: one sample as (channels, height, width).
        pool: whether its layers may be replaced too (`pool_few_channels`).
    """
    if not any(tensor.dim() >= 4 for tensor in chain(model.parameters(), model.buffers())):
        return
    try:
        trial = copy.deepcopy(model)
        _reorder(trial, pool)
        with torch.random.fork_rng(devices=[]):
            for training in (True, False):
                trial.train(training)(torch.zeros(2, *shape)).sum().backward()
    except Exception:  # the user's module may raise anything
        return
    _reorder(model, pool)


def _reorder(model: nn.Module, pool: bool) -> None:
    if pool:
        pool_few_channels(model)
    model.to(memory_format=torch.channels_last)
