"""Reading the files of a run folder: a missing or damaged file gives one clear error."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from afl_sim.errors import RunFolderError
from afl_sim.machine import physical_memory
from afl_sim.recording.files import os_reason
from afl_sim.recording.folder import MANIFEST, MODEL_ORDER, PERSONAL_CLIENTS, SCENARIO, SUMMARY
from afl_sim.scenario.yaml.nodes import Unreadable, compose, plain
from afl_sim.scenario.yaml.text import MAX_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: not JSON ({_line(error)})") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected an object, found {_kind(content)}")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, of the size and depth that an input scenario may have."""
    try:
        root, misreadings = compose(_read_text(path), str(path), quickly=True)
    except Unreadable as error:
        misreadings = error.misreadings
    if misreadings:
        line = misreadings[0].where.rpartition(":")[2]
        raise RunFolderError(f"{path} is damaged: line {line}: {misreadings[0].message}")
    content = plain(root)
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected a mapping, found {_kind(content)}")
    return content


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
        raise RunFolderError(_missing(path))
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
        raise RunFolderError(_missing(path))
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
        raise RunFolderError(_missing(path))
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


def read_model(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a model file by name, in the model's own order."""
    if not path.exists():
        raise RunFolderError(f"{path} is missing: only a finished run with training has a model")
    return _read_tensors(path)[0]


def read_personal(path: Path) -> tuple[list[int], dict[str, npt.NDArray[np.generic]]]:
    """The clients and the arrays of ``personal.safetensors``; see `RunFolder.write_personal`."""
    if not path.exists():
        raise RunFolderError(
            f"{path} is missing: only a finished run in which clients keep parts of the model for "
            "themselves has such a file"
        )
    arrays, header = _read_tensors(path)
    try:
        clients = [int(client) for client in json.loads(header[PERSONAL_CLIENTS])]
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error
    if any(len(array) != len(clients) + 1 for array in arrays.values()):
        raise RunFolderError(f"{path} is damaged: it has other rows than clients")
    return clients, arrays


def _read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[np.generic]], dict[str, str]]:
    """The arrays of a file by name, in the order in which they were given, and its metadata."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    _require_regular(path)
    try:
        content = path.read_bytes()
        arrays = load(content)
        names, metadata = _model_order(content)
        return {name: arrays[name] for name in names}, metadata
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {os_reason(error)}") from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error


@contextmanager
def _table_at(path: Path) -> Iterator[BinaryIO]:
    """A Parquet file, opened here since pyarrow takes only paths that are UTF-8.

    It must be read in this thread: a thread of Arrow's that lets go of a Python file while the
    interpreter ends aborts the process.

    Raises:
        RunFolderError: it cannot be read.
    """
    _require_regular(path)
    try:
        with path.open("rb") as file:
            yield file
    except RunFolderError:
        raise
    except MemoryError as error:
        raise RunFolderError(f"cannot read {path}: not enough memory") from error
    except Exception as error:  # Arrow's, and plain ones that it lets out
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error


def _require_table(
    path: Path, schema: pa.Schema, later: Collection[str] = (), most_rows: int | None = None
) -> list[str]:
    if not path.exists():
        raise RunFolderError(_missing(path))
    return check_columns(path, schema, later, most_rows)


def _require_regular(path: Path) -> None:
    """Refuse files that cannot be read to an end, such as pipes."""
    if path.exists() and not path.is_file():
        raise RunFolderError(f"{path} is damaged: it is not a regular file")


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


def _model_order(content: bytes) -> tuple[list[str], dict[str, str]]:
    """The names of a file's arrays, in the order in which they were given, and its metadata."""
    size = int.from_bytes(content[:8], "little")  # of the header, as the format has it
    header = json.loads(content[8 : 8 + size])
    metadata: dict[str, str] = header.pop("__metadata__", {})
    names = json.loads(metadata.get(MODEL_ORDER, "null"))
    return sorted(header) if names is None else [str(name) for name in names], metadata


def _read_text(path: Path) -> str:
    _require_regular(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunFolderError(f"{path} is damaged: it is larger than {MAX_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(_missing(path)) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"{path} is damaged: it is not UTF-8 text") from error


def _missing(path: Path) -> str:
    folder = path.parent
    if (folder / SUMMARY).exists() or not (folder / SCENARIO).exists():
        return f"{path} is missing: the run folder is incomplete"
    if path.name == MANIFEST:
        return (
            f"{path} is missing: the run cannot be continued without it; `run --force` repeats "
            "the run"
        )
    return (
        f"{path} is missing: the run is unfinished; `afl-sim resume {folder}` continues it, "
        "unless another process is running it"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
