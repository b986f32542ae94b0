"""Encoded images, decoded and put into one array.

Pillow decodes them, as it does for torchvision's data sets: torchvision's own decoders are to be
removed. It resizes and converts with whole numbers, so the results have the same bits everywhere.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.columns import Contents
from afl_sim.learning.data.sources.source import Array, bad

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Of the files that torchvision's ImageFolder takes for images."""

_THREADS = 4
_TOGETHER = 256  # images that wait for one another
_GREY = ("1", "L", "LA", "La")
_DEEP = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")

Blame = Callable[[int, str], DataError]
"""Makes the error for an image: its number, and what is wrong with it."""


def decode_images(
    encoded: Contents,
    blame: Blame,
    size: tuple[int, int] | None = None,
    grey: bool = False,
    channels: int = 1,
) -> Array:
    """Decode images: PNG, JPEG and what else Pillow knows.

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
    from PIL import Image  # which most data sets do not need

    try:
        with Image.open(io.BytesIO(content)) as found:
            if found.mode in _DEEP:
                raise blame(row, f"an image of mode {found.mode}; expected 8 bits for each channel")
            has_colours = found.mode not in _GREY and not grey
            picture = found.convert("RGB" if has_colours else "L")
    except DataError:
        raise
    except Exception as error:  # a damaged file may raise any exception
        raise blame(row, "it cannot be decoded; expected an image such as PNG or JPEG") from error
    if size is not None:
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return _channels_first(np.array(picture))


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
