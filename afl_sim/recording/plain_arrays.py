"""Arrow arrays of NumPy's numbers and of texts, made of their memory.

``pyarrow.array`` imports pandas to see whether it was given one of its columns, which takes longer
than a short run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def numbers(values: npt.NDArray[Any], absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """An array of the same numbers; their memory is shared, so nobody may write to it.

    Args:
        values: shape (n,), with neighbouring numbers.
        absent: shape (n,), which of them are null; None for none.
    """
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [_there(absent), pa.py_buffer(values)])


def texts(values: Sequence[str | None]) -> pa.Array:
    """An array of texts, null where a value is None."""
    import pyarrow as pa

    encoded = [b"" if value is None else value.encode() for value in values]
    ends = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(each) for each in encoded], out=ends[1:])
    absent = np.array([value is None for value in values], np.bool_)
    buffers = [_there(absent), pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def lists(rows: npt.NDArray[np.int64]) -> pa.Array:
    """An array of lists, one for each row of shape (n, m)."""
    import pyarrow as pa

    ends = np.arange(len(rows) + 1, dtype=np.int32) * np.int32(rows.shape[1])
    return pa.ListArray.from_arrays(numbers(ends), numbers(np.ascontiguousarray(rows.ravel())))


def integers_of(column: pa.ChunkedArray | pa.Array, absent: int) -> npt.NDArray[np.int64]:
    """The whole numbers of a column, shape (n,).

    Args:
        column: of whole numbers.
        absent: stands for a null.
    """
    chunks = getattr(column, "chunks", [column])
    parts = [_integers(chunk, absent) for chunk in chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.int64), *parts])


def _integers(chunk: pa.Array, absent: int) -> npt.NDArray[np.int64]:
    if not len(chunk):
        return np.empty(0, np.int64)
    there, data = chunk.buffers()
    values = np.frombuffer(data, f"i{chunk.type.bit_width // 8}")
    here = slice(chunk.offset, chunk.offset + len(chunk))
    if not chunk.null_count:
        return values[here].astype(np.int64, copy=False)
    bits = np.unpackbits(np.frombuffer(there, np.uint8), bitorder="little")[here]
    return np.where(bits, values[here], absent).astype(np.int64, copy=False)


def _there(absent: npt.NDArray[np.bool_] | None) -> pa.Buffer | None:
    """The bits that say which values are there; None if all are."""
    import pyarrow as pa

    if absent is None or not absent.any():
        return None
    return pa.py_buffer(np.packbits(~absent, bitorder="little"))
