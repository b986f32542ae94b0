"""The samples of each client: ``partition.parquet``, one row per client."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from afl_sim.recording.files import write_bytes
from afl_sim.recording.plain_arrays import lists, numbers

if TYPE_CHECKING:
    import numpy.typing as npt
    import pyarrow as pa

MOST_CLIENTS: Final = 2000
"""Of more clients only the first are written: they are drawn alike."""


def schema() -> pa.Schema:
    """The Arrow schema of ``partition.parquet``."""
    import pyarrow as pa

    return pa.schema({"client": pa.int64(), "samples": pa.int64(), "labels": pa.list_(pa.int64())})


def write_partition(path: Path, counts: npt.NDArray[np.int64]) -> None:
    """Write how many samples of each label the clients hold.

    Args:
        path: the file; it appears whole.
        counts: as for `partition_file`.

    Raises:
        AflSimError: the file cannot be written; nothing is left behind.
    """
    write_bytes(path, partition_file(counts))


def partition_file(counts: npt.NDArray[np.int64]) -> bytes:
    """The content of ``partition.parquet``.

    Args:
        counts: shape (clients, classes), of the clients from 0 on.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    counts = counts.astype(np.int64, copy=False)
    clients = np.arange(len(counts), dtype=np.int64)
    columns = [numbers(clients), numbers(counts.sum(axis=1)), lists(counts)]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(columns, schema=schema()), content, compression="zstd")
    return content.getvalue()
