"""Normalisation of images: statistics of a pool, and their use.

The results have the same bits on every machine, whatever the arithmetic of a run: all sums are of
whole numbers and exact, and square roots are NumPy's, since PyTorch's are not rounded correctly on
every processor.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from afl_sim.lazy import Tensor, torch

_FIXED: Final = {
    "raw": (0.0, 1.0),
    "unit": (0.0, 255.0),
    "centred": (127.5, 255.0),
    "unit_norm": (0.0, 1.0),
}
"""Shift and scale of the normalizations that use no statistics."""


_BLOCK: Final = 1 << 20
"""Numbers that are summed at a time; sums are exact, so no result depends on it."""


def normalization(how: str, train: Tensor, pool: Tensor) -> tuple[Tensor, Tensor]:
    """Shift and scale, in units of the 8-bit source: x becomes (x - shift) / scale.

    Sums of 8-bit numbers and of their squares are exact in float64, so the result depends neither
    on the number of threads nor on the machine.

    Args:
        how: standard | unit | centred | raw | pixelwise | unit_norm, as in `DataSpec.normalize`.
            unit_norm changes nothing here: see `of_unit_norm`.
        train: uint8 (samples, C, H, W), the published training set.
        pool: uint8 (samples, C, H, W), the samples that clients get.

    Returns:
        Two float32 tensors of shape (1, C, 1, 1), or (1, C, H, W) for pixelwise.
    """
    if how in _FIXED:
        shift, scale = _FIXED[how]
        return torch.full((1, 1, 1, 1), shift), torch.full((1, 1, 1, 1), scale)
    if how == "pixelwise":
        mean, deviation = _moments(pool, (0,))
        return mean.float(), (deviation + 0.001 * 255).float()
    mean, deviation = _moments(train, (0, 2, 3))
    return mean.float(), torch.where(deviation > 0, deviation, 255.0).float()


def _moments(images: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in float64; dimensions that are summed over get length 1."""
    total = torch.zeros(1, dtype=torch.float64)
    squares = torch.zeros(1, dtype=torch.float64)
    for block in images.split(max(1, _BLOCK // max(1, images[:1].numel()))):
        wide = block.double()
        total = total + wide.sum(over, keepdim=True)
        squares = squares + wide.square_().sum(over, keepdim=True)
    count = images.numel() // total.numel()
    mean = total / count
    return mean, _root((squares / count - mean.square()).clamp_min(0))


def _root(x: Tensor) -> Tensor:
    return torch.from_numpy(np.sqrt(x.numpy()))


def normalized(images: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """8-bit images as float32 ``(x - shift) / scale``."""
    return images.float().sub_(shift).div_(scale)


def of_unit_norm(images: Tensor) -> Tensor:
    """Each image, of whole numbers up to 255, over its L2 norm; a black one stays black."""
    for block in images.split(4096):
        norms = _root(block.double().square_().sum((1, 2, 3), keepdim=True)).float()
        block.div_(torch.where(norms > 0, norms, 1.0))
    return images
