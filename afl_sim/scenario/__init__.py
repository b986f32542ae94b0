"""The content of a scenario file: models, distributions, and loading with line numbers."""

from afl_sim.scenario.catalogue import Catalogue, UncheckedBlock, ValidationContext
from afl_sim.scenario.construction import fill
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.dumping import dump_scenario, scenario_id
from afl_sim.scenario.loading import read_study
from afl_sim.scenario.overrides import Override
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.schema import json_schema
from afl_sim.scenario.section import Checked, Section
from afl_sim.scenario.sections.availability import AlwaysAvailable
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.compute import Compute
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.evaluation import Evaluation
from afl_sim.scenario.sections.network import FifoLink, Link, Network, SharedLink, UncontendedLink
from afl_sim.scenario.sections.settings import (
    Execution,
    Numerics,
    Recording,
    Server,
    Stop,
)
from afl_sim.scenario.sections.training import ConstantRate, InverseSqrtRate, StepRate, Training
from afl_sim.scenario.study import Case, Study

Checked._fill = fill

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
