"""How many numbers an optimizer holds for each one that it trains, without PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

_STATES: Final[dict[str, Callable[[Mapping[str, Any]], int]]] = {
    "SGD": lambda given: int(bool(given.get("momentum"))),
    "Adam": lambda given: 2 + bool(given.get("amsgrad")),
    "AdamW": lambda given: 2 + bool(given.get("amsgrad")),
    "RMSprop": lambda given: 1 + bool(given.get("momentum")) + bool(given.get("centered")),
    "Adagrad": lambda given: 1,
    "ASGD": lambda given: 1,
    "Adafactor": lambda given: 0,  # a row and a column for each matrix
}
_OTHERS: Final = 2  # Adamax, NAdam, RAdam, Adadelta, Rprop; FedAdagrad, FedAdam, FedYogi


def states_of(kind: str, arguments: Mapping[str, Any]) -> int:
    """Numbers in the state of an optimizer, for each number that is trained.

    >>> states_of("SGD", {"momentum": 0.9})
    1
    """
    count = _STATES.get(kind)
    return _OTHERS if count is None else count(arguments)
