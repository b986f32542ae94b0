"""The scenarios that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

from afl_sim.errors import ScenarioError


def scenario_folder() -> Path:
    """The folder of the built-in scenarios."""
    return (Path(__file__).parents[1] / "scenarios").resolve()


def find_scenario(name: str) -> Path:
    """The file that a command line or a caller names.

    A file of that name comes first, then a built-in scenario. A folder is no scenario, and does not
    stand in the way of one.

    Raises:
        ScenarioError: there is neither such a file nor such a built-in scenario.
    """
    path = Path(name)
    inside = _built_in(name)
    if inside is not None and not _is_there(path):
        return inside
    if os.path.lexists(path) or path.suffix in {".yaml", ".yml"} or len(path.parts) != 1:
        return path
    from afl_sim.scenario.wording import hint

    built_in = sorted(file.stem for file in scenario_folder().glob("*.yaml"))
    raise ScenarioError(
        f"{name}: no such file, nor a built-in scenario ({', '.join(built_in)})"
        f"{hint(name, built_in)}"
    )


def meant_built_in(path: Path) -> str | None:
    """The built-in scenario whose file a path is likely meant as, such as ``quickstart.yaml``."""
    if path.suffix not in {".yaml", ".yml"} or os.path.lexists(path):
        return None
    name = path.with_suffix("").as_posix().removeprefix("scenarios/")
    return name if _built_in(name) is not None else None


def hides_built_in(name: str) -> bool:
    """Whether a file has the name of a built-in scenario."""
    return _built_in(name) is not None and _is_there(Path(name))


def _built_in(name: str) -> Path | None:
    """The built-in scenario of a name, such as ``quickstart`` or ``papers/safa/timing``."""
    if name.startswith((".", os.sep)):  # a path of the user's
        return None
    file = scenario_folder() / f"{name}.yaml"
    return file if os.path.isfile(file) else None


def _is_there(path: Path) -> bool:
    """Whether there is something that can be read as a file, including a pipe."""
    return os.path.exists(path) and not os.path.isdir(path)
