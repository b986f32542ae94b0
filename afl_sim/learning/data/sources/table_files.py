"""Tables: Parquet, CSV, Arrow files, and the folders that Hugging Face datasets are saved to.

Columns are read with pyarrow itself. The formats of the library ``datasets`` change types: whole
numbers with a missing one become float32 there.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from afl_sim.learning.data.sources.columns import Column, Encoded, Ragged, Values, Words
from afl_sim.learning.data.sources.source import bad

_WHOLE_NUMBER = "^[+-]?[0-9]+$"


class ArrowTable:
    """A table in a file of one of these formats."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        try:
            self._table = _opened(path)
            self.names: tuple[str, ...] = tuple(self._table.column_names)
        except (OSError, ValueError, pa.ArrowException) as error:
            why = getattr(error, "strerror", None) or str(error)
            form = path.suffix.removeprefix(".")
            raise bad(path, key, f"cannot be read: {why}; expected a whole {form} file") from error
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            raise bad(path, key, f"has the column name '{twice[0]}' twice; expected each name once")

    def read(self, name: str, key: str) -> Column:
        """The column of this name.

        Raises:
            DataError: a value is missing, or the column has a type that is not known here.
        """
        empty = Column(self.path, name, np.empty(0))
        try:
            found = self._table.column(name)
            if key == "client" and self.path.suffix == ".csv":
                found = _ids(self.path, name, found)
            if isinstance(found.type, pa.ExtensionType):
                found = pa.chunked_array([chunk.storage for chunk in found.chunks])
            array = _whole(found)
            missing = _first_null(array)
            if missing is not None:
                raise empty.error(key, "the value is missing; expected one in every row", missing)
            values = _values(array)
        except (TypeError, ValueError, pa.ArrowException) as error:
            raise empty.error(key, str(error)) from error
        listed = pa.types.is_list(array.type) or pa.types.is_large_list(array.type)
        listed = listed or pa.types.is_fixed_size_list(array.type)
        return Column(self.path, name, values, listed)

    def is_number(self, name: str) -> bool:
        """Whether a column has one number, or true or false, in each row."""
        kind = self._table.schema.field(name).type
        return bool(
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        )


def saved_files(folder: Path, key: str) -> list[Path]:
    """The Arrow files of a folder that ``save_to_disk`` wrote, in their order.

    Raises:
        DataError: it is no such folder, or has several splits.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = sorted(path.name for path in folder.iterdir() if path.is_dir())
        example = folder / (splits[0] if splits else "train")
        raise bad(
            folder, key, f"has the splits {', '.join(splits)}; expected one, such as {example}"
        )
    try:
        state = json.loads((folder / "state.json").read_text("utf-8"))
        names = [str(file["filename"]) for file in state["_data_files"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad(
            folder,
            key,
            "is a folder without a readable state.json; expected a file, a pattern that matches "
            "files, or a folder that save_to_disk wrote",
        ) from error
    if state.get("_indices_data_files") or not names:
        raise bad(folder, key, "lists no data files of its own; save it again with save_to_disk")
    return [folder / Path(name).name for name in names]


def _opened(path: Path) -> Any:
    if path.suffix == ".parquet":
        return pyarrow.parquet.ParquetFile(path, memory_map=True).read()
    if path.suffix == ".csv":
        # Only empty cells are missing: "NA" and "null" may be names of classes or of clients.
        options = pyarrow.csv.ConvertOptions(null_values=[""], strings_can_be_null=True)
        table = pyarrow.csv.read_csv(path, convert_options=options)
        for field in table.schema:
            if pa.types.is_binary(field.type):
                raise ValueError(f"column '{field.name}' is no text in UTF-8")
        if not table.num_rows:
            raise ValueError("it has no rows of samples")
        return table
    source = pa.memory_map(str(path))
    try:
        return pa.ipc.open_file(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_stream(source).read_all()


def _ids(path: Path, name: str, found: Any) -> Any:
    """A CSV file's column of ids, as text if numbers would not tell them apart, as 01 and 1.

    Whole numbers of 2^63 and more are text, too: the reader takes a column with one of them for
    floating-point numbers, and rounds all of it.
    """
    if not pa.types.is_integer(found.type) and not pa.types.is_floating(found.type):
        return found
    options = pyarrow.csv.ConvertOptions(
        null_values=[""],
        strings_can_be_null=True,
        include_columns=[name],
        column_types={name: pa.string()},
    )
    text = pyarrow.csv.read_csv(path, convert_options=options).column(name)
    if pc.count_distinct(text) != pc.count_distinct(found):
        return text
    rounded = pa.types.is_floating(found.type)
    return (
        text if rounded and pc.all(pc.match_substring_regex(text, _WHOLE_NUMBER)).as_py() else found
    )


def _whole(found: Any) -> Any:
    """A column as one array, of a type whose length is not limited to 2 GiB."""
    kind = found.type
    if pa.types.is_dictionary(kind):
        found, kind = found.cast(kind.value_type), kind.value_type
    wide = {pa.string(): pa.large_string(), pa.binary(): pa.large_binary()}
    if kind in wide:
        found = found.cast(wide[kind])
    whole = found.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _first_null(array: Any) -> int | None:
    """The first row in which a value, or a part of it, is missing."""
    if array.null_count:
        return int(pc.index(pc.is_null(array), True).as_py())
    kind = array.type
    if pa.types.is_struct(kind) and "bytes" in kind.names:
        return _first_null(pc.struct_field(array, "bytes"))
    if _is_list(kind):
        inside = array.flatten()
        at = _first_null(inside)
        if at is not None:
            ends = np.cumsum(_lengths(array))
            return int(np.searchsorted(ends, at, side="right"))
    return None


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _lengths(array: Any) -> Any:
    return pc.list_value_length(array).to_numpy(zero_copy_only=False).astype(np.int64)


def _values(array: Any) -> Values:
    kind = array.type
    if pa.types.is_dictionary(kind):
        return _values(array.dictionary_decode())
    if pa.types.is_boolean(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False), dtype=np.bool_)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return np.asarray(array.to_numpy(zero_copy_only=False))
    if pa.types.is_decimal(kind):
        return np.asarray(array.cast(pa.float64()).to_numpy(zero_copy_only=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        encoded = array.dictionary_encode()
        codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return Words(codes, tuple(encoded.dictionary.to_pylist()))
    if pa.types.is_struct(kind) and "bytes" in kind.names:
        array = pc.struct_field(array, "bytes")
        kind = array.type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return Encoded(_Bytes(array))
    if _is_list(kind):
        return _lists(array)
    raise TypeError(
        f"has the type {kind}; expected numbers, text, lists of them, or encoded images"
    )


def _lists(array: Any) -> Values:
    lengths = _lengths(array)
    items = _values(array.flatten())
    if isinstance(items, np.ndarray) and len(lengths) and (lengths == lengths[0]).all():
        return items.reshape(len(lengths), int(lengths[0]), *items.shape[1:])
    if isinstance(items, Words) or (isinstance(items, np.ndarray) and items.ndim == 1):
        return Ragged(items, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
    raise TypeError("has lists of lists that differ in length; expected one shape for all samples")


class _Bytes:
    """Bytes in a column of Arrow, one row at a time."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, row: Any) -> Any:
        return self._array[row].as_py()
