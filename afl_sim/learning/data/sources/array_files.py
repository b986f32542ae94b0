"""NumPy's files: ``.npy`` and ``.npz``. Large arrays are mapped to memory; nothing is unpickled."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from afl_sim.learning.data.sources.columns import Column, Values, Words
from afl_sim.learning.data.sources.source import Array, bad
from afl_sim.scenario.wording import one_line

_BLOCK = 1 << 20
MAPPED_FROM = 64 << 20
"""Bytes of an array from which it is mapped and not read."""

_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    begin: int  # of the numbers, in bytes

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Npz:
    """The arrays of an ``.npz`` file."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (OSError, zipfile.BadZipFile) as error:
            raise _unreadable(path, key, error) from error
        self._members = {info.filename.removesuffix(".npy"): info for info in members}
        self.names = tuple(self._members)

    def read(self, name: str, key: str) -> Column:
        """The array of this name; see `read_npy` for errors."""
        member = self._members[name]
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                header = _read_header(file)
                _check(self.path, name, key, header, member.file_size)
                if member.compress_type != zipfile.ZIP_STORED or header.nbytes < MAPPED_FROM:
                    found = _read(file, header)
                else:
                    found = _mapped(self.path, header, _begin(self.path, member))
        except _DAMAGE as error:
            raise _unreadable(self.path, key, error) from error
        return Column(self.path, name, _values(self.path, name, key, found))


def read_npy(path: Path, key: str) -> Column:
    """The array of an ``.npy`` file.

    Raises:
        DataError: it cannot be read, is shorter than it says, or holds Python objects or types
            that are neither numbers nor text.
    """
    try:
        with open(path, "rb") as file:
            header = _read_header(file)
            _check(path, "", key, header, path.stat().st_size)
            found = _read(file, header) if header.nbytes < MAPPED_FROM else _mapped(path, header, 0)
    except _DAMAGE as error:
        raise _unreadable(path, key, error) from error
    return Column(path, "", _values(path, "", key, found))


_DAMAGE = (
    OSError,
    ValueError,
    TypeError,
    EOFError,
    KeyError,
    OverflowError,
    MemoryError,  # of a header that says more than there is
    zipfile.BadZipFile,
    zlib.error,
)


def _read_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(
            f"version {version[0]}.{version[1]} of the format is for types with fields"
        )
    shape, fortran, dtype = _HEADERS[version](file)
    return _Header(shape, fortran, dtype, file.tell())


def _check(path: Path, name: str, key: str, header: _Header, size: int) -> None:
    column = Column(path, name, np.empty(0))
    if header.dtype.hasobject:
        raise column.error(
            key, "it holds Python objects, which are never unpickled; expected numbers or text"
        )
    if header.dtype.kind not in "biufUS":
        raise column.error(key, f"it has the type {header.dtype}; expected numbers or text")
    if not header.shape:
        raise column.error(key, "it is a single value; expected one value for each sample")
    found = size - header.begin
    if found < header.nbytes:
        raise column.error(
            key, f"it is cut off: {found} bytes of data; its header says {header.nbytes}"
        )


def _read(file: IO[bytes], header: _Header) -> Array:
    content = bytearray(header.nbytes)
    found = 0
    while found < header.nbytes:  # in blocks: a second copy of all of it would take memory
        block = file.read(min(_BLOCK, header.nbytes - found))
        if not block:
            raise EOFError(f"{found} bytes of data; its header says {header.nbytes}")
        content[found : found + len(block)] = block
        found += len(block)
    order: Any = "F" if header.fortran else "C"
    return np.frombuffer(content, header.dtype, math.prod(header.shape)).reshape(
        header.shape, order=order
    )


def _mapped(path: Path, header: _Header, begin: int) -> Array:
    order: Any = "F" if header.fortran else "C"
    # Copy-on-write: torch asks for writable memory, although nobody writes to it.
    found = np.memmap(path, header.dtype, "c", begin + header.begin, header.shape, order)
    return found if found.flags.aligned else np.array(found)


def _begin(path: Path, member: zipfile.ZipInfo) -> int:
    """Where the content of an uncompressed member begins in the archive."""
    with open(path, "rb") as file:
        file.seek(member.header_offset + 26)  # lengths of its name and its extra field
        lengths = file.read(4)
    return (
        member.header_offset
        + 30
        + int.from_bytes(lengths[:2], "little")
        + int.from_bytes(lengths[2:], "little")
    )


def _values(path: Path, name: str, key: str, found: Array) -> Values:
    if found.dtype.kind in "US":
        if found.ndim != 1:
            raise Column(path, name, np.empty(0)).error(
                key, f"it is text of shape {found.shape}; expected one text for each sample"
            )
        if found.dtype.kind == "S":
            try:
                found = np.char.decode(found, "utf-8")
            except UnicodeDecodeError as error:
                raise Column(path, name, np.empty(0)).error(key, f"{error}") from error
        names, codes = np.unique(found, return_inverse=True)
        return Words(codes.astype(np.int64), tuple(names.tolist()))
    return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def _unreadable(path: Path, key: str, error: Exception) -> Exception:
    kind = "an .npz archive" if path.suffix == ".npz" else "an .npy file"
    why = getattr(error, "strerror", None) or one_line(str(error), 100) or type(error).__name__
    return bad(path, key, f"cannot be read: {why}; expected {kind} that is whole")
