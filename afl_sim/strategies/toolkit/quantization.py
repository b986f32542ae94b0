"""Quantisation on a lattice, decoded beside a vector that the receiver has."""

from __future__ import annotations

import torch
from torch import Tensor

from afl_sim.streams import Streams


def dither(seed: int, purpose: str, client: int, size: int) -> Tensor:
    """Uniform numbers in [0, 1), shape (size,), addressed by seed, purpose and client."""
    draws = Streams(seed).generator(purpose, client).random(size)
    return torch.from_numpy(draws)


def quantized(vector: Tensor, key: Tensor, step: float, bits: int, dither: Tensor) -> Tensor:
    """What a receiver that has ``key`` makes of ``vector``, sent in ``bits`` bits an element.

    Davies, Gurunathan, Moshrefi, Ashkboos, Alistarh, "New Bounds For Distributed Mean Estimation
    and Variance Reduction", ICLR 2021, with the lattice of multiples of ``step``: elements are
    rounded to it, up or down at random so that the mean is right, and sent modulo ``2^bits``; the
    receiver takes the point of that residue which is nearest to its key. The result is within
    ``step`` of the vector where the key is within ``(2^(bits - 1) - 1) step`` of it, and wrong
    elsewhere.

    Args:
        vector, key: shape (P,).
        dither: shape (P,): uniform numbers in [0, 1).
    """
    count = 2**bits
    sent = torch.floor(vector.double() / step + dither)
    near = torch.round(key.double() / step)
    offset = torch.remainder(sent - near + count // 2, count) - count // 2
    decoded: Tensor = (near + offset) * step
    return decoded.to(vector.dtype)
