"""Encoded images, decoded by torchvision and put into one array.

Pillow resizes and converts them: it computes with whole numbers, so the results have the same bits
on every machine.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.columns import Contents
from afl_sim.learning.data.sources.source import Array, bad

_THREADS = 4
_TOGETHER = 256  # images that wait for one another

Blame = Callable[[int, str], DataError]
"""Makes the error for an image: its number, and what is wrong with it."""


def decode_images(
    encoded: Contents,
    blame: Blame,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    channels: int = 1,
) -> Array:
    """Decode images: PNG, JPEG and what else torchvision or Pillow know.

    Args:
        encoded: the content of one image file for each sample.
        blame: makes the error for an image.
        size: height and width to which all are resized; None if all must have one size.
        grey: whether all are converted to one channel.
        channels: the least number of channels, 1 or 3.

    Returns:
        uint8 (n, channels, height, width); three channels if one of the images has colours.

    Raises:
        DataError: an image cannot be decoded, or has another size than the first.
    """
    found: Array | None = None

    def decoded(row: int) -> Array:
        return _decoded(encoded[row], row, blame, size, grey)

    with ThreadPoolExecutor(_THREADS) as pool:
        for begin in range(0, len(encoded), _TOGETHER):
            rows = range(begin, min(begin + _TOGETHER, len(encoded)))
            for row, image in zip(rows, pool.map(decoded, rows), strict=True):
                if found is None:
                    found = np.empty((len(encoded), channels, *image.shape[1:]), np.uint8)
                if image.shape[1:] != found.shape[2:]:
                    raise blame(
                        row,
                        f"an image of {image.shape[1]} x {image.shape[2]} pixels after one of "
                        f"{found.shape[2]} x {found.shape[3]}; expected one size, or "
                        "`size: [height, width]`",
                    )
                if len(image) > found.shape[1]:
                    found = np.repeat(found, len(image), axis=1)
                found[row] = image  # a grey one has the same numbers in all channels
    return np.empty((0, channels, *(size or (1, 1))), np.uint8) if found is None else found


def _decoded(
    content: bytes, row: int, blame: Blame, size: tuple[int, int] | None, grey: bool
) -> Array:
    """uint8 (1 or 3, height, width), without a channel of opacity."""
    image = _by_torchvision(content, row, blame)
    if image is None:
        image = _by_pillow(content, row, blame)
    resized = size is not None and image.shape[1:] != size
    converted = grey and len(image) == 3
    if not (resized or converted):
        return image
    picture = Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))
    if converted:
        picture = picture.convert("L")
    if size is not None and resized:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return _channels_first(np.array(picture))


def _by_torchvision(content: bytes, row: int, blame: Blame) -> Array | None:
    """None if torchvision does not decode it."""
    if not content:
        return None
    data = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    try:
        image = decode_image(data, ImageReadMode.UNCHANGED)
        if len(image) in (2, 4):
            image = decode_image(data, ImageReadMode.GRAY if len(image) == 2 else ImageReadMode.RGB)
    except (RuntimeError, ValueError):
        return None
    if image.dtype != torch.uint8:
        raise blame(row, f"an image of {image.dtype}; expected 8 bits for each channel")
    return np.asarray(image.numpy())


def _by_pillow(content: bytes, row: int, blame: Blame) -> Array:
    try:
        with Image.open(io.BytesIO(content)) as found:
            grey = found.mode in ("1", "L", "LA")
            return _channels_first(np.array(found.convert("L" if grey else "RGB")))
    except Exception as error:  # a damaged file may raise any exception
        raise blame(row, "it cannot be decoded; expected an image such as PNG or JPEG") from error


def _channels_first(pixels: Array) -> Array:
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


class ImageFiles:
    """The contents of files, read when they are asked for."""

    def __init__(self, places: Sequence[Path], key: str) -> None:
        self._places = places
        self._key = key

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, row: int) -> bytes:
        place = self._places[row]
        try:
            return place.read_bytes()
        except OSError as error:
            raise bad(place, self._key, f"cannot be read: {error.strerror}") from error
