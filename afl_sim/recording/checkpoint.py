"""Checkpoints on disk: whole or not there, the one before kept until the next is.

Each is a folder ``checkpoint/<version>`` with ``facts.json`` and ``tensors.safetensors``, written
under a hidden name and renamed; the facts hold the digest of the tensors. A damaged one is passed
over for the one before.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afl_sim.errors import AflSimError
from afl_sim.recording.files import reason, write_bytes, write_text

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FACTS = "facts.json"
_TENSORS = "tensors.safetensors"
_KEPT = 2


def save_checkpoint(
    folder: Path,
    number: int,
    facts: Mapping[str, Any],
    tensors: Mapping[str, npt.NDArray[np.generic]],
) -> None:
    """Write a checkpoint, then let go of all but the last two.

    Args:
        folder: the run's ``checkpoint`` folder.
        number: grows from one checkpoint to the next.
        facts: plain values.
        tensors: arrays by name.

    Raises:
        AflSimError: it cannot be written; the checkpoints before it are untouched.
    """
    import numpy
    from safetensors.numpy import save

    content = save({name: numpy.ascontiguousarray(array) for name, array in tensors.items()})
    digest = hashlib.sha256(content).hexdigest()
    hidden = folder / f".{number}.tmp"
    try:
        for left in folder.glob(".*.tmp"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        folder.mkdir(exist_ok=True)  # in the run's folder, which is not made anew
        hidden.mkdir()
        write_bytes(hidden / _TENSORS, content)
        write_text(hidden / _FACTS, _sealed({**facts, "tensors_sha256": digest}))
        shutil.rmtree(folder / str(number), ignore_errors=True)
        os.rename(hidden, folder / str(number))
        _sync(folder)
    except OSError as error:
        shutil.rmtree(hidden, ignore_errors=True)
        raise AflSimError(f"cannot write a checkpoint in {folder}: {reason(error)}") from error
    except BaseException:
        shutil.rmtree(hidden, ignore_errors=True)
        raise
    for old in _numbers(folder)[:-_KEPT]:
        shutil.rmtree(folder / str(old), ignore_errors=True)


def load_checkpoint(
    folder: Path,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]] | None:
    """The facts and tensors of the latest checkpoint that is whole, or None."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    for number in reversed(_numbers(folder)):
        with suppress(OSError, ValueError, KeyError, TypeError, SafetensorError):
            facts = _unsealed((folder / str(number) / _FACTS).read_bytes())
            content = (folder / str(number) / _TENSORS).read_bytes()
            if hashlib.sha256(content).hexdigest() == facts["tensors_sha256"]:
                return facts, load(content)
    return None


def _sealed(facts: Mapping[str, Any]) -> str:
    text = json.dumps(facts, allow_nan=True)
    return f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}\n"


def _unsealed(content: bytes) -> dict[str, Any]:
    digest, _, text = content.decode().partition("\n")
    text = text.rstrip("\n")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError("the digest differs")
    facts = json.loads(text)
    if not isinstance(facts, dict):
        raise TypeError("not a block of facts")
    return facts


def _numbers(folder: Path) -> list[int]:
    with suppress(OSError):
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal())
    return []


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
