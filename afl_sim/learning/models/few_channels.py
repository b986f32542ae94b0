"""Convolution, 2x2 pooling and ReLU as one operation, for the few channels of small networks.

PyTorch's convolutions work on 16 channels at a time, so that 10 channels cost as much as 16. Its
pooling handles fewer than 16 channels one by one. Here the batch is the innermost axis: maps lie in
memory as (height, channels, width, batch). Every operation then works on hundreds of neighbouring
numbers, and a convolution is one matrix product for each of its rows. docs/performance.md has
measured speeds.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_MOST_CHANNELS, _MOST_SAMPLES = 20, 64  # up to which this was measured to be faster

_where_positive = torch.ops.aten.threshold_backward.grad_input  # a where b > 0, else 0


class PooledConvolution(nn.Conv2d):
    """``relu(max_pool2d(conv2d(x), 2))``, to rounding, with the parameters of a convolution.

    In training mode it puts the batch innermost where this is faster. In evaluation mode, and for
    large batches, it uses PyTorch's three operations.

    Args:
        convolution: with a bias, and without padding, stride, dilation and groups.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        rows, columns = convolution.kernel_size
        channels = convolution.in_channels, convolution.out_channels
        super().__init__(*channels, (rows, columns), device="meta")
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, input: Tensor) -> Tensor:
        """Maps of shape (N, C, H, W) to (N, O, (H - K + 1) // 2, (W - K + 1) // 2)."""
        if self.training and len(input) <= _MOST_SAMPLES and self._fits(input):
            pooled: Tensor = _PooledConvolution.apply(input, self.weight, self.bias)
            return pooled
        return F.relu(F.max_pool2d(super().forward(input), 2))

    def _fits(self, maps: Tensor) -> bool:
        """Whether the input is usable; if it is not, PyTorch raises the error."""
        return maps.dim() == 4 and all(
            side > kernel for side, kernel in zip(maps.shape[2:], self.kernel_size, strict=True)
        )


def with_few_channels_pooled(model: nn.Module) -> nn.Module:
    """The model with `PooledConvolution` wherever this computes the same faster.

    Layers are replaced only inside a `torch.nn.Sequential` that is the model, or is nested in one.
    Only there is it certain that PyTorch calls the layers one after another. A user's own module
    may call its layers in any way, so nothing inside it is replaced. All convolutions must have few
    channels, because maps are copied between this layout and PyTorch's.

    Args:
        model: it is not changed. The new model has the same parameters under the same names.
    """
    convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    if any(module.out_channels > _MOST_CHANNELS for module in convolutions):
        return model
    return _pooled(model)


def _pooled(module: nn.Module) -> nn.Module:
    if type(module) is not nn.Sequential or is_watched(module):
        return module
    names, before = list(module._modules), list(module)
    layers = [_pooled(layer) for layer in before]
    for index in range(len(layers) - 2):
        convolution, pooling, activation = layers[index : index + 3]
        if (
            (type(convolution) is nn.Conv2d and is_plain(convolution))
            and convolution.padding == (0, 0)
            and (type(pooling) is nn.MaxPool2d and halves(pooling))
            and type(activation) is nn.ReLU
            and not any(is_watched(layer) for layer in (convolution, pooling, activation))
        ):
            layers[index] = PooledConvolution(convolution)
            layers[index + 1], layers[index + 2] = nn.Identity(), nn.Identity()
    if all(new is old for new, old in zip(layers, before, strict=True)):
        return module
    return nn.Sequential(OrderedDict(zip(names, layers, strict=True))).train(module.training)


def is_plain(convolution: nn.Conv2d) -> bool:
    """Whether it has a bias, and no stride, dilation or groups; its padding does not count."""
    return (
        convolution.groups == 1
        and convolution.bias is not None
        and convolution.stride == convolution.dilation == (1, 1)
    )


def halves(pooling: nn.MaxPool2d) -> bool:
    """Whether it takes the maximum of windows of 2x2 that do not overlap."""
    pairs = (2, (2, 2))
    return (
        pooling.kernel_size in pairs
        and pooling.stride in pairs
        and pooling.padding in (0, (0, 0))
        and pooling.dilation in (1, (1, 1))
        and not (pooling.ceil_mode or pooling.return_indices)
    )


def is_watched(module: nn.Module) -> bool:
    """Whether a module has hooks or a replaced ``forward``."""
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
            "forward" in vars(module),
            vars(module).get("_compiled_call_impl"),
            nn.modules.module._has_any_global_hook(),
        )
    )


class _PooledConvolution(torch.autograd.Function):
    """Names of axes: H, C, W, N of the input; O, h, w of the pooled output; K, L of the kernel."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        maps = _batch_innermost(maps)
        height, _, width, batch = maps.shape
        out, _, rows, columns = weight.shape
        h, w = (height - rows + 1) // 2, (width - columns + 1) // 2
        # A window is `rows` consecutive rows of the patches; neighbouring windows overlap.
        patches = _patches(maps[:, :, : 2 * w + columns - 1], 2 * w)
        _, depth, length = patches.shape
        windows = patches.as_strided((2 * h, rows * depth, length), (depth * length, length, 1))
        kernels = weight.permute(0, 2, 3, 1).reshape(1, out, -1)  # (1, O, K L C)
        full = torch.bmm(kernels.expand(2 * h, -1, -1), windows)
        halved = _larger(*full.view(h, 2, out, w, 2, batch).unbind(1))
        pooled = _larger(*halved.unbind(3))
        pooled.add_(bias[:, None, None]).relu_()  # the largest is the same without the bias
        ctx.save_for_backward(windows, weight, full, halved, pooled)
        ctx.height, ctx.width = height, width
        return pooled.permute(3, 1, 0, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        windows, weight, full, halved, pooled = ctx.saved_tensors
        out, channels, rows, columns = weight.shape
        grad = torch.ops.aten.threshold_backward(_batch_innermost(grad), pooled, 0)
        h, _, w, batch = grad.shape
        _to_the_larger(grad, *halved.unbind(3))
        _to_the_larger(halved, *full.view(h, 2, out, w, 2, batch).unbind(1))
        # `halved` and `full` are now the gradients of what they were.
        kernels = torch.bmm(full, windows.transpose(1, 2)).sum(0).view(out, rows, columns, channels)
        grad_maps = None
        if ctx.needs_input_grad[0]:
            height, width = ctx.height, ctx.width
            margin = (0, 0, columns - 1, width - 2 * w)
            patches = _patches(F.pad(full.view(2 * h, out, 2 * w, batch), margin), width)
            turned = weight.flip(3).permute(2, 1, 3, 0).reshape(rows, 1, channels, -1)
            grad_maps = full.new_zeros(height, channels, width * batch)
            for row, kernel in enumerate(turned):
                grad_maps[row : row + 2 * h].baddbmm_(kernel.expand(2 * h, -1, -1), patches)
            grad_maps = grad_maps.view(height, channels, width, batch).permute(3, 1, 0, 2)
        return grad_maps, kernels.permute(0, 3, 1, 2), grad.sum((0, 2, 3))


def _larger(first: Tensor, second: Tensor) -> Tensor:
    """The larger of each two entries; ``second`` becomes its excess over the first."""
    larger = torch.maximum(first, second)
    second.sub_(first)
    return larger


def _to_the_larger(grad: Tensor, first: Tensor, second: Tensor) -> None:
    """The gradients of `_larger`, written into the two; of equal entries the first gets it."""
    _where_positive(grad, second, 0, grad_input=second)
    torch.sub(grad, second, out=first)


def _batch_innermost(maps: Tensor) -> Tensor:
    """(N, C, H, W) to (H, C, W, N)."""
    return maps.permute(2, 1, 3, 0).contiguous()


def _patches(maps: Tensor, width: int) -> Tensor:
    """(H, C, W, N) to (H, L C, width N): side by side, what L columns of a kernel meet."""
    height, _, _, batch = maps.shape
    shifted = maps.unfold(2, width, 1).permute(0, 2, 1, 4, 3).contiguous()
    return shifted.view(height, -1, width * batch)
