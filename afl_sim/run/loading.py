"""Scenario files, read with the known kinds of strategies, models and optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Override, Scenario, Study, UncheckedBlock, scenario_id
from afl_sim.scenario import read_study as _read_study
from afl_sim.scenario.wording import show


def read_study(
    source: Path | str | Mapping[str, Any],
    overrides: Sequence[str | Override] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    inspect: Callable[[Scenario], Iterable[tuple[tuple[str, ...], str]]] | None = None,
    base: Path | None = None,
) -> Study:
    """Read a scenario file that describes one run, or several by ``sweep`` or ``replications``.

    Args:
        source: path of a YAML file, the name of a built-in scenario, or the content of a file as a
            dictionary.
        overrides: settings that replace those of the file: ``key.path=value``, or as another file
            states them.
        seed: replaces the seed of the file.
        timing_only: also refuse what cannot run without training.
        inspect: further checks of each case; yields (key path, message) for each mistake.
        base: the folder that paths in the file are relative to; None for the file's own.

    Returns:
        The cases of the study in order; a file that describes a single run has one case.

    Raises:
        ScenarioError: the file has mistakes; the message has one line for each.

    Example:
        >>> from afl_sim.run.api import read_study
        >>> study = read_study("scenarios/smallest.yaml", ["replications=3"])
        >>> [case.label for case in study.cases]
        ['r0', 'r1', 'r2']
    """
    if not isinstance(source, Mapping | str | PathLike):
        raise ScenarioError(
            f"got {show(source)}; expected a scenario: a Scenario, a dictionary or the path of a "
            "file"
        )
    return _read_study(
        source, catalogue(), overrides, seed, timing_only=timing_only, inspect=inspect, base=base
    )


def load_scenario(
    source: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    seed: int | None = None,
) -> Scenario:
    """Read a scenario file that describes a single run.

    Args:
        source: path of a YAML file, the name of a built-in scenario such as ``quickstart``, or the
            content of a file as a dictionary, such as ``{"clients": {"count": 10}, ...}``.
        overrides: settings ``key.path=value`` that replace those of the file.
        seed: replaces the seed of the file.

    Returns:
        The scenario with every default filled in. It is frozen; its sections are attributes.

    Raises:
        ScenarioError: the file has mistakes, and the message has one line for each; or it describes
            several runs.

    Example:
        >>> from afl_sim import load_scenario
        >>> scenario = load_scenario("scenarios/smallest.yaml", ["stop.updates=20"])
        >>> scenario.strategy.kind, scenario.stop.updates
        ('fedbuff', 20)
    """
    study = read_study(source, overrides, seed)
    if study.is_study:
        what = "this" if isinstance(source, Mapping) else source
        raise ScenarioError(
            f"{what} is a study of {len(study.cases)} runs; run it with `afl-sim run` or "
            "afl_sim.run_study"
        )
    return study.cases[0].scenario


def single(source: Scenario | Mapping[str, Any] | Path | str) -> Scenario:
    """A scenario of a single run, as a caller has given it.

    Raises:
        ScenarioError: it has mistakes, or describes several runs.
    """
    if not isinstance(source, Scenario):
        return load_scenario(source)
    if source.sweep is not None or source.replications > 1:
        return load_scenario(written(source))
    if any(isinstance(block, UncheckedBlock) for block in _open_blocks(source)):
        return source.replace()
    return source


def written(scenario: Scenario) -> dict[str, Any]:
    """The settings of a scenario that were given, as plain data; defaults are left out.

    With the defaults, a sweep could not replace a setting that excludes another one.
    """
    return scenario.model_dump(mode="json", by_alias=True, exclude_unset=True)


def _open_blocks(scenario: Scenario) -> Sequence[object]:
    return scenario.strategy, scenario.model, scenario.training.optimizer


def run_name(scenario: Scenario) -> str:
    """The name of a run's folder: the scenario's name and identity."""
    return f"{scenario.name}-{scenario_id(scenario)}"
