"""How compression changes a vector's numbers.

`afl_sim.scenario.sections.compression` has the numbers of bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from numpy.random import Generator
from torch import Tensor

from afl_sim.learning.training.own_tensors import called
from afl_sim.scenario.sections.compression import (
    COMPRESSORS,
    BFloat16,
    Compression,
    Qsgd,
    RandK,
    Scheme,
    TopK,
)
from afl_sim.scenario.sections.compression import Compressor as OwnCompressor
from afl_sim.streams import Streams


@dataclass(frozen=True)
class Compressor:
    """Compression of models and updates: what the receiver gets.

    Args:
        spec: the scenario's ``training.compression``.
        streams: the run's random streams, for random rounding by client and task.
        gradient: whether an update is a gradient; then the client's model does not change.
    """

    spec: Compression
    streams: Streams
    gradient: bool = False

    @property
    def compresses_updates(self) -> bool:
        """Whether the server gets other updates than clients make."""
        return self.spec.upload.kind != "none"

    def downloaded(self, params: Tensor, client: int, task: int) -> Tensor:
        """The parameters, shape (P,), that a client gets."""
        scheme = self.spec.download
        return compressed(scheme, params, self.streams, "compression.download", client, task)

    def uploaded(
        self, delta: Tensor, owed: Tensor | None, client: int, task: int, messages: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """The update, shape (P,), that the server gets, and the error that the client keeps.

        Args:
            delta: shape (P,): the client's update.
            owed: shape (P,): the accumulated error of its earlier updates; None for none. It does
                not change if the update is not finite, else no later update would be finite.
            client, task: the client, and the number of its task.
            messages: how often it is compressed anew and sent; the server takes the mean.
        """
        scheme = self.spec.upload
        whole = delta if owed is None else delta + owed
        sent = compressed(scheme, whole, self.streams, "compression.upload", client, task, messages)
        if not self.spec.feeds_back:
            return sent, None
        left = whole - sent
        # A sum is cheap to check, and it is finite only if all its terms are.
        return sent, left if math.isfinite(left.sum()) or torch.isfinite(left).all() else owed


def compressed(
    scheme: Scheme,
    vector: Tensor,
    streams: Streams,
    purpose: str,
    client: int,
    task: int,
    messages: int = 1,
) -> Tensor:
    """The vector that the receiver gets.

    Args:
        scheme: how it is compressed.
        vector: shape (P,), float32; it is not changed.
        streams, purpose, client, task: the address of random rounding.
        messages: how often it is compressed, each time with new draws; the receiver takes the mean.
    """
    if isinstance(scheme, BFloat16):
        return vector.to(torch.bfloat16).to(torch.float32)
    if isinstance(scheme, TopK):
        return top_k(vector, scheme.entries(len(vector)))
    if not isinstance(scheme, Qsgd | RandK | OwnCompressor):
        return vector
    draws = streams.generator(purpose, client, task)
    total = _drawn(scheme, vector, draws)
    for _ in range(messages - 1):
        total = total + _drawn(scheme, vector, draws)
    return total if messages == 1 else total / messages


def _drawn(scheme: Qsgd | RandK | OwnCompressor, vector: Tensor, draws: Generator) -> Tensor:
    """The vector compressed with these draws."""
    if isinstance(scheme, RandK):
        return rand_k(vector, draws.random(len(vector)), scheme.entries(len(vector)))
    if isinstance(scheme, Qsgd):
        uniform = draws.random(len(vector), dtype="float32")
        return quantized(vector, torch.from_numpy(uniform), scheme.levels, scheme.bucket)
    return called(scheme, COMPRESSORS, vector, draws)


def rand_k(vector: Tensor, uniform: npt.NDArray[np.float64], k: int) -> Tensor:
    """The k entries with the smallest draws, multiplied by P/k; the others become 0.

    Args:
        vector: shape (P,).
        uniform: shape (P,): draws from [0, 1).
        k: at most P.
    """
    chosen = torch.from_numpy(np.argpartition(uniform, k - 1)[:k])
    sent = torch.zeros_like(vector)
    sent[chosen] = vector[chosen] * (len(vector) / k)
    return sent


def top_k(vector: Tensor, k: int) -> Tensor:
    """The k entries that are largest in absolute value; the others become 0. Ties go to the first.

    NaN counts as the largest, so that the server sees it.
    """
    size = vector.abs().nan_to_num_(nan=math.inf, posinf=math.inf)
    least = size.topk(k).values[-1]
    chosen = size > least
    equal = torch.nonzero(size == least).flatten()
    chosen[equal[: k - int(chosen.sum())]] = True
    return torch.where(chosen, vector, torch.zeros_like(vector))


def quantized(vector: Tensor, uniform: Tensor, levels: int, bucket: int) -> Tensor:
    """QSGD's rounding: each entry goes to one of its two neighbouring levels, unbiased.

    Args:
        vector: shape (P,).
        uniform: shape (P,): draws from [0, 1).
        levels: s, the number of positive levels.
        bucket: consecutive entries that share a norm.
    """
    count = len(vector)
    bucket = min(bucket, count)
    padded = torch.nn.functional.pad(vector, (0, -count % bucket)).view(-1, bucket)
    # In double precision: in single, |v| s / ||v|| can be rounded to a wrong level.
    norms = padded.double().norm(dim=1, keepdim=True)
    scaled = padded.double().abs() * (levels / torch.where(norms > 0, norms, 1.0))
    low = scaled.floor()
    draws = torch.nn.functional.pad(uniform.double(), (0, -count % bucket), value=1.0)
    level = low + (draws.view(-1, bucket) < scaled - low)
    decoded: Tensor = (padded.sign() * level * (norms / levels)).float().view(-1)
    return decoded[:count]
