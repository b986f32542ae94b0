"""Which modules are chains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from afl_sim.learning.chain.chain import Chain
from afl_sim.learning.chain.dense import Dense, Dropout, Flatten, Rectifier
from afl_sim.learning.chain.links import Layer
from afl_sim.learning.chain.losses import CHAIN_LOSSES
from afl_sim.learning.chain.pooled_convolution import PooledConvolution
from afl_sim.learning.models.few_channels import halves, is_plain, is_watched


def chain_of(model: nn.Module, shape: Sequence[int], loss: str) -> Chain | None:
    """The chain that computes what a model computes, or None if there is none.

    It must be a `torch.nn.Sequential`, in which others may be nested, of ``Flatten``, ``Linear``,
    ``ReLU``, ``Dropout``, and of ``Conv2d``, ``MaxPool2d(2)`` and ``ReLU`` in this order. Every
    parameter is trained, and used once, and has no hooks. It ends in logits, shape (N, classes).

    Args:
        model: the parameters' values do not matter.
        shape: of one sample.
        loss: the name of a loss of classes.
    """
    parameters = list(model.parameters())
    if loss not in CHAIN_LOSSES or not all(
        p.requires_grad and p.dtype == torch.float32 and not _has_hooks(p) for p in parameters
    ):
        return None
    modules = _flattened(model)
    layers = None if modules is None else _layers(modules, tuple(shape))
    if not layers or not isinstance(layers[-1], Dense):
        return None
    if sum(len(layer.orders()) for layer in layers) != len(parameters):  # some are shared
        return None
    return Chain(layers, tuple(shape), loss)


def _has_hooks(parameter: nn.Parameter) -> bool:
    """Whether its gradient is changed or watched."""
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)


def _flattened(module: nn.Module) -> list[nn.Module] | None:
    """The layers of nested sequences in order; None if anything else happens in between."""
    if is_watched(module):
        return None
    if type(module) is not nn.Sequential:
        return [module]
    found: list[nn.Module] = []
    for child in module:
        inner = _flattened(child)
        if inner is None:
            return None
        found += inner
    return found


def _layers(modules: Sequence[nn.Module], shape: tuple[int, ...]) -> list[Layer] | None:
    layers: list[Layer] = []
    waiting = iter(modules)
    convolved = False
    maps: tuple[int, ...] = ()  # whose numbers the next linear layer takes
    for module in waiting:
        layer = _layer(module, waiting, shape, maps, convolved)
        if layer is None:
            return None
        if isinstance(layer, PooledConvolution):
            convolved = True
        elif isinstance(layer, Flatten):
            maps = shape if convolved else ()
        elif isinstance(layer, Dense):
            maps = ()
        layers.append(layer)
        shape = layer.output(shape)
        if min(shape) < 1:
            return None
    return layers


def _layer(
    module: nn.Module,
    following: Iterator[nn.Module],
    shape: tuple[int, ...],
    maps: tuple[int, ...],
    convolved: bool,
) -> Layer | None:
    """One layer; a convolution takes its pooling and its ReLU from those that follow."""
    if type(module) is nn.Conv2d and len(shape) == 3:
        pooling, activation = next(following, None), next(following, None)
        if type(pooling) is not nn.MaxPool2d or type(activation) is not nn.ReLU:
            return None
        return _convolution(module, shape) if halves(pooling) else None
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return Flatten()
    if len(shape) != 1:
        return None
    if type(module) is nn.Linear and module.bias is not None and module.in_features == shape[0]:
        return Dense(module.in_features, module.out_features, maps, convolved)
    if type(module) is nn.ReLU:
        return Rectifier()
    if type(module) is nn.Dropout and module.p < 1:
        return Dropout(module.p)
    return None


def _convolution(module: nn.Conv2d, shape: tuple[int, ...]) -> Layer | None:
    (rows, columns), padding = module.kernel_size, module.padding
    plain = (
        is_plain(module)
        and module.padding_mode == "zeros"
        and not isinstance(padding, str)
        and padding[0] == padding[1]
        and module.in_channels == shape[0]
    )
    if not plain:
        return None
    return PooledConvolution(
        module.in_channels, module.out_channels, (rows, columns), int(padding[0])
    )
