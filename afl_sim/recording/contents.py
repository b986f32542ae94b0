"""The files of a run folder, read: what is missing or damaged is one clear error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from afl_sim.errors import RunFolderError
from afl_sim.recording.files import reason, temporary_path
from afl_sim.recording.folder import MODEL_ORDER

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
    """The mapping in a YAML file."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast
    try:
        content = yaml.load(_read_text(path), loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: not YAML ({_line(error)})") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected a mapping, found {_kind(content)}")
    return content


def check_columns(path: Path, schema: pa.Schema) -> None:
    """Look at a Parquet file's footer: it has to have the columns of ``schema``."""
    import pyarrow.parquet as pq

    with _table_at(path) as content:
        names = pq.read_schema(content).names
    absent = [name for name in schema.names if name not in names]
    if absent:
        raise RunFolderError(f"{path} is damaged: it lacks the columns {', '.join(absent)}")


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of ``schema`` of a Parquet file."""
    import pyarrow.parquet as pq

    _require_table(path, schema)
    with _table_at(path) as content:
        return pq.read_table(content, columns=schema.names, partitioning=None)


def first_rows(path: Path, schema: pa.Schema, count: int) -> tuple[pa.Table, int]:
    """The first ``count`` rows of a Parquet file, no others being read, and how many it has."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require_table(path, schema)
    batches: list[pa.RecordBatch] = []
    missing = count
    with _table_at(path) as content, pq.ParquetFile(content) as file:
        # Small batches in one thread: half the memory of large ones in many, and as fast here.
        rows = file.iter_batches(batch_size=1 << 13, columns=schema.names, use_threads=False)
        while missing > 0 and (batch := next(rows, None)) is not None:
            batches.append(batch.slice(0, missing))
            missing -= len(batch)
        return pa.Table.from_batches(batches, schema), file.metadata.num_rows


def read_model(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a model file by name, in the model's own order."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.exists():
        raise RunFolderError(
            f"{path} is missing: a run has a model once it has ended, and if it trained"
        )
    try:
        content = path.read_bytes()
        arrays = load(content)
        return {name: arrays[name] for name in _model_order(content)}
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {reason(error)}") from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error


@contextmanager
def _table_at(path: Path) -> Iterator[BinaryIO]:
    """A Parquet file, opened here since pyarrow takes only paths that are UTF-8.

    Raises:
        RunFolderError: it cannot be read.
    """
    import pyarrow as pa

    try:
        with path.open("rb") as file:
            yield file
    except (OSError, pa.ArrowException) as error:
        raise RunFolderError(f"{path} is damaged: {_line(error)}") from error


def _require_table(path: Path, schema: pa.Schema) -> None:
    if not path.exists():
        raise RunFolderError(_missing(path))
    check_columns(path, schema)


def _model_order(content: bytes) -> list[str]:
    """The names of a model file's arrays, in the order in which they were given."""
    size = int.from_bytes(content[:8], "little")  # of the header, as the format has it
    header = json.loads(content[8 : 8 + size])
    names = json.loads(header.pop("__metadata__", {}).get(MODEL_ORDER, "null"))
    return sorted(header) if names is None else [str(name) for name in names]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(_missing(path)) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"{path} is damaged: it is not UTF-8 text") from error


def _missing(path: Path) -> str:
    if temporary_path(path).exists():
        return f"{path} is not there yet: the run is going on, or was killed; resume it"
    return f"{path} is missing: the run has not ended, or the folder is incomplete"


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
