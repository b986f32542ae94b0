"""The format of a file that should be CSV but is not."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from afl_sim.scenario.traces.tables.table import TableProblems

_STARTS: Final = (
    (b"\x1f\x8b", "compressed with gzip; expected it unpacked"),
    (b"BZh", "compressed with bzip2; expected it unpacked"),
    (b"\xfd7zXZ\0", "compressed with xz; expected it unpacked"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; expected it unpacked"),
    (b"PK\x03\x04", "a zip file or an Excel workbook; expected CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; expected CSV"),
    (b"PAR1", "Parquet; expected a name that ends in .parquet"),
    (b"ARROW1", "Arrow or Feather; expected CSV or Parquet"),
    (b"\xff\xfe\0\0", "UTF-32 text; expected UTF-8"),
    (b"\0\0\xfe\xff", "UTF-32 text; expected UTF-8"),
    (b"\xff\xfe", "UTF-16 text; expected UTF-8"),
    (b"\xfe\xff", "UTF-16 text; expected UTF-8"),
)
_SEPARATORS: Final = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def refuse_other_formats(path: Path, content: bytes) -> None:
    """Raise TableProblems if this is not text in UTF-8; the message says what it looks like."""
    for start, what in _STARTS:
        if content.startswith(start):
            raise TableProblems([f"{path} is {what}"])
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise TableProblems(
            [f"{path}:{line}: holds a zero byte, as UTF-16 or binary files do; expected UTF-8 text"]
        )


def not_utf8(path: Path, content: bytes) -> TableProblems:
    """The error for bytes that are not text in UTF-8, with the line of the first one."""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return TableProblems([f"{path}:{line}: not UTF-8 text (byte 0x{content[error.start]:02x})"])
    raise AssertionError("the bytes are UTF-8 text")


def other_separator(cells: list[str]) -> str | None:
    """The separator of the names in a header, if it is not a comma."""
    for separator, name in _SEPARATORS.items():
        if sum(cell.count(separator) for cell in cells) >= max(1, len(cells) - 1):
            return name
    return None


def like_mahimahi(numbers: list[str]) -> bool:
    """Whether the first lines could be a Mahimahi trace: milliseconds that never fall."""
    if len(numbers) < 2 or not all(text.isascii() and text.isdecimal() for text in numbers):
        return False
    times = [int(text[:20]) for text in numbers]
    return times == sorted(times)
