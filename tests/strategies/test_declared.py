"""What a strategy of one's own says of itself is looked at before a run."""

from __future__ import annotations

from typing import Any

import pytest

from afl_sim import Scenario, Strategy
from afl_sim.errors import ScenarioError
from afl_sim.strategies import strategies
from afl_sim.strategies.base import Public


class Replace(Strategy):
    concurrency: int = 2

    def schedule(self, server: Any) -> Any:
        server.send(self.concurrency)
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.send()

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return updates[-1].params, state


def saying(name: str, value: Any) -> type[Strategy]:
    """A strategy with this value, or what this function makes, as a property."""
    return type("Own", (Replace,), {name: property(value) if callable(value) else value})


def built(strategy: Strategy) -> Scenario:
    return Scenario(clients={"count": 5}, strategy=strategy, stop={"updates": 3})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("gradient", "yes", "its gradient is 'yes'; expected True or False"),
        ("waits_for_all", 1, "its waits_for_all is 1; expected True or False"),
        ("reads_results", lambda self: None, "its reads_results is nothing; expected True or Fals"),
        (
            "gradients_per_step",
            0,
            "its gradients_per_step is 0; expected a whole number, 1 or more",
        ),
        ("adapts", "concurrency", "its adapts is 'concurrency'; expected a tuple of some of"),
        ("adapts", ("concurency",), "expected a tuple of some of 'concurrency', 'buffer_size'"),
        ("adapts", ("buffer_size",), "its adapts names buffer_size, which it has not"),
        ("adapts", 3, "its adapts is 3"),
        ("optimizer_gets", "step", "its optimizer_gets is 'step'; expected 'direction' or"),
        ("results_key", 3, "its results_key is 3; expected the name of a setting"),
        ("proximal", lambda self: "x", "its proximal is 'x'; expected a finite number, 0 or more"),
        ("proximal", lambda self: 1 / 0, "its proximal raised ZeroDivisionError: division by zero"),
        ("lr_scale", lambda self: float("nan"), "its lr_scale is nan; expected a finite number"),
        ("lr_scale", lambda self: -1, "its lr_scale is -1; expected a finite number, 0 or more"),
        ("public_batch", lambda self: 3, r"its public_batch is 3; expected Public\(samples,"),
        (
            "public_batch",
            lambda self: Public(0, "noise"),
            "its public_batch is .*; expected Public",
        ),
        (
            "public_batch",
            lambda self: Public(8, "tests"),
            "its public_batch is .*; expected Public",
        ),  # type: ignore[arg-type]
        ("task_limit", lambda self: 3, "its task_limit is 3; expected a setting and its seconds"),
        ("task_limit", lambda self: ("deadline", "3 s"), "expected a setting and its seconds"),
        (
            "task_limit",
            lambda self: 1 / 0,
            r"its task_limit raised Zero.* \(.*test_declared.py:\d+",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name: str, value: Any, message: str) -> None:
    own = saying(name, value)
    with pytest.raises(ScenarioError, match=message) as caught:
        built(own())
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("adapts", ("concurrency",)),
        ("adapts", ["concurrency"]),
        ("lr_scale", lambda self: 0),
        ("public_batch", lambda self: Public(8, "noise")),
        ("task_limit", lambda self: ("deadline", 3)),
        ("gradient", True),
    ],
)
def test_what_can_be_is_accepted(name: str, value: Any) -> None:
    assert built(saying(name, value)()).clients.count == 5


def test_every_named_strategy_says_what_can_be() -> None:
    for kind, each in strategies().items():
        assert each().kind == kind
