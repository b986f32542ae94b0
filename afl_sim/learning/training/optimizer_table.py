"""The arguments of optimizers and their defaults, without PyTorch.

Reading a scenario needs the names of arguments, their defaults and whether values are allowed, but
no optimizer. A test compares this table with the signatures of the classes themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

Arguments = Mapping[str, Any]

_MOMENTS: Final[Arguments] = {
    "betas": (0.9, 0.999),
    "eps": 1e-08,
    "weight_decay": 0,
}

SIGNATURES: Final[Mapping[str, Arguments]] = {
    "Adafactor": {
        "lr": 0.01,
        "beta2_decay": -0.8,
        "eps": (None, 0.001),
        "d": 1.0,
        "weight_decay": 0.0,
    },
    "Adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-06, "weight_decay": 0},
    "Adagrad": {
        "lr": 0.01,
        "lr_decay": 0,
        "weight_decay": 0,
        "initial_accumulator_value": 0,
        "eps": 1e-10,
    },
    "Adam": {"lr": 0.001, **_MOMENTS, "amsgrad": False, "decoupled_weight_decay": False},
    "Adamax": {"lr": 0.002, **_MOMENTS},
    "AdamW": {"lr": 0.001, **_MOMENTS, "weight_decay": 0.01, "amsgrad": False},
    "ASGD": {"lr": 0.01, "lambd": 0.0001, "alpha": 0.75, "t0": 1000000.0, "weight_decay": 0},
    "NAdam": {"lr": 0.002, **_MOMENTS, "momentum_decay": 0.004, "decoupled_weight_decay": False},
    "RAdam": {"lr": 0.001, **_MOMENTS, "decoupled_weight_decay": False},
    "RMSprop": {
        "lr": 0.01,
        "alpha": 0.99,
        "eps": 1e-08,
        "weight_decay": 0,
        "momentum": 0,
        "centered": False,
    },
    "Rprop": {"lr": 0.01, "etas": (0.5, 1.2), "step_sizes": (1e-06, 50)},
    "SGD": {"lr": 0.001, "momentum": 0, "dampening": 0, "weight_decay": 0, "nesterov": False},
    "FedAdagrad": {"lr": 0.01, "betas": (0.0, 0.99), "tau": 0.001},
    "FedAdam": {"lr": 0.01, "betas": (0.9, 0.99), "tau": 0.001},
    "FedYogi": {"lr": 0.01, "betas": (0.9, 0.99), "tau": 0.001},
}
"""By the name of an optimizer's class, the defaults of its arguments, in their order."""


def _not_negative(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def _below_one(value: Any) -> bool:
    return _not_negative(value) and value < 1


_ORDINARY: Final[Mapping[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("lr", "eps", "weight_decay", "momentum", "lr_decay"), _not_negative),
    "betas": lambda pair: all(map(_below_one, pair)),
    "amsgrad": lambda value: isinstance(value, bool),
}
"""Values that every optimizer with such an argument accepts, whatever its other arguments are."""


def is_ordinary(kind: str, arguments: Arguments) -> bool:
    """Whether an optimizer is known to accept these arguments; others may be right, too.

    Args:
        kind: the name of its class.
        arguments: all of its arguments.
    """
    defaults = SIGNATURES.get(kind)
    if defaults is None or arguments.keys() != defaults.keys():
        return False
    return all(
        value == defaults[name] or (name in _ORDINARY and _ORDINARY[name](value))
        for name, value in arguments.items()
    )
