"""Quantisation on a lattice; the receiver decodes with a vector of its own."""

from __future__ import annotations

from afl_sim.lazy import Tensor, torch
from afl_sim.streams import Streams


def dither(seed: int, purpose: str, client: int, size: int) -> Tensor:
    """Uniform numbers in [0, 1), shape (size,), determined by seed, purpose and client."""
    draws = Streams(seed).generator(purpose, client).random(size)
    return torch.from_numpy(draws)


def quantized(
    vector: Tensor, key: Tensor, step: float, bits: int, dither: Tensor | None = None
) -> Tensor:
    """What a receiver that has ``key`` decodes of ``vector``, sent with ``bits`` bits per element.

    Davies, Gurunathan, Moshrefi, Ashkboos, Alistarh, "New Bounds For Distributed Mean Estimation
    and Variance Reduction", ICLR 2021, with the lattice of multiples of ``step``. Each element is
    rounded to the lattice and sent modulo ``2^bits``. The receiver takes the lattice point of that
    residue which is nearest to its key. An element of the result is within ``step`` of the vector's
    (``step / 2`` without a dither) if the key's is within ``(2^(bits - 1) - 1) step`` of it;
    otherwise it is wrong.

    Args:
        vector: shape (P,): what is sent.
        key: shape (P,): what the receiver has.
        step: the distance between lattice points.
        bits: bits per element.
        dither: shape (P,): uniform numbers in [0, 1), with which elements are rounded up or down at
            random, so that the mean is right; None rounds to the nearest lattice point.
    """
    count = 2**bits
    scaled = vector.double() / step
    sent = torch.round(scaled) if dither is None else torch.floor(scaled + dither)
    near = torch.round(key.double() / step)
    offset = torch.remainder(sent - near + count // 2, count) - count // 2
    decoded: Tensor = (near + offset) * step
    return decoded.to(vector.dtype)
