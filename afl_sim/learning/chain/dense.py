"""Fully connected layers, ReLU, dropout and flattening."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from afl_sim.learning.chain.links import (
    Call,
    Factors,
    Layer,
    Link,
    Weights,
    keep_where_positive,
)
from afl_sim.portable.blas import Array32, prepared


class Flatten(Layer):
    """Maps become rows of features."""

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (int(np.prod(shape)),)

    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        return _Flat(before)


class _Flat(Link):
    def __init__(self, before: Link) -> None:
        self._shape = before.y.shape
        self.y = before.y
        if self.y.ndim == 4:
            self.y = self.y.reshape(-1, self._shape[-1]).T

    def turn(self, g: Array32, needed: bool) -> Array32:
        return g.T.reshape(self._shape) if len(self._shape) == 4 else g


class Rectifier(Layer):
    """ReLU, in place."""

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        return _Rectified(before)


class _Rectified(Link):
    def __init__(self, before: Link) -> None:
        self.y = before.y
        self._scratch = np.empty_like(self.y, np.int32)

    def turn(self, g: Array32, needed: bool) -> Array32:
        self._g = g
        return g

    def forward(self) -> None:
        np.maximum(self.y, 0, out=self.y)

    def backward(self) -> None:
        keep_where_positive(self._g, self.y, self._scratch)


class Dropout(Layer):
    """Dropout of single units, in place; its draws are PyTorch's.

    Args:
        probability: of dropping a unit in training.
    """

    def __init__(self, probability: float) -> None:
        self._probability = probability

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape

    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        return _Dropped(before, self._probability, factors)


class _Dropped(Link):
    def __init__(self, before: Link, probability: float, factors: Factors) -> None:
        self.y, self._factors = before.y, factors
        self._probability = np.float32(probability)
        self._scale = np.float32(1 / (1 - probability))
        self._mask = np.empty(self.y.shape, np.float32)

    def turn(self, g: Array32, needed: bool) -> Array32:
        self._g = g
        return g

    def forward(self) -> None:
        if not self._factors.dropping:
            return
        drawn = torch.rand(self.y.shape, generator=self._factors.draws).numpy()
        np.multiply(drawn >= self._probability, self._scale, out=self._mask)
        np.multiply(self.y, self._mask, out=self.y)

    def infer(self) -> None:
        pass

    def backward(self) -> None:
        if self._factors.dropping:
            np.multiply(self._g, self._mask, out=self._g)


class Dense(Layer):
    """``y = x W' + b``.

    Args:
        inputs, units: features of a sample before and after.
        maps: the shape (C, H, W) of the maps whose numbers are the inputs, if they are maps.
        by_features: whether the features are the outer axis of the input in memory, as in maps.
    """

    descends = True

    def __init__(
        self, inputs: int, units: int, maps: tuple[int, ...] = (), by_features: bool = False
    ) -> None:
        self._inputs, self._units, self._maps = inputs, units, maps
        self._by_features = by_features or bool(maps)

    def orders(self) -> Sequence[tuple[tuple[int, ...], tuple[int, ...]]]:
        bias = (self._units,), (0,)
        if self._maps:
            channels, height, width = self._maps
            return ((self._units, height, channels, width), (0, 2, 1, 3)), bias
        if self._by_features:
            return ((self._units, self._inputs), (0, 1)), bias
        return ((self._inputs, self._units), (1, 0)), bias

    def output(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (self._units,)

    def link(
        self, before: Link, weights: Sequence[Weights], factors: Factors, margin: int, last: bool
    ) -> Link:
        return _Dense(before, weights, factors, self._by_features, last)


class _Dense(Link):
    """x: (N, F); weights (F, U), or (U, F) if the features are the outer axis of x in memory."""

    def __init__(
        self,
        before: Link,
        weights: Sequence[Weights],
        factors: Factors,
        by_features: bool,
        last: bool,
    ) -> None:
        self._x, self._factors, self._by_features = before.y, factors, by_features
        self._weight, self._bias = weights
        self._w, self._dw = self._weight.value, self._weight.gradient
        batch, units = len(self._x), len(self._bias.value)
        if by_features:
            self._w, self._dw = (each.reshape(units, -1) for each in (self._w, self._dw))
        if by_features and not last:
            self.y = np.empty((units, batch), np.float32).T
            self._multiply = prepared(self._w, self._x.T, self.y.T)
        else:
            self.y = np.empty((batch, units), np.float32)
            self._multiply = prepared(self._x, self._across, self.y)

    @property
    def _across(self) -> Array32:
        """The weights as (F, U)."""
        return self._w.T if self._by_features else self._w

    def turn(self, g: Array32, needed: bool) -> Array32:
        x, factors, bias = self._x, self._factors, self._bias
        left, right = (g.T, x) if self._by_features else (x.T, g)
        ones = np.ones((len(x), 1), np.float32)
        self._gradients = (
            prepared(left, right, self._dw, beta=factors.kept),
            prepared(g.T, ones, bias.gradient[:, None], beta=factors.kept),
        )
        self._steps = (
            prepared(left, right, self._w, factors.rate, 1.0),
            prepared(g.T, ones, bias.value[:, None], factors.rate, 1.0),
        )
        back = np.empty_like(x)
        self._pass_on = None
        if needed and self._by_features:
            self._pass_on = prepared(self._across, g.T, back.T)
        elif needed:
            self._pass_on = prepared(g, self._across.T, back)
        return back

    def forward(self) -> None:
        self._multiply()
        np.add(self.y, self._bias.value, out=self.y)

    def backward(self) -> None:
        self._do(self._gradients)

    def descend(self) -> None:
        self._do(self._steps)

    def _do(self, products: tuple[Call, ...]) -> None:
        if self._pass_on is not None:
            self._pass_on()  # before the weights change
        for product in products:
            product()
