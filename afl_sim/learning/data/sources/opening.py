"""The files that ``train`` and ``test`` of a block name, and the columns in them."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from afl_sim.learning.data.sources.array_files import Npz, read_npy
from afl_sim.learning.data.sources.columns import Column
from afl_sim.learning.data.sources.source import bad
from afl_sim.scenario.sections.datasets import FilesDataset
from afl_sim.scenario.sections.datasets.blocks import ArrayPlaces
from afl_sim.scenario.wording import hint

if TYPE_CHECKING:
    from afl_sim.learning.data.sources.table_files import ArrowTable

TABLES = (".parquet", ".csv", ".arrow", ".feather")


@dataclass(frozen=True)
class FileColumns:
    """The columns of one file, or of one block of files, that a scenario names.

    Attributes:
        inputs, labels: one column or several.
        client, weight: None if the scenario names none.
    """

    inputs: tuple[Column, ...]
    labels: tuple[Column, ...]
    client: Column | None
    weight: Column | None

    def checked(self) -> FileColumns:
        """The same.

        Raises:
            DataError: there are no samples, or the columns differ in length.
        """
        first = self.labels[0]
        if not len(first):
            raise first.error("labels", "holds no samples; expected at least one")
        for key, columns in (("labels", self.labels), ("inputs", self.inputs)):
            for column in columns:
                if len(column) != len(first):
                    raise column.error(key, _lengths(column, first))
        for key, single in (("client", self.client), ("weight", self.weight)):
            if single is not None and len(single) != len(first):
                raise single.error(key, _lengths(single, first))
        return self


def _lengths(column: Column, first: Column) -> str:
    there = "" if column.file == first.file else f" in {first.file}"
    return f"has {len(column)} samples; expected {len(first)}, as many as there are labels{there}"


def files_of(place: str | ArrayPlaces, key: str) -> list[Path]:
    """The files that a place names, in the order in which they are read.

    Raises:
        DataError: there is none.
    """
    if isinstance(place, ArrayPlaces):
        named = (place.inputs, place.labels, place.client, place.weight)
        return [Path(name).expanduser() for name in named if name is not None]
    path = Path(place).expanduser()
    if path.is_dir():
        from afl_sim.learning.data.sources.table_files import saved_files

        return saved_files(path, key)
    if path.exists():
        return [path]
    if not any(sign in place for sign in "*?["):
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise bad(path, key, f"there is no such file{hint(path.name, beside)}")
    found = sorted(Path(each) for each in glob.glob(str(path), recursive=True))
    if not found:
        raise bad(path, key, "no file matches this pattern")
    return found


def read_columns(
    spec: FilesDataset, place: str | ArrayPlaces, key: str, first: FileColumns | None = None
) -> list[FileColumns]:
    """The columns that a block names, file by file.

    Args:
        spec: the block.
        place: its ``train`` or ``test``.
        key: "train" or "test".
        first: the first file that was read. If the block names no inputs, others have the same
            columns as this one, and in its order.

    Raises:
        DataError: a file or a column is missing, damaged or of an unknown type.
    """
    if isinstance(place, ArrayPlaces):
        return [_arrays(place, key).checked()]
    found: list[FileColumns] = []
    for path in files_of(place, key):
        found.append(_named(spec, path, key, first).checked())
        first = first or found[0]
    return found


def _arrays(place: ArrayPlaces, key: str) -> FileColumns:
    def read(name: str) -> Column:
        path = Path(getattr(place, name)).expanduser()
        if path.suffix != ".npy":
            raise bad(path, f"{key}.{name}", f"has the ending '{path.suffix}'; expected .npy")
        return read_npy(path, f"{key}.{name}")

    return FileColumns(
        (read("inputs"),),
        (read("labels"),),
        None if place.client is None else read("client"),
        None if place.weight is None else read("weight"),
    )


def _named(spec: FilesDataset, path: Path, key: str, first: FileColumns | None) -> FileColumns:
    table: Npz | ArrowTable
    if path.suffix == ".npz":
        table = Npz(path, key)
    elif path.suffix == ".npy":
        raise bad(
            path, key, "is one array; expected a block {inputs: FILE, labels: FILE} for .npy files"
        )
    elif path.suffix in TABLES:
        # Only here, since pyarrow takes a while to load.
        from afl_sim.learning.data.sources.table_files import ArrowTable

        table = ArrowTable(path, key)
    else:
        endings = ", ".join((".npz", *TABLES))
        raise bad(path, key, f"has the ending '{path.suffix}'; expected one of {endings}")

    def read(name: str, used_by: str) -> Column:
        if name not in table.names:
            known = ", ".join(table.names[:20]) + (", ..." if len(table.names) > 20 else "")
            what = "array" if path.suffix == ".npz" else "column"
            near = hint(name, table.names)
            raise bad(path, used_by, f"there is no {what} '{name}'; it has {known}{near}")
        return table.read(name, used_by)

    labels = _listed(spec.labels or "labels")
    single = [name for name in (spec.client, spec.weight) if name is not None]

    def optional(name: str | None, used_by: str) -> Column | None:
        if name is None or (key == "test" and name not in table.names):
            return None
        return read(name, used_by)

    if first is not None and all(column.name for column in first.inputs):
        inputs = tuple(column.name for column in first.inputs)
    else:
        inputs = _input_names(spec, table, {*labels, *single})
    return FileColumns(
        tuple(read(name, "inputs") for name in inputs),
        tuple(read(name, "labels") for name in labels),
        optional(spec.client, "client"),
        optional(spec.weight, "weight"),
    )


def _input_names(spec: FilesDataset, table: Npz | ArrowTable, used: set[str]) -> tuple[str, ...]:
    if spec.inputs is not None:
        return _listed(spec.inputs)
    if "inputs" in table.names or isinstance(table, Npz):
        return ("inputs",)
    rest = tuple(name for name in table.names if name not in used)
    if len(rest) == 1:
        return rest
    for name in rest:
        if not table.is_number(name):
            raise bad(
                table.path,
                "inputs",
                f"column '{name}' is no column of single numbers; expected `inputs` to name the "
                f"columns",
            )
    return rest or ("inputs",)


def _listed(names: str | tuple[str, ...]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else names
