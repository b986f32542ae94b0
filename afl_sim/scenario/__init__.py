"""The content of a scenario file: models, distributions, and loading with line numbers.

The names are imported when they are first used: reading a run folder takes a few modules of this
package, and all of them take longer to import than a short comparison takes.
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afl_sim.scenario.catalogue import Catalogue, UncheckedBlock, ValidationContext
    from afl_sim.scenario.distributions.distribution import Distribution
    from afl_sim.scenario.dumping import dump_scenario, scenario_id
    from afl_sim.scenario.loading import read_study
    from afl_sim.scenario.overrides import Override
    from afl_sim.scenario.scenario import Scenario
    from afl_sim.scenario.schema import json_schema
    from afl_sim.scenario.section import Section
    from afl_sim.scenario.sections.availability import AlwaysAvailable
    from afl_sim.scenario.sections.clients import Clients
    from afl_sim.scenario.sections.compute import Compute
    from afl_sim.scenario.sections.data import DataSpec
    from afl_sim.scenario.sections.network import (
        FifoLink,
        Link,
        Network,
        SharedLink,
        UncontendedLink,
    )
    from afl_sim.scenario.sections.settings import (
        Evaluation,
        Execution,
        Numerics,
        Recording,
        Server,
        Stop,
    )
    from afl_sim.scenario.sections.training import ConstantRate, InverseSqrtRate, StepRate, Training
    from afl_sim.scenario.study import Case, Study

_HOMES = {
    "AlwaysAvailable": "sections.availability",
    "Case": "study",
    "Catalogue": "catalogue",
    "Clients": "sections.clients",
    "Compute": "sections.compute",
    "ConstantRate": "sections.training",
    "DataSpec": "sections.data",
    "Distribution": "distributions.distribution",
    "Evaluation": "sections.settings",
    "Execution": "sections.settings",
    "FifoLink": "sections.network",
    "InverseSqrtRate": "sections.training",
    "Link": "sections.network",
    "Network": "sections.network",
    "Numerics": "sections.settings",
    "Override": "overrides",
    "Recording": "sections.settings",
    "Scenario": "scenario",
    "Section": "section",
    "Server": "sections.settings",
    "SharedLink": "sections.network",
    "StepRate": "sections.training",
    "Stop": "sections.settings",
    "Study": "study",
    "Training": "sections.training",
    "UncheckedBlock": "catalogue",
    "UncontendedLink": "sections.network",
    "ValidationContext": "catalogue",
    "dump_scenario": "dumping",
    "json_schema": "schema",
    "read_study": "loading",
    "scenario_id": "dumping",
}

__all__ = [
    "AlwaysAvailable",
    "Case",
    "Catalogue",
    "Clients",
    "Compute",
    "ConstantRate",
    "DataSpec",
    "Distribution",
    "Evaluation",
    "Execution",
    "FifoLink",
    "InverseSqrtRate",
    "Link",
    "Network",
    "Numerics",
    "Override",
    "Recording",
    "Scenario",
    "Section",
    "Server",
    "SharedLink",
    "StepRate",
    "Stop",
    "Study",
    "Training",
    "UncheckedBlock",
    "UncontendedLink",
    "ValidationContext",
    "dump_scenario",
    "json_schema",
    "read_study",
    "scenario_id",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found
