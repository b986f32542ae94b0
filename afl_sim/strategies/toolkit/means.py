"""Means of vectors."""

from __future__ import annotations

from collections.abc import Sequence

from afl_sim.lazy import Tensor


def weighted_mean(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    r"""$\sum_i a_i v_i / \sum_i a_i$, summed in the given order.

    Args:
        vectors: v, each of shape (P,).
        weights: a, one for each vector.

    Example:
        >>> import torch
        >>> weighted_mean([torch.zeros(2), torch.ones(2)], [1, 3])
        tensor([0.7500, 0.7500])
    """
    total = float(sum(weights))
    mean = vectors[0] * (weights[0] / total)
    for vector, weight in zip(vectors[1:], weights[1:], strict=True):
        mean = mean.add(vector, alpha=weight / total)
    return mean
