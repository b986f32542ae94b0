"""Printing to an output that may fail: a full disk, a pipe that was closed."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import Any, TextIO


class Unfailing:
    """A stream for messages about a run. If they cannot be written, the run continues.

    Args:
        stream: where they go to.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as much as possible."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush as much as possible."""
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def unwritable(error: UnicodeError) -> tuple[bytes, int]:
    """Handle characters that the output's encoding lacks, for `codecs.register_error`.

    A byte of a path that is no text is written as it is, every other character as ``?``.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    told = (ord(character) for character in error.object[error.start : error.end])
    codes = (code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else ord("?") for code in told)
    return bytes(codes), error.end


def say_errors(message: str) -> None:
    """Print an error message on stderr, each line marked."""
    for line in message.splitlines() or [""]:
        print(f"error: {line}", file=Unfailing(sys.stderr))


def failed_output(error: OSError) -> int:
    """Report that something could not be written, if possible; returns the exit code.

    If the reader has closed the pipe early, nothing is reported.
    """
    from afl_sim.recording.files import os_reason

    # What is left in the buffer would be tried, and fail, once more at the end of the process.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno != errno.EPIPE:
        say_errors(f"cannot write {error.filename or 'the output'}: {os_reason(error)}")
    return 1
