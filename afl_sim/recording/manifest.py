"""The manifest: the software and the machine that produced a result.

It is the only file of a run folder that holds the wall clock's date, the machine or the command, so
that everything else can be the same, byte for byte, when a run is repeated.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

LIBRARIES: Final = (
    "torch",
    "torchvision",
    "simpy",
    "numpy",
    "scipy-openblas32",
    "scipy",
    "pandas",
    "pyarrow",
    "pydantic",
    "safetensors",
)


def build_manifest(
    *,
    numerics: Mapping[str, Any] | None = None,
    cpu: str | None = None,
    command: Sequence[str] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Facts about the package, the machine and the command, for ``manifest.json``.

    Args:
        numerics: the numerics fingerprint (torch version, device, threads, class), taken by the
            caller: nothing here imports torch.
        cpu: the processor's capability as the caller's library names it, such as ``"AVX512"``.
        command: the command line, as a list of words.
        more: further entries, such as ``label`` or ``scenario_id``.
    """
    return {
        "package": {"name": "afl-sim", "version": installed_version("afl-sim")},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu,
        "cpu_count": os.cpu_count(),
        "libraries": {name: installed_version(name) for name in LIBRARIES},
        "numerics": dict(numerics or {}),
        "command": list(command) if command is not None else None,
        "git_commit": git_commit(Path.cwd()),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **more,
    }


@cache
def installed_version(name: str) -> str | None:
    """A distribution's version without importing it; None if it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def git_commit(directory: Path) -> str | None:
    """The commit checked out around ``directory``, ``+changes`` added where files differ from it.

    None where there is no commit, no git, or no quick answer.
    """
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        answer = subprocess.run(
            command, cwd=directory, env=environment, capture_output=True, text=True, timeout=5
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
