"""Scaled dot-product attention, with all weights in memory."""

from __future__ import annotations

import torch
from torch import Tensor

from afl_sim.portable.operations.activations import safe_softmax, softmax_backward
from afl_sim.portable.operations.products import bmm
from afl_sim.portable.operations.reductions import logsumexp
from afl_sim.portable.operations.registry import not_portable, replaces

_NAME = "aten._scaled_dot_product_flash_attention_for_cpu"


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product of shapes (..., m, k) and (..., k, n)."""
    result = bmm(a.reshape(-1, *a.shape[-2:]), b.reshape(-1, *b.shape[-2:]))
    return result.view(*a.shape[:-1], b.shape[-1])


def _scores(
    query: Tensor, key: Tensor, causal: bool, mask: Tensor | None, scale: float | None
) -> Tensor:
    scores = _product(query, key.transpose(-1, -2)).mul_(_factor(query, scale))
    if causal:
        seen = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores.masked_fill_(~seen, -torch.inf)
    if mask is not None:
        if mask.dtype == torch.bool:
            return scores.masked_fill_(~mask, -torch.inf)
        scores.add_(mask)
    return scores


def _factor(query: Tensor, scale: float | None) -> float:
    return query.shape[-1] ** -0.5 if scale is None else scale


@replaces("_scaled_dot_product_flash_attention_for_cpu")
def attention(
    query: Tensor, key: Tensor, value: Tensor, dropout_p: float = 0.0, is_causal: bool = False, *,
    attn_mask: Tensor | None = None, scale: float | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if dropout_p:
        raise not_portable(_NAME, "with dropout")
    scores = _scores(query, key, is_causal, attn_mask, scale)
    result = _product(safe_softmax(scores, -1), value)
    # PyTorch gives a result that is contiguous if its second and third axes are swapped.
    return result.transpose(1, 2).contiguous().transpose(1, 2), logsumexp(scores, -1)


@replaces("_scaled_dot_product_flash_attention_for_cpu_backward")
def attention_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, logsumexp: Tensor,
    dropout_p: float, is_causal: bool, *, attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    weights = safe_softmax(_scores(query, key, is_causal, attn_mask, scale), -1)
    to_value = _product(weights.transpose(-1, -2), grad)
    to_weights = _product(grad, value.transpose(-1, -2))
    to_scores = softmax_backward(to_weights, weights, -1, weights.dtype)
    to_scores.mul_(_factor(query, scale))
    return _product(to_scores, key), _product(to_scores.transpose(-1, -2), query), to_value
