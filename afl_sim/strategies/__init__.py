"""The strategies, and what one needs to write another.

Each strategy is a file in `afl_sim/strategies/methods/`. To add one to this package, put a new file
there whose class has the decorator ``@register("its_name")``. Nothing else has to be changed: when
this package is imported, the loop below imports every file in that folder, the decorator registers
the class under its name, and the class can then be imported from here.

A strategy outside this package needs no file here. A scenario can name it as
``kind: "package.module:Class"``, and an entry point of the group ``afl_sim.strategies`` gives it a
short name (see `examples/my_strategy`).
"""

from importlib import import_module
from pkgutil import iter_modules

from afl_sim.strategies import methods
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, State, Step, Strategy, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy, RoundStrategy
from afl_sim.strategies.inputs import Client, Population, Public, Reading, Update, Work
from afl_sim.strategies.registry import register, resolve_strategy, strategies
from afl_sim.strategies.server_view import ServerView
from afl_sim.strategies.task_view import Event, Schedule, TaskView, Timing

__all__ = [
    "About",
    "Client",
    "ConcurrentStrategy",
    "Context",
    "Event",
    "GradientStrategy",
    "Population",
    "Public",
    "Reading",
    "RoundStrategy",
    "Schedule",
    "ServerView",
    "State",
    "Step",
    "Strategy",
    "TaskView",
    "Timing",
    "Update",
    "Updates",
    "Work",
    "register",
    "resolve_strategy",
    "strategies",
]

for _module in iter_modules(methods.__path__):
    for _name, _found in vars(import_module(f"{methods.__name__}.{_module.name}")).items():
        if isinstance(_found, type) and issubclass(_found, Strategy):
            globals()[_name] = _found
