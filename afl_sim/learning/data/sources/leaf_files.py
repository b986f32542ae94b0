"""The JSON files of the LEAF benchmark: users, and their samples."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from afl_sim.errors import DataError
from afl_sim.learning.data.sources.source import bad

KEY = "root"


@dataclass(frozen=True)
class User:
    """One user's samples, as they are in a file.

    Attributes:
        file: where they are.
        name: of the user.
        x, y: inputs and labels, of one length above 0; rows of numbers are a float32 array, since
            Python's numbers take ten times the memory.
    """

    file: Path
    name: str
    x: Any
    y: list[Any]

    def error(self, problem: str, key: str = KEY) -> DataError:
        """The error for these samples."""
        return bad(self.file, key, f"user '{self.name}': {problem}")


def leaf_folders(root: Path) -> tuple[Path, Path | None]:
    """The folders of the training and of the test set; None if there is no test set.

    Raises:
        DataError: there is no JSON file.
    """
    if not root.is_dir():
        raise bad(root, KEY, "there is no such folder")
    for folder in (root, root / "data"):
        if (folder / "train").is_dir():
            return folder / "train", folder / "test" if (folder / "test").is_dir() else None
    return root, None


def read_users(folder: Path) -> list[User]:
    """All users of the JSON files in a folder, in the order of the files.

    Raises:
        DataError: there is no file, one is damaged, or a user has no samples.
    """
    files = sorted(folder.glob("*.json"))
    if not files:
        raise bad(folder, KEY, "there is no .json file in this folder")
    return [user for file in files for user in _users(file)]


def _users(file: Path) -> Iterator[User]:
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise bad(file, KEY, f"cannot be read: {error}; expected whole JSON") from error
    if not isinstance(content, dict):
        raise bad(file, KEY, f"holds a {type(content).__name__}; expected a block of LEAF")
    names, data = content.get("users"), content.get("user_data")
    if not isinstance(names, list) or not isinstance(data, dict):
        found = ", ".join(list(content)[:8]) or "nothing"
        raise bad(file, KEY, f"has the keys {found}; expected users and user_data")
    counts = content.get("num_samples")
    if isinstance(counts, list) and len(counts) != len(names):
        raise bad(file, KEY, f"num_samples has {len(counts)} entries for {len(names)} users")
    for place, name in enumerate(names):
        block = data.get(name) if isinstance(name, str) else None
        if not isinstance(block, dict):
            raise bad(file, KEY, f"user_data has nothing for the user {name!r}")
        x, y = block.get("x"), block.get("y")
        if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
            inputs, labels = (len(each) if isinstance(each, list) else 0 for each in (x, y))
            problem = f"has {inputs} inputs and {labels} labels; expected as many"
            raise User(file, name, [], []).error(problem)
        user = User(file, name, _compact(x), y)
        if not x:
            raise user.error("has no samples; expected at least one")
        if isinstance(counts, list) and counts[place] != len(x):
            raise user.error(f"has {len(x)} samples; num_samples says {counts[place]}")
        yield user


def _compact(x: list[Any]) -> Any:
    """Rows of numbers as a float32 array; anything else as it is."""
    if not x or not isinstance(x[0], list) or any(isinstance(item, str) for item in x[0]):
        return x
    try:
        rows = np.array(x, dtype=np.float64)
    except (TypeError, ValueError):  # what is wrong is told where the rows are used
        return x
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)
