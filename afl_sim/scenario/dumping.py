"""A scenario as text again, with every default written out, and its identity."""

from __future__ import annotations

import hashlib
import json
from pathlib import PurePath
from typing import Any

from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.yaml.writing import as_text

WITHOUT_EFFECT = ("execution", "figure")
"""Sections that cannot change a result."""


def dump_scenario(scenario: Scenario) -> str:
    """YAML text of the scenario, complete: loading it gives an equal scenario."""
    return as_text(as_data(scenario))


def as_data(scenario: Scenario) -> dict[str, Any]:
    """The scenario as dictionaries, lists and scalars, with the keys of the file."""
    return scenario.model_dump(mode="json", by_alias=True)


def scenario_id(scenario: Scenario) -> str:
    """Eight hex digits that tell scenarios apart: sha256 of all that can change the result.

    The sections ``execution`` and ``figure`` are left out. Of a trace or a file of weights the
    content counts, not where it lies. Of the files of own data the names count, not their folders,
    and of ``data.root`` only that there is one; the content is a part of the run's identity beside
    this one.
    """
    data = _without_places(as_data(scenario))
    for key in WITHOUT_EFFECT:
        data.pop(key, None)
    if data["data"]["root"] is not None:
        data["data"]["root"] = "."
    data["data"]["dataset"] = _without_folders(data["data"]["dataset"])
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _without_folders(value: Any) -> Any:
    """A block of ``data.dataset``, in which every absolute path is only its last part."""
    if isinstance(value, dict):
        return {key: _without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if isinstance(value, str) and PurePath(value).is_absolute():
        return PurePath(value).name
    return value


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        hidden = {"trace", "file"} if "sha256" in value else set()
        return {key: _without_places(item) for key, item in value.items() if key not in hidden}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    return value
