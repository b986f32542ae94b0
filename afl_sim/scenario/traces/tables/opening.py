"""Opening the file of a table: a regular file of a bounded size, read once."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from afl_sim.scenario.traces.tables.csv_table import CsvTable
from afl_sim.scenario.traces.tables.parquet_table import ParquetTable
from afl_sim.scenario.traces.tables.table import Table, TableProblems
from afl_sim.scenario.yaml.text import near_file
from afl_sim.stamps import stamp_of

MAX_BYTES = 2**30

EXPECTED = "expected a CSV or Parquet file"


def open_table(path: Path) -> Table:
    """The table in a file: Parquet if its name ends in ``.parquet``, else CSV with a header row.

    Raises:
        TableProblems: there is no such table, or its header is wrong.
    """
    content = read_file(path)
    digest = hashlib.sha256(content).hexdigest()
    if path.suffix.lower() == ".parquet":
        return ParquetTable(path, content, digest, MAX_BYTES)
    return CsvTable(path, content, digest)


def stamp(path: Path) -> tuple[int, ...]:
    """The stamp of a file: while it stays, the file is the same.

    Raises:
        TableProblems: there is no such file, or it is no regular file of a bounded size.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    _check(path, found)
    return stamp_of(found)


def _check(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise TableProblems([f"{path} is a folder; {EXPECTED}"])
    if not stat.S_ISREG(found.st_mode):
        raise TableProblems([f"{path} is not a regular file; {EXPECTED}"])
    if found.st_size > MAX_BYTES:
        raise _too_large(path)


def read_file(path: Path) -> bytes:
    """The bytes of a regular file of a bounded size.

    Raises:
        TableProblems: there is no such file, or it cannot be read.
    """
    # What is there may have changed since it was looked at: opening a pipe must not wait for its
    # writer, and the size is checked again.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        with open(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            _check(path, found)
            content = file.read(found.st_size + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if len(content) != found.st_size:
        raise TableProblems([f"{path} changed while it was read"])
    return content


def _too_large(path: Path) -> TableProblems:
    return TableProblems([f"{path} is larger than {MAX_BYTES / 2**20:,.0f} MiB"])


def _unreadable(path: Path, error: Exception) -> TableProblems:
    if isinstance(error, FileNotFoundError):
        return TableProblems([f"there is no file {path}{near_file(path)}"])
    reason = getattr(error, "strerror", None) or str(error)
    return TableProblems([f"cannot read {path}: {reason}"])
