"""The table ``events.parquet``: its columns, and its rows in Arrow and in pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from afl_sim.recording.plain_arrays import numbers, texts
from afl_sim.recording.rows_ahead import Rows
from afl_sim.world.event_kinds import KIND_NAMES

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

COLUMNS: Final = (
    "time_us",
    "kind",
    "client",
    "task",
    "version",
    "base_version",
    "staleness",
    "bytes",
    "steps",
    "samples",
)
"""The integers of an event, in the order in which they are packed."""

DIGEST_COLUMNS: Final = COLUMNS[:7]
"""What the schedule digest covers: everything but sizes and amounts of work."""

NULLABLE: Final = ("client", "task", "base_version", "staleness", "steps", "samples")
"""Columns in which -1 means absent, and is stored as null."""

OPTIONAL: Final = (*NULLABLE, "context")
"""Columns of ``events.parquet`` in which a value may be absent."""

# Together a little smaller than delta encoding throughout, and as quick to write. Delta encoding is
# for columns that change by small steps only, since fastparquet misreads steps of 29 bits or more.
# In these four a step is smaller than the number of events.
_ENCODINGS: Final = {
    **dict.fromkeys(("seq", "task", "version", "base_version"), "DELTA_BINARY_PACKED"),
    **dict.fromkeys(("time_us", "client"), "PLAIN"),
}
_DICTIONARY: Final = ("staleness", "bytes", "steps", "samples")


def schema() -> pa.Schema:
    """The Arrow schema of ``events.parquet``."""
    import pyarrow as pa

    types = {name: pa.int64() for name in ("seq", *COLUMNS)}
    types["kind"] = pa.dictionary(pa.int8(), pa.string())
    types["context"] = pa.string()
    return pa.schema(types)


def parquet_writer(handle: BinaryIO) -> Any:
    """A writer of ``events.parquet``; its row groups are what is written at once."""
    import pyarrow.parquet as pq

    return pq.ParquetWriter(
        handle,
        schema(),
        compression="zstd",
        use_dictionary=["kind", "context", *_DICTIONARY],
        column_encoding=_ENCODINGS,
    )


def record_batch(rows: Rows, first: int, contexts: dict[int, str]) -> pa.RecordBatch:
    """Rows of the log as rows of the table.

    Args:
        rows: int64 (events, `COLUMNS`), -1 where a value is absent.
        first: the ``seq`` of the first one.
        contexts: by the index of a row; the others have none.
    """
    import pyarrow as pa

    count = len(rows)
    arrays: list[Any] = [numbers(np.arange(first, first + count, dtype=np.int64))]
    for index, name in enumerate(COLUMNS):
        values = np.ascontiguousarray(rows[:, index])
        if name == "kind":
            codes = numbers(values.astype(np.int8))
            arrays.append(pa.DictionaryArray.from_arrays(codes, texts(KIND_NAMES)))
        elif name in NULLABLE:
            arrays.append(numbers(values, values == -1))
        else:
            arrays.append(numbers(values))
    if contexts:
        arrays.append(texts([contexts.get(row) for row in range(count)]))
    else:
        arrays.append(pa.nulls(count, pa.string()))
    return pa.RecordBatch.from_arrays(arrays, schema=schema())


def to_frame(table: pa.Table) -> pd.DataFrame:
    """An event table, or columns of one, as pandas.

    ``kind`` is a category; absent integers are ``<NA>`` of ``Int64``.
    """
    import pandas as pd
    import pyarrow as pa

    names = table.column_names
    nullable = [name for name in NULLABLE if name in names]
    plain = [name for name in names if name != "kind" and name not in nullable]
    frame = table.select(plain).to_pandas(use_threads=False)
    for name in nullable:
        column = table.column(name)
        values = column.fill_null(0).to_numpy()
        absent = column.is_null().to_numpy()
        frame[name] = pd.arrays.IntegerArray(values.copy(), absent.copy())
    if "kind" in names:
        kinds = table.column("kind")
        if not pa.types.is_dictionary(kinds.type):
            kinds = kinds.dictionary_encode()
        kind = kinds.combine_chunks().to_pandas(use_threads=False)
        unknown = [name for name in kind.cat.categories if name not in KIND_NAMES]
        frame["kind"] = kind.cat.set_categories([*KIND_NAMES, *unknown])
    return frame[names]
