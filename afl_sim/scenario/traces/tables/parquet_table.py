"""Tables in Parquet. The footer is checked before any row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from afl_sim.scenario.traces.instants import Instant
from afl_sim.scenario.traces.tables import table as limits
from afl_sim.scenario.traces.tables.table import Table, TableProblems, too_many_rows

_AT_ONCE = 1 << 16  # rows


class ParquetTable(Table):
    """A table in Parquet.

    Args:
        path: the file.
        content: its bytes.
        sha256: of those.
        most: the most bytes that the columns of one reading may have, unpacked.

    Raises:
        TableProblems: the file is not Parquet, promises too many rows, or has no proper names.
    """

    def __init__(self, path: Path, content: bytes, sha256: str, most: int) -> None:
        self._content = content
        self._most = most
        self._dates: set[str] = set()
        with _readable(path):
            self._file = self._open([])
            names = self._file.schema_arrow.names
        super().__init__(path, sha256, names, str(path))
        if self._file.metadata.num_rows > limits.MAX_ROWS:
            raise too_many_rows(path, self._file.metadata.num_rows)
        self.refuse_names()

    def rows(self, names: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
        """See `Table.rows`."""
        if not self._file.metadata.num_rows:
            return
        with _readable(self.path):
            texts = self._texts(names)
            self._refuse_large(names)
            # A text that stands in many rows is held once: a small file stays small.
            file = self._open(texts) if texts else self._file
            row = 0
            for batch in file.iter_batches(_AT_ONCE, columns=list(names), use_threads=False):
                columns = [
                    _instants(batch.column(name)) if name in self._dates else _cells(batch[name])
                    for name in names
                ]
                for cells in zip(*columns, strict=True):
                    row += 1
                    yield row, cells

    def _open(self, dictionary: list[str]) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        return pq.ParquetFile(pa.BufferReader(self._content), read_dictionary=dictionary)

    def _texts(self, names: Sequence[str]) -> list[str]:
        """Which columns hold text. Columns that hold neither text nor numbers are refused."""
        schema = self._file.schema_arrow
        kinds = {name: schema.field(name).type for name in names}
        self._dates = {name for name in self.times if name in kinds and _is_date(kinds[name])}
        wrong = {
            name: what
            for name, kind in kinds.items()
            if name not in self._dates and (what := _no_numbers(kind))
        }
        if wrong:
            raise TableProblems(
                [
                    f"{self.path}: column {name!r} holds {what} ({kinds[name]}); expected numbers"
                    for name, what in wrong.items()
                ]
            )
        return [name for name, kind in kinds.items() if _is_text(kind)]

    def _refuse_large(self, names: Sequence[str]) -> None:
        metadata = self._file.metadata
        size = 0
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if column.path_in_schema in names:
                    size += column.total_uncompressed_size
        if size > self._most:
            raise TableProblems(
                [
                    f"{self.path}: {size / 2**20:,.0f} MiB when unpacked; expected at most "
                    f"{self._most / 2**20:,.0f}"
                ]
            )


class _readable:
    """Makes what Arrow raises about a file one `TableProblems`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException | OSError | ValueError):
            what = " ".join(str(error).split())
            raise TableProblems([f"{self._path} is not readable as Parquet: {what}"]) from None


def _cells(column: Any) -> list[Any]:
    if not hasattr(column, "dictionary"):
        return list(column.to_pylist())
    # Each text becomes one object, however many rows it stands in.
    values = [
        text.strip() if isinstance(text, str) else text for text in column.dictionary.to_pylist()
    ]
    return [None if i is None else values[i] for i in column.indices.to_pylist()]


def _is_date(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _instants(column: Any) -> list[Any]:
    """The cells of a column of dates, as `Instant`; None where there is none."""
    import pyarrow as pa

    zoned = getattr(column.type, "tz", None) is not None
    whole = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)), safe=False)
    numbers = whole.cast(pa.int64()).to_pylist()
    return [None if us is None else Instant(us, zoned) for us in numbers]


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return str(kind) in ("string", "large_string", "string_view")


def _no_numbers(kind: Any) -> str | None:
    """What a column of this type holds, if it holds no numbers and no text."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return None
    if _is_text(kind):
        return None
    if pa.types.is_boolean(kind):
        return "true and false"
    if pa.types.is_temporal(kind):  # a duration too: numbers have one unit, seconds
        return "dates or times"
    if pa.types.is_null(kind):
        return "nothing"
    return "lists or blocks" if pa.types.is_nested(kind) else "no numbers"
