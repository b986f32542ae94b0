"""The parts of a residual network."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut.

    Args:
        before, after: channels of the input and of the output.
        stride: 2 halves the sides of the maps.
        norms: the normalizations after the two convolutions.
    """

    def __init__(
        self, before: int, after: int, stride: int, norms: tuple[nn.Module, nn.Module]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm1, self.norm2 = norms
        self._stride = stride
        self._added = after - before

    def forward(self, x: Tensor) -> Tensor:
        """Maps of shape (N, before, H, W) to (N, after, H / stride, W / stride), rounded up."""
        out = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        if self._stride > 1 or self._added:
            x = x[:, :, :: self._stride, :: self._stride]
            half = self._added // 2
            x = F.pad(x, (0, 0, 0, 0, half, self._added - half))
        return F.relu(out + x)


class MeanOfMap(nn.Module):
    """The mean of each channel: (N, C, H, W) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        """The means, of shape (N, C)."""
        return x.mean((2, 3))
