"""Sends objects through a pipe with as few copies as possible.

Arrays are not pickled with the rest: each is sent from its own memory, and received into its final
memory.
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
    """A packed object.

    Attributes:
        note: a number that can be read without unpacking.
        packed: the pickled object without its arrays.
        parts: the memory of the arrays; it can be written to once it is received.
    """

    note: int | None
    packed: bytes
    parts: Sequence[memoryview]

    def unpack(self) -> Any:
        """The object; the modules that it needs are imported."""
        return pickle.loads(self.packed, buffers=self.parts)


def pack(content: Any, note: int | None = None) -> Parcel:
    """Pack an object for sending; its arrays are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    packed = pickle.dumps(content, protocol=5, buffer_callback=buffers.append)
    return Parcel(note, packed, [buffer.raw() for buffer in buffers])


def send(pipe: Connection, parcel: Parcel) -> None:
    """Send a parcel, and wait until all of it is written to the pipe.

    Raises:
        OSError: the receiver is gone.
    """
    sizes = [part.nbytes for part in parcel.parts]
    pipe.send_bytes(pickle.dumps((parcel.note, parcel.packed, sizes)))
    for part in parcel.parts:
        if part.nbytes:
            pipe.send_bytes(part)


def receive(pipe: Connection) -> Parcel:
    """Wait for a parcel.

    Raises:
        EOFError, OSError: the sender is gone, perhaps in the middle of a parcel.
    """
    note, packed, sizes = pickle.loads(pipe.recv_bytes())
    parts = [np.empty(size, np.uint8).data for size in sizes]  # not filled with zeros first
    for part in parts:
        if part.nbytes:
            pipe.recv_bytes_into(part)
    return Parcel(note, packed, parts)
