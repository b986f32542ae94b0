"""Reading a file that should be YAML."""

from __future__ import annotations

import difflib
from pathlib import Path

from afl_sim.errors import ScenarioError

MAX_BYTES = 16 * 2**20


def read_text(path: Path, expected: str = "a scenario file") -> str:
    """The text of a YAML file.

    Args:
        path: the file.
        expected: what it should be, for messages.

    Raises:
        ScenarioError: there is no such file, or it is no text; one line, with the file's name.
    """

    def refuse(message: str, line: int = 1) -> ScenarioError:
        return ScenarioError(f"{path}:{line}: {message}")

    try:
        if path.is_dir():
            raise refuse(f"this is a folder; expected {expected}")
        if path.exists() and not path.is_file():
            raise refuse(f"this is not a regular file; expected {expected}")
        if path.stat().st_size > MAX_BYTES:
            raise refuse(f"larger than {MAX_BYTES // 2**20} MiB; long lists belong in a trace file")
        content = path.read_bytes()
    except FileNotFoundError:
        raise refuse(f"there is no such file{near_file(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise refuse(f"cannot be read: {reason}") from None
    if b"\0" in content:
        line = content.count(b"\n", 0, content.index(b"\0")) + 1
        raise refuse("a binary file; expected YAML text", line)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise refuse(f"not UTF-8 text (byte 0x{content[error.start]:02x})", line) from None


def near_file(path: Path) -> str:
    """``; did you mean 'x'?`` for the file with the nearest name beside it, or nothing.

    An ending that both have, such as .yaml, does not make two names alike.
    """
    try:
        names = [item.name for item in path.parent.iterdir()]
    except OSError:
        return ""
    stems = {name.removesuffix(path.suffix): name for name in names}
    near = difflib.get_close_matches(path.name.removesuffix(path.suffix), list(stems), 1)
    return f"; did you mean '{path.with_name(stems[near[0]])}'?" if near else ""
