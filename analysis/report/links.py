"""Addresses of pages, and commands that make them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import quote

from afl_sim.scenario.wording import one_line


def link_to(target: Path, page: Path) -> str:
    """The address of a file, seen from a page; no name can make it lead anywhere else."""
    return quote(os.fsencode(os.path.relpath(target, page.parent)))


def command(*words: Path | str) -> str:
    """An ``afl-sim report`` command, quoted for a shell."""
    return one_line(shlex.join(["afl-sim", "report", *map(str, words)]))
