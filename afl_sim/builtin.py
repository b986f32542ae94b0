"""The scenarios that come with the package."""

from __future__ import annotations

from pathlib import Path

from afl_sim.errors import ScenarioError


def scenario_folder() -> Path:
    """The folder of the built-in scenarios: in the package, or beside it in a source tree."""
    package = Path(__file__).parent
    inside = package / "scenarios"
    return inside if inside.is_dir() else package.parent / "scenarios"


def find_scenario(name: str) -> Path:
    """The file that a command line names.

    Raises:
        ScenarioError: there is neither such a file nor such a built-in scenario.
    """
    path = Path(name)
    if path.exists() or path.suffix in {".yaml", ".yml"}:
        return path
    if len(path.parts) != 1:  # of a paper: papers/safa/timing
        inside = scenario_folder() / f"{name}.yaml"
        return inside if inside.is_file() else path
    built_in = {file.stem: file for file in sorted(scenario_folder().glob("*.yaml"))}
    if name in built_in:
        return built_in[name]
    from afl_sim.scenario.wording import hint

    raise ScenarioError(
        f"{name}: no such file, nor a built-in scenario ({', '.join(built_in)})"
        f"{hint(name, built_in)}"
    )
