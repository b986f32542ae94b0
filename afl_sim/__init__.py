"""afl_sim: a discrete-event simulator of asynchronous federated learning.

>>> from afl_sim import load_scenario, simulate
>>> run = simulate(load_scenario("scenarios/smallest.yaml"), timing_only=True)
>>> run.summary["versions"]
12
"""

from __future__ import annotations

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from afl_sim.design.api import Solution, load_design, run_design
    from afl_sim.run.api import load_scenario, simulate
    from afl_sim.run.opened import Run, load_run, load_runs
    from afl_sim.scenario import Scenario
    from afl_sim.scenario.sections.attack import Attack
    from afl_sim.scenario.sections.candidates import Candidates
    from afl_sim.scenario.sections.compression import Compressor
    from afl_sim.scenario.sections.controllers import Controller
    from afl_sim.scenario.sections.losses import Loss
    from afl_sim.scenario.sections.metrics import Metric
    from afl_sim.scenario.sections.observation import Decision, Observation
    from afl_sim.scenario.sections.selection import Selection
    from afl_sim.strategies import About, Client, Population, Strategy, Update, register
    from afl_sim.strategies.toolkit.staleness import StalenessWeight
    from afl_sim.study.api import run_study
    from afl_sim.study.runs import Study, load_study

__version__ = "0.1.0"

# Imported when first used: the command line answers --help without loading torch.
_HOMES = {
    "About": "afl_sim.strategies",
    "Attack": "afl_sim.scenario.sections.attack",
    "Candidates": "afl_sim.scenario.sections.candidates",
    "Client": "afl_sim.strategies",
    "Compressor": "afl_sim.scenario.sections.compression",
    "Controller": "afl_sim.scenario.sections.controllers",
    "Decision": "afl_sim.scenario.sections.observation",
    "Loss": "afl_sim.scenario.sections.losses",
    "Metric": "afl_sim.scenario.sections.metrics",
    "Observation": "afl_sim.scenario.sections.observation",
    "Population": "afl_sim.strategies",
    "Run": "afl_sim.run.opened",
    "Scenario": "afl_sim.run.loading",  # which knows the kinds of strategies
    "Selection": "afl_sim.scenario.sections.selection",
    "Solution": "afl_sim.design.api",
    "StalenessWeight": "afl_sim.strategies.toolkit.staleness",
    "Strategy": "afl_sim.strategies",
    "Study": "afl_sim.study.runs",
    "Update": "afl_sim.strategies",
    "load_design": "afl_sim.design.api",
    "load_run": "afl_sim.run.opened",
    "load_runs": "afl_sim.run.opened",
    "load_scenario": "afl_sim.run.api",
    "load_study": "afl_sim.study.runs",
    "register": "afl_sim.strategies",
    "run_design": "afl_sim.design.api",
    "run_study": "afl_sim.study.api",
    "simulate": "afl_sim.run.api",
}

__all__ = [
    "About",
    "Attack",
    "Candidates",
    "Client",
    "Compressor",
    "Controller",
    "Decision",
    "Loss",
    "Metric",
    "Observation",
    "Population",
    "Run",
    "Scenario",
    "Selection",
    "Solution",
    "StalenessWeight",
    "Strategy",
    "Study",
    "Update",
    "load_design",
    "load_run",
    "load_runs",
    "load_scenario",
    "load_study",
    "register",
    "run_design",
    "run_study",
    "simulate",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(_import_module(_HOMES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*__all__, "__doc__", "__version__"]
