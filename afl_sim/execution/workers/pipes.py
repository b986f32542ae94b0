"""Objects through a pipe, with as few copies as can be.

Arrays are not pickled with the rest: each is sent from where it lies, and received where it stays.
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Parcel:
    """An object on its way.

    Attributes:
        note: a number that can be read without unpacking.
        packed: the pickled object without its arrays.
        parts: the arrays' memory; once received, it may be written to.
    """

    note: int | None
    packed: bytes
    parts: Sequence[memoryview]

    def unpack(self) -> Any:
        """The object; imports whatever that needs."""
        return pickle.loads(self.packed, buffers=self.parts)


def pack(content: Any, note: int | None = None) -> Parcel:
    """Make an object ready for sending; its arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    return Parcel(note, packed, [buffer.raw() for buffer in buffers])


def send(pipe: Connection, parcel: Parcel) -> None:
    """Send a parcel, and wait until all of it is on its way.

    Raises:
        OSError: nobody is there.
    """
    sizes = [part.nbytes for part in parcel.parts]
    pipe.send_bytes(pickle.dumps((parcel.note, parcel.packed, sizes)))
    for part in parcel.parts:
        if part.nbytes:
            pipe.send_bytes(part)


def receive(pipe: Connection) -> Parcel:
    """Wait for a parcel.

    Raises:
        EOFError, OSError: the sender is gone, perhaps in the middle of it.
    """
    note, packed, sizes = pickle.loads(pipe.recv_bytes())
    parts = [np.empty(size, np.uint8).data for size in sizes]  # not filled with zeros first
    for part in parts:
        if part.nbytes:
            pipe.recv_bytes_into(part)
    return Parcel(note, packed, parts)
