"""Scaled dot-product attention, and the two layers that PyTorch fuses with it in evaluation."""

from __future__ import annotations

import torch
from torch import Tensor

from afl_sim.portable.operations.activations import gelu, safe_softmax, softmax_backward
from afl_sim.portable.operations.normalization import layer_norm
from afl_sim.portable.operations.products import bmm, mm
from afl_sim.portable.operations.reductions import logsumexp, mean
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


def _projected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, L, inputs) to (N, L, outputs)."""
    result = mm(x.reshape(-1, x.shape[-1]), weight.t())
    return result.add_(bias).view(*x.shape[:-1], len(weight))


@replaces("_native_multi_head_attention")
def multi_head_attention(
    query: Tensor, key: Tensor, value: Tensor, width: int, heads: int, weight: Tensor,
    bias: Tensor, out_weight: Tensor, out_bias: Tensor, mask: Tensor | None = None,
    need_weights: bool = True, average_weights: bool = True, mask_type: int | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    if mask is not None:
        raise not_portable("aten._native_multi_head_attention", "with a mask in evaluation")
    inputs = zip((query, key, value), weight.chunk(3), bias.chunk(3), strict=True)
    q, k, v = (
        _projected(x, w, b).view(*x.shape[:2], heads, -1).transpose(1, 2) for x, w, b in inputs
    )
    weights = safe_softmax(_scores(q, k, False, None, None), -1)
    together = _product(weights, v).transpose(1, 2).reshape(query.shape)
    if not need_weights:
        shown = query.new_empty(0)
    elif average_weights:
        shown = mean(weights, 1)
    else:
        shown = weights
    return _projected(together, out_weight, out_bias), shown


@replaces("_transformer_encoder_layer_fwd")
def encoder_layer(
    x: Tensor, width: int, heads: int, weight: Tensor, bias: Tensor, out_weight: Tensor,
    out_bias: Tensor, use_gelu: bool, norm_first: bool, eps: float, scale_1: Tensor,
    shift_1: Tensor, scale_2: Tensor, shift_2: Tensor, weight_1: Tensor, bias_1: Tensor,
    weight_2: Tensor, bias_2: Tensor, mask: Tensor | None = None, mask_type: int | None = None,
) -> Tensor:  # fmt: skip
    def attended(given: Tensor) -> Tensor:
        taken = (weight, bias, out_weight, out_bias, mask, False)
        return multi_head_attention(given, given, given, width, heads, *taken)[0]

    def forward(given: Tensor) -> Tensor:
        hidden = _projected(given, weight_1, bias_1)
        return _projected(gelu(hidden) if use_gelu else hidden.relu(), weight_2, bias_2)

    def first(given: Tensor) -> Tensor:
        return layer_norm(given, (width,), scale_1, shift_1, eps)[0]

    def second(given: Tensor) -> Tensor:
        return layer_norm(given, (width,), scale_2, shift_2, eps)[0]

    if norm_first:
        x = x + attended(first(x))
        return x + forward(second(x))
    x = first(x + attended(x))
    return second(x + forward(x))
