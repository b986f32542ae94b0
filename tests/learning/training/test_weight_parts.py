"""A vector beside the weights of a model: gradients, and moving towards another model."""

from __future__ import annotations

import torch
from torch import nn

from afl_sim.learning.training.weight_parts import gradients_of, merge


def three_weights() -> list[nn.Parameter]:
    weights = [nn.Parameter(torch.full(shape, 1.0)) for shape in ((2, 2), (1,), (3,))]
    weights[1].requires_grad_(False)
    return weights


def test_gradients_lie_in_the_order_of_the_weights_and_are_0_where_there_is_none() -> None:
    weights = three_weights()
    weights[0].grad = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert gradients_of(weights).tolist() == [1, 2, 3, 4, 0, 0, 0, 0]


def test_merging_moves_by_the_share_and_leaves_frozen_weights_and_the_others_out() -> None:
    other = torch.tensor([5.0, 9.0, 1.0, -3.0, 100.0, 3.0, 5.0, 7.0])
    weights = three_weights()
    merge(weights, other, 0.25, None)
    assert [w.flatten().tolist() for w in weights] == [[2, 3, 1, 0], [1], [1.5, 2, 2.5]]
    weights = three_weights()
    merge(weights, other, 0.25, [False, True, True])
    assert [w.flatten().tolist() for w in weights] == [[1, 1, 1, 1], [1], [1.5, 2, 2.5]]
    assert weights[0].requires_grad
    assert weights[0].grad_fn is None
