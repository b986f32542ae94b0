"""A layer of an LSTM. PyTorch makes other recurrent layers of simpler operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from afl_sim.portable.blas import product
from afl_sim.portable.elementary import sigmoid, tanh
from afl_sim.portable.operations.arrays import Array, array, back
from afl_sim.portable.operations.reductions import sum64
from afl_sim.portable.operations.registry import not_portable, replaces

_LSTM = 2  # PyTorch's number of this kind of layer


class _Step(NamedTuple):
    """What a step of time leaves for the gradient; each of shape (N, hidden)."""

    before: Array
    cell_before: Array
    i: Array
    f: Array
    g: Array
    o: Array
    cell: Array
    bent: Array  # tanh of the cell
    after: Array


def _steps(
    x: Array, weights: Sequence[Array], biases: Sequence[Array], h: Array, c: Array, reverse: bool
) -> list[_Step]:
    """The steps for each time of an input (T, N, inputs), in the order in which they are taken."""
    into = product(x.reshape(-1, x.shape[2]), weights[0].T).reshape(*x.shape[:2], -1)
    steps = []
    for seen in into[::-1] if reverse else into:
        gates = product(h, weights[1].T)
        for bias in biases:
            gates += bias
        gates += seen
        i, f, g, o = np.split(gates, 4, 1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        cell = f * c + i * g
        bent = tanh(cell)
        steps.append(_Step(h, c, i, f, g, o, cell, bent, o * bent))
        h, c = steps[-1].after, cell
    return steps


def _prepared(
    x: Tensor, weights: Sequence[Tensor], biases: Sequence[Tensor], hx: Tensor, cx: Tensor,
    reverse: bool, mode: int, batch_sizes: Sequence[int],
) -> list[_Step]:  # fmt: skip
    if mode != _LSTM or len(batch_sizes):
        raise not_portable("aten.mkldnn_rnn_layer", "for this kind of layer or packed sequences")
    first, cell = (array(state).reshape(-1, state.shape[-1]) for state in (hx, cx))
    numbers = [array(weight) for weight in weights]
    return _steps(array(x), numbers, [array(bias) for bias in biases], first, cell, reverse)


@replaces("mkldnn_rnn_layer")
def lstm(
    x: Tensor, w_input: Tensor, w_hidden: Tensor, b_input: Tensor, b_hidden: Tensor, hx: Tensor,
    cx: Tensor, reverse: bool, batch_sizes: Sequence[int], mode: int, hidden: int, layers: int,
    has_biases: bool, bidirectional: bool, batch_first: bool, train: bool,
) -> tuple[Tensor, ...]:  # fmt: skip
    biases = (b_input, b_hidden) if has_biases else ()
    steps = _prepared(x, (w_input, w_hidden), biases, hx, cx, reverse, mode, batch_sizes)
    outputs = [step.after for step in steps]
    last = torch.from_numpy(outputs[-1].copy()), torch.from_numpy(steps[-1].cell)
    out = torch.from_numpy(np.stack(outputs[::-1] if reverse else outputs))
    return out, last[0].view(hx.shape), last[1].view(cx.shape), x.new_empty(0)


@replaces("mkldnn_rnn_layer_backward")
def lstm_backward(
    x: Tensor, w_input: Tensor, w_hidden: Tensor, b_input: Tensor, b_hidden: Tensor, hx: Tensor,
    cx: Tensor, output: Tensor, hy: Tensor, cy: Tensor, grad_output: Tensor | None,
    grad_hy: Tensor | None, grad_cy: Tensor | None, reverse: bool, mode: int, hidden: int,
    layers: int, has_biases: bool, train: bool, bidirectional: bool, batch_sizes: Sequence[int],
    batch_first: bool, workspace: Tensor,
) -> tuple[Tensor, ...]:  # fmt: skip
    biases = (b_input, b_hidden) if has_biases else ()
    steps = _prepared(x, (w_input, w_hidden), biases, hx, cx, reverse, mode, batch_sizes)
    shape = steps[0].after.shape
    to_h, to_c = (
        np.zeros(shape, np.float32) if grad is None else array(grad).reshape(shape)
        for grad in (grad_hy, grad_cy)
    )
    times = range(len(steps))
    gates = np.empty((len(steps), shape[0], 4 * shape[1]), np.float32)
    recurrent = array(w_hidden)
    for time, step in zip(times if reverse else times[::-1], steps[::-1], strict=True):
        if grad_output is not None:
            to_h = to_h + array(grad_output)[time]
        to_c = to_c + to_h * step.o * (1 - step.bent * step.bent)
        parts = (
            to_c * step.g * (step.i * (1 - step.i)),
            to_c * step.cell_before * (step.f * (1 - step.f)),
            to_c * step.i * (1 - step.g * step.g),
            to_h * step.bent * (step.o * (1 - step.o)),
        )
        np.concatenate(parts, 1, out=gates[time])
        to_h, to_c = product(gates[time], recurrent), to_c * step.f
    rows = gates.reshape(-1, gates.shape[2])
    before = np.concatenate([step.before for step in (steps[::-1] if reverse else steps)])
    inputs = array(x).reshape(len(rows), -1)
    bias = back(sum64(rows.astype(np.float64), (0,)), torch.float32)
    to_x = product(rows, array(w_input)).reshape(x.shape)
    found = [torch.from_numpy(a) for a in (to_x, product(rows.T, inputs), product(rows.T, before))]
    states = torch.from_numpy(to_h).view(hx.shape), torch.from_numpy(to_c).view(cx.shape)
    return *found, bias, bias.clone(), *states
