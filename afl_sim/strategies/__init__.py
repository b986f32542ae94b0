"""The strategies, one file each: a file put beside the others registers itself when imported."""

from importlib import import_module
from pkgutil import iter_modules

from afl_sim.strategies import methods
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Client, Population, State, Strategy, Update
from afl_sim.strategies.registry import register, resolve_strategy, strategies

__all__ = [
    "About",
    "Client",
    "Population",
    "State",
    "Strategy",
    "Update",
    "register",
    "resolve_strategy",
    "strategies",
]

for _module in iter_modules(methods.__path__):
    for _name, _found in vars(import_module(f"{methods.__name__}.{_module.name}")).items():
        if isinstance(_found, type) and issubclass(_found, Strategy):
            globals()[_name] = _found  # so that a strategy can be imported from here
