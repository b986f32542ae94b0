"""Blocks that are made in Python: they are filled and checked as those of a file are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from afl_sim.errors import SettingsError
from afl_sim.scenario.catalogue import ValidationContext, known_catalogue
from afl_sim.scenario.given import NOWHERE, plain_value
from afl_sim.scenario.loading import scenario_findings
from afl_sim.scenario.mistakes.coercion import quiet_conversions
from afl_sim.scenario.mistakes.explain import explain
from afl_sim.scenario.mistakes.report import Mistakes
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.section import Checked
from afl_sim.scenario.yaml.nodes import Node


def fill(block: Checked, settings: Mapping[str, Any]) -> None:
    """Give a new block its settings.

    Raises:
        SettingsError: one line for each mistake, ``key.path: what; expected ...``.
    """
    data = {key: plain_value(value) for key, value in settings.items()}

    def filled() -> Any:
        made = block.__pydantic_validator__.validate_python(dict(settings), self_instance=block)
        if made is not block:  # a validator has made another one, such as of a file that it read
            for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_private__"):
                object.__setattr__(block, name, getattr(made, name))
        return block

    if isinstance(block, Scenario):
        findings = scenario_findings(data, ValidationContext(known_catalogue()), filled)
    else:
        try:
            findings = list(quiet_conversions(data, filled()))
        except ValidationError as error:
            findings = explain(error, data, known_catalogue(), type(block))
    if findings:
        mistakes = Mistakes(NOWHERE)
        mistakes.add_findings(findings, Node({}, NOWHERE))
        raise SettingsError(str(mistakes.error())) from None
