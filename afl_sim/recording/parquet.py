"""Reading the Parquet files of a run folder, whole or part by part."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from afl_sim.errors import RunFolderError
from afl_sim.machine import physical_memory
from afl_sim.recording.contents import as_line, missing, require_regular

if TYPE_CHECKING:
    import pyarrow as pa


def check_columns(
    path: Path, schema: pa.Schema, later: Collection[str] = (), most_rows: int | None = None
) -> list[str]:
    """Check a Parquet file's footer.

    Args:
        path: the file.
        schema: the columns that it has to have, in order.
        later: those of them that files of older versions do not have.
        most_rows: how many rows it may have; None: any number.

    Returns:
        The columns of ``schema`` that it has.

    Raises:
        RunFolderError: it lacks columns, they are of other types, or it has too many rows.
    """
    import pyarrow.parquet as pq

    with _table_at(path) as content, pq.ParquetFile(content) as file:
        found, rows = file.schema_arrow, file.metadata.num_rows
    names = found.names
    absent = [name for name in schema.names if name not in (*names, *later)]
    if absent:
        raise RunFolderError(f"{path} is damaged: it lacks the columns {', '.join(absent)}")
    for field in schema:
        if names.count(field.name) > 1:
            raise RunFolderError(f"{path} is damaged: it has two columns {field.name}")
        if field.name not in names:
            continue
        kind = found.field(field.name).type
        if not _can_become(kind, field.type):
            raise RunFolderError(
                f"{path} is damaged: the column {field.name} is {kind}; expected {field.type}"
            )
    if most_rows is not None and rows > most_rows:
        raise RunFolderError(
            f"{path} is damaged: it has {rows:,} rows; expected at most {most_rows:,}"
        )
    return [name for name in schema.names if name in names]


def count_rows(path: Path) -> int:
    """How many rows a Parquet file has, by its footer.

    Raises:
        RunFolderError: it is missing or damaged.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise RunFolderError(missing(path))
    with _table_at(path) as content, pq.ParquetFile(content) as file:
        rows: int = file.metadata.num_rows
    return rows


def columns_at(path: Path) -> pa.Schema:
    """The columns of a Parquet file.

    Raises:
        RunFolderError: it is missing, damaged, or has two columns of the same name.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise RunFolderError(missing(path))
    with _table_at(path) as content, pq.ParquetFile(content) as file:
        found: pa.Schema = file.schema_arrow
    twice = [name for name in dict.fromkeys(found.names) if found.names.count(name) > 1]
    if twice:
        raise RunFolderError(f"{path} is damaged: it has two columns {twice[0]}")
    return found


def read_table(
    path: Path,
    schema: pa.Schema,
    optional: Collection[str],
    later: Collection[str] = (),
    most_rows: int | None = None,
) -> pa.Table:
    """The columns of ``schema`` of a Parquet file.

    Args:
        path: the file.
        schema: the columns.
        optional: those in which a value may be absent.
        later: as for `check_columns`, and so is ``most_rows``.

    Raises:
        RunFolderError: it is missing or damaged, or does not fit in this machine's memory.
    """
    import pyarrow.parquet as pq

    columns = _require_table(path, schema, later, most_rows)
    rows, memory = count_rows(path), physical_memory()
    if memory is not None and 8 * rows * len(schema) > memory:
        raise RunFolderError(f"{path} has {rows:,} rows, more than this machine's memory can hold")
    with _table_at(path) as content, pq.ParquetFile(content, pre_buffer=False) as file:
        table = file.read(columns=columns, use_threads=False)
    return _fitted(table, schema, optional, path)


def first_rows(tables: Iterable[pa.Table], count: int) -> Iterator[pa.Table]:
    """The first ``count`` rows of tables that come part by part; no further part is read."""
    if count <= 0:
        return
    for table in tables:
        yield table.slice(0, count)
        count -= len(table)
        if count <= 0:
            return


def last_value(path: Path, column: str) -> int | None:
    """The last value of a column of whole numbers in a Parquet file; None without rows.

    Raises:
        RunFolderError: it is missing or damaged.
    """
    import pyarrow.parquet as pq

    if not path.exists():
        raise RunFolderError(missing(path))
    with _table_at(path) as content, pq.ParquetFile(content, pre_buffer=False) as file:
        for group in reversed(range(file.num_row_groups)):
            values = file.read_row_group(group, columns=[column], use_threads=False).column(0)
            if len(values):
                return int(values[-1].as_py())
    return None


def batches_of(
    path: Path, schema: pa.Schema, optional: Collection[str], rows: int
) -> Iterator[pa.Table]:
    """The columns of ``schema`` of a Parquet file, a few rows at a time, in order.

    Args:
        path: the file.
        schema: the columns.
        optional: those in which a value may be absent.
        rows: the largest number of rows of a table.

    Raises:
        RunFolderError: the file is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _require_table(path, schema)
    with _table_at(path) as content, pq.ParquetFile(content, pre_buffer=False) as file:
        found = file.iter_batches(batch_size=rows, columns=columns, use_threads=False)
        while (batch := next(found, None)) is not None:
            yield _fitted(pa.Table.from_batches([batch]), schema, optional, path)


@contextmanager
def _table_at(path: Path) -> Iterator[BinaryIO]:
    """A Parquet file, opened here since pyarrow takes only paths that are UTF-8.

    It must be read in this thread: a thread of Arrow's that lets go of a Python file while the
    interpreter ends aborts the process.

    Raises:
        RunFolderError: it cannot be read.
    """
    require_regular(path)
    try:
        with path.open("rb") as file:
            yield file
    except RunFolderError:
        raise
    except MemoryError as error:
        raise RunFolderError(f"cannot read {path}: not enough memory") from error
    except Exception as error:  # Arrow's, and plain ones that it lets out
        raise RunFolderError(f"{path} is damaged: {as_line(error)}") from error


def _require_table(
    path: Path, schema: pa.Schema, later: Collection[str] = (), most_rows: int | None = None
) -> list[str]:
    if not path.exists():
        raise RunFolderError(missing(path))
    return check_columns(path, schema, later, most_rows)


def _can_become(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column that another tool may have written anew holds values of the wanted kind."""
    from pyarrow import types

    if types.is_null(found):
        return True
    if types.is_dictionary(found):
        found = found.value_type
    if types.is_dictionary(wanted):
        wanted = wanted.value_type
    if types.is_string(wanted):
        return bool(types.is_string(found) or types.is_large_string(found))
    if types.is_list(wanted):
        lists = types.is_list(found) or types.is_large_list(found)
        return bool(lists and _can_become(found.value_type, wanted.value_type))
    if types.is_integer(wanted):
        return bool(types.is_integer(found))
    return bool(types.is_integer(found) or types.is_floating(found))


def _fitted(table: pa.Table, schema: pa.Schema, optional: Collection[str], path: Path) -> pa.Table:
    """The table in the types of ``schema``; of dictionaries any will do."""
    import pyarrow as pa

    fields = []
    for field in (schema.field(name) for name in table.column_names):
        column = table.column(field.name)
        if field.name not in optional and column.null_count:
            raise RunFolderError(f"{path} is damaged: values are missing in {field.name}")
        dictionary = pa.types.is_dictionary(field.type)
        fields.append(pa.field(field.name, column.type if dictionary else field.type))
    return table.cast(pa.schema(fields))
