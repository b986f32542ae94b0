"""Mistakes in a user's own strategies and rules are told in plain words, with the user's line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from afl_sim import load_scenario, simulate
from afl_sim.errors import AflSimError

Told = Callable[..., str]

SCENARIO = """
name: t
data: {partition: {kind: iid, samples: 4, replacement: true}}
model: logistic
clients: {count: 3}
strategy: {kind: "MODULE:Mine"}
evaluation: {samples: 10}
stop: {versions: 2}
"""
SCHEDULE = """
    def schedule(self, server):
        server.send(2)
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.send()
"""
AGGREGATE = """
    def aggregate(self, params, state, updates, context):
        return updates[-1].params, state
"""
HEAD = "from afl_sim import Strategy\nclass Mine(Strategy):\n"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Told:
    """What a run with such a strategy says."""
    monkeypatch.syspath_prepend(tmp_path)
    module = f"mistaken_{abs(hash(request.node.name))}"

    def tell(text: str, file: str = SCENARIO) -> str:
        (tmp_path / f"{module}.py").write_text(text)
        path = tmp_path / "s.yaml"
        path.write_text(file.replace("MODULE", module))
        with pytest.raises(AflSimError) as caught:
            simulate(load_scenario(path))
        message = str(caught.value)
        assert "http" not in message
        assert "pydantic" not in message.lower()
        assert "\n" not in message
        assert "/afl_sim/" not in message
        return message.replace(str(tmp_path / module), "MINE")

    return tell


def test_a_schedule_without_yield_is_shown_what_to_yield(told: Told) -> None:
    text = HEAD + "\n    def schedule(self, server):\n        server.send(2)\n" + AGGREGATE
    message = told(text)
    assert "schedule() must be a generator" in message
    assert "update = yield server.arrival() (MINE.py:4)" in message


@pytest.mark.parametrize(
    ("answer", "got"),
    [
        ("return updates[-1].params", "a Tensor"),
        ("pass", "nothing"),
        ("return params, state, 1", "a tuple of 3"),
    ],
)
def test_a_rule_that_forgets_the_state_is_shown_what_to_return(
    answer: str, got: str, told: Told
) -> None:
    text = HEAD + SCHEDULE + AGGREGATE.replace("return updates[-1].params, state", answer)
    message = told(text)
    assert f"aggregate returned {got}; expected the next model and the next state" in message
    assert "return params, state (MINE.py:" in message


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("def aggregate(self, params): return params, None", "aggregate(self, params, state, "),
        ("def schedule(self): yield 5", "schedule(self, server)"),
        ("def initial_state(self): return 5", "initial_state(self, params, population)"),
    ],
)
def test_a_method_with_other_parameters_is_shown_the_right_ones(
    method: str, call: str, told: Told
) -> None:
    message = told(f"{HEAD}{SCHEDULE}{AGGREGATE}\n    {method}\n")
    assert f"; expected {call}" in message
    assert "MINE.py:" in message


@pytest.mark.parametrize(
    ("setting", "told_as"),
    [
        ("lr = 0.5", "the setting lr has no type; expected lr: float = 0.5"),
        ("names = ['a']", "the setting names has no type; expected names: list = ['a']"),
    ],
)
def test_a_setting_without_a_type_is_shown_with_one(setting: str, told_as: str, told: Told) -> None:
    assert told_as in told(f"{HEAD}    {setting}\n{SCHEDULE}{AGGREGATE}")


@pytest.mark.parametrize("hook", ["server.send(2)", "return updates[-1].params, state"])
def test_a_strategy_that_sets_an_attribute_hears_that_it_cannot_change(
    hook: str, told: Told
) -> None:
    text = (HEAD + SCHEDULE + AGGREGATE).replace(hook, f"self.buf = []\n        {hook}")
    message = told(text)
    assert "it sets self.buf, but a Mine cannot be changed; expected local variables" in message


def test_a_strategy_that_sets_an_attribute_when_it_is_made_hears_the_same(told: Told) -> None:
    made = "\n    def model_post_init(self, context):\n        self.buf = []\n"
    message = told(HEAD + made + SCHEDULE + AGGREGATE)
    assert "its class sets self.buf, but it cannot be changed" in message


def test_a_rule_of_another_kind_hears_the_same(told: Told) -> None:
    weight = "from afl_sim import StalenessWeight\nclass Mine(StalenessWeight):\n    every = 2\n"
    file = SCENARIO.replace(
        '"MODULE:Mine"', 'fedbuff, concurrency: 2, buffer_size: 1, staleness: "MODULE:Mine"'
    )
    assert "the setting every has no type; expected every: int = 2" in told(weight, file)
