"""The optional build: a wheel in which the rooms that a schedule runs through are compiled.

It is made if AFL_SIM_COMPILE is set, by mypyc and a C compiler. The package needs neither: every
compiled module has its source beside it, and does the same.
"""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILED = (
    "global_model/null",
    "recording/events",
    "recording/rows_ahead",
    "scenario/distributions/draws",
    "streams",
    "world/clients/durations",
    "world/clients/fleet",
    "world/clients/idle",
    "world/clients/legs",
    "world/clients/presence",
    "world/clients/queueing",
    "world/clients/refreshing",
    "world/clients/undisturbed",
    "world/clients/varying_durations",
    "world/clock",
    "world/each_version",
    "world/links/network",
    "world/links/varying",
    "world/microseconds",
    "world/server/adaptive",
    "world/server/idle_waits",
    "world/server/inbox",
    "world/server/ledger",
    "world/server/sender",
    "world/server/server",
    "world/server/statistics",
    "world/server/versions",
    "world/server/waiting",
    "world/stopping",
    "world/tasks/compute",
    "world/tasks/task",
    "world/tasks/workload",
)
"""What is compiled. A class and its subclasses go together."""

NEEDED = ("mypy>=2.4,<3", "setuptools>=77", "simpy>=4.1", "numpy>=1.26")
"""What the optional build needs beside a C compiler: SimPy and NumPy for their types."""

# Types are known within the compiled modules, and from what they derive from. The rest of the
# package, and what it imports, would take minutes to read, and would not make them faster.
_TYPES = """
[mypy]
python_version = 3.11
follow_imports = skip
ignore_missing_imports = true
[mypy-numpy.*,simpy.*,afl_sim.errors,afl_sim.streams,afl_sim.world.*,afl_sim.scenario.distributions.draws]
follow_imports = silent
"""


class CompiledRooms(BuildHookInterface[Any]):
    """Adds the compiled modules to a wheel.

    Environment:
        AFL_SIM_COMPILE: how much the C compiler optimises, 0 to 3. Where it is not set, or empty,
            nothing is compiled.
    """

    _folder: Path | None = None

    def dependencies(self) -> list[str]:
        """What is needed for this build."""
        return list(NEEDED) if self._level() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have the results packed."""
        level = self._level()
        if not level:
            return
        if version == "editable":
            raise ValueError("AFL_SIM_COMPILE makes a wheel; an editable installation has none")
        folder = self._folder = Path(mkdtemp(prefix="afl-sim-compiled-"))
        with chdir(self.root):
            made = _compile(folder, level)
        build_data["force_include"].update({str(folder / path): path for path in made})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what the build needed."""
        if self._folder is not None:
            rmtree(self._folder, ignore_errors=True)

    def _level(self) -> str:
        level = os.environ.get("AFL_SIM_COMPILE", "")
        if level not in ("", "0", "1", "2", "3"):
            raise ValueError(f"AFL_SIM_COMPILE is {level!r}; expected 0, 1, 2 or 3")
        return level


def _compile(folder: Path, level: str) -> list[str]:
    """Compile the modules into a folder; returns the paths in it."""
    from mypyc.build import mypycify  # needed for this build alone
    from setuptools import Distribution

    types = folder / "types.ini"
    types.write_text(_TYPES)
    options = ["--config-file", str(types), "--cache-dir", os.devnull]
    extensions = mypycify(
        [*options, *(f"afl_sim/{name}.py" for name in COMPILED)],
        opt_level=level,
        debug_level="0",
        group_name="afl_sim",
        multi_file=True,
        target_dir=str(folder / "c"),
    )
    command = Distribution({"name": "afl_sim", "ext_modules": extensions}).get_command_obj(
        "build_ext"
    )
    command.build_lib, command.build_temp = str(folder / "lib"), str(folder / "objects")
    command.ensure_finalized()
    command.run()
    made = sorted((folder / "lib").rglob("*.so")) + sorted((folder / "lib").rglob("*.pyd"))
    for path in made:
        place = folder / path.relative_to(folder / "lib")
        place.parent.mkdir(parents=True, exist_ok=True)
        path.rename(place)
    return [str(path.relative_to(folder / "lib")) for path in made]
