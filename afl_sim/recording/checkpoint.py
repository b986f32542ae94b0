"""Checkpoints on disk: whole or not there, the one before kept until the next is.

Each is a folder ``checkpoint/<version>`` with ``facts.json`` and ``tensors.safetensors``, made as a
draft and renamed; the facts hold the digest of the tensors. A damaged one is passed over for the
one before.
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
from afl_sim.recording.drafts import draft_folder, remove_drafts
from afl_sim.recording.files import os_reason, write_bytes, write_text
from afl_sim.recording.holding import close, open_folder

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
    place = folder / str(number)
    try:
        folder.mkdir(exist_ok=True)  # in the run's folder, which is not made anew
        remove_drafts(folder)
        with draft_folder(place) as draft:
            write_bytes(draft / _TENSORS, content)
            write_text(draft / _FACTS, _sealed({**facts, "tensors_sha256": digest}))
            _remove(place)
            os.rename(draft, place)
        _sync(folder)
    except OSError as error:
        raise AflSimError(f"cannot write a checkpoint in {folder}: {os_reason(error)}") from error
    for old in _numbers(folder)[:-_KEPT]:
        _remove(folder / str(old))


def load_checkpoint(
    folder: Path,
) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.generic]]] | None:
    """The facts and tensors of the latest checkpoint that is whole, or None."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    for number in reversed(_numbers(folder)):
        place = folder / str(number)
        with suppress(OSError, ValueError, TypeError, SafetensorError, KeyError):
            facts = _unsealed((place / _FACTS).read_bytes())
            content = (place / _TENSORS).read_bytes()
            if hashlib.sha256(content).hexdigest() == facts["tensors_sha256"]:
                return facts, load(content)
    return None


def latest_checkpoint(folder: Path) -> int | None:
    """The number of the latest checkpoint, whole or not; None if there is none."""
    return max(_numbers(folder), default=None)


def _remove(place: Path) -> None:
    with suppress(OSError):
        place.unlink() if place.is_symlink() else shutil.rmtree(place)


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
    descriptor = open_folder(folder, through_link=True)
    try:
        if descriptor is not None:
            os.fsync(descriptor)
    finally:
        close(descriptor)
