"""Reading the documents and models of a run folder: a missing or damaged file gives one clear
error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afl_sim.errors import RunFolderError
from afl_sim.recording.files import os_reason
from afl_sim.recording.folder import MANIFEST, MODEL_ORDER, PERSONAL_CLIENTS, SCENARIO, SUMMARY
from afl_sim.scenario.yaml.nodes import Unreadable, compose, plain
from afl_sim.scenario.yaml.text import MAX_BYTES

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file."""
    try:
        content = json.loads(_read_text(path))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path} is damaged: not JSON ({as_line(error)})") from error
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected an object, found {_kind(content)}")
    return content


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, of the size and depth that an input scenario may have."""
    try:
        root, misreadings = compose(_read_text(path), str(path), quickly=True)
    except Unreadable as error:
        misreadings = error.misreadings
    if misreadings:
        line = misreadings[0].where.rpartition(":")[2]
        raise RunFolderError(f"{path} is damaged: line {line}: {misreadings[0].message}")
    content = plain(root)
    if not isinstance(content, dict):
        raise RunFolderError(f"{path} is damaged: expected a mapping, found {_kind(content)}")
    return content


def read_model(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of a model file by name, in the model's own order."""
    if not path.exists():
        raise RunFolderError(f"{path} is missing: only a finished run with training has a model")
    return _read_tensors(path)[0]


def read_personal(path: Path) -> tuple[list[int], dict[str, npt.NDArray[np.generic]]]:
    """The clients and the arrays of ``personal.safetensors``; see `RunFolder.write_personal`."""
    if not path.exists():
        raise RunFolderError(
            f"{path} is missing: only a finished run in which clients keep parts of the model for "
            "themselves has such a file"
        )
    arrays, header = _read_tensors(path)
    try:
        clients = [int(client) for client in json.loads(header[PERSONAL_CLIENTS])]
    except (KeyError, TypeError, ValueError) as error:
        raise RunFolderError(f"{path} is damaged: {as_line(error)}") from error
    if any(len(array) != len(clients) + 1 for array in arrays.values()):
        raise RunFolderError(f"{path} is damaged: it has other rows than clients")
    return clients, arrays


def _read_tensors(path: Path) -> tuple[dict[str, npt.NDArray[np.generic]], dict[str, str]]:
    """The arrays of a file by name, in the order in which they were given, and its metadata."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    require_regular(path)
    try:
        content = path.read_bytes()
        arrays = load(content)
        names, metadata = _model_order(content)
        return {name: arrays[name] for name in names}, metadata
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {os_reason(error)}") from error
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{path} is damaged: {as_line(error)}") from error


def require_regular(path: Path) -> None:
    """Refuse files that cannot be read to an end, such as pipes."""
    if path.exists() and not path.is_file():
        raise RunFolderError(f"{path} is damaged: it is not a regular file")


def _model_order(content: bytes) -> tuple[list[str], dict[str, str]]:
    """The names of a file's arrays, in the order in which they were given, and its metadata."""
    size = int.from_bytes(content[:8], "little")  # of the header, as the format has it
    header = json.loads(content[8 : 8 + size])
    metadata: dict[str, str] = header.pop("__metadata__", {})
    names = json.loads(metadata.get(MODEL_ORDER, "null"))
    return sorted(header) if names is None else [str(name) for name in names], metadata


def _read_text(path: Path) -> str:
    require_regular(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise RunFolderError(f"{path} is damaged: it is larger than {MAX_BYTES >> 20} MiB")
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RunFolderError(missing(path)) from None
    except OSError as error:
        raise RunFolderError(f"cannot read {path}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise RunFolderError(f"{path} is damaged: it is not UTF-8 text") from error


def missing(path: Path) -> str:
    """What is said of a file that a run folder ought to have."""
    folder = path.parent
    if (folder / SUMMARY).exists() or not (folder / SCENARIO).exists():
        return f"{path} is missing: the run folder is incomplete"
    if path.name == MANIFEST:
        return (
            f"{path} is missing: the run cannot be continued without it; `run --force` repeats "
            "the run"
        )
    return (
        f"{path} is missing: the run is unfinished; `afl-sim resume {folder}` continues it, "
        "unless another process is running it"
    )


def as_line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _kind(content: Any) -> str:
    return "nothing" if content is None else f"a {type(content).__name__}"
