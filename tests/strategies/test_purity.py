"""A hook that changes what it is given is refused, whichever hook, argument and way it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from vectors import flat_layout, moved, population, vec

from afl_sim.errors import StrategyError
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask
from afl_sim.global_model.server_model import ServerModel
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.strategies import Strategy, Update
from afl_sim.testing import CHECKS, Case
from afl_sim.testing.toy import executor_of, learner_of, turn
from afl_sim.world.tasks.task import Task

State = dict[str, Any]


def fresh_state() -> State:
    return {"model": vec(1, 2), "table": {3: (vec(5, 6), 1)}, "counts": [1, 2], "rounds": 0}


class Meddles(Strategy):
    """Does something to the arguments of one of its hooks, and else returns new values."""

    where: str = "aggregate"
    what: Any = None

    def initial_state(self, params: Any, population: Any) -> Any:
        self.meddle("initial_state", params)
        return fresh_state()

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        self.meddle("aggregate", params, state, updates, context)
        return params + 1, fresh_state()

    def direction(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        self.meddle("direction", params, state, updates, context)
        return params * 0, state

    def refused(self, params: Any, state: Any, context: Any) -> Any:
        self.meddle("refused", params, state, None, context)
        return params, state

    def starting_point(self, params: Any, state: Any, client: Any) -> Any:
        self.meddle("starting_point", params, state, client)
        return params

    def correction(self, params: Any, state: Any, client: Any) -> Any:
        self.meddle("correction", params, state, client)
        return None

    def client_state(self, params: Any, state: Any, client: Any, work: Any) -> Any:
        self.meddle("client_state", params, state, client, work)
        return vec(1)

    def meddle(self, hook: str, *arguments: Any) -> None:
        if hook == self.where and self.what is not None:
            self.what(*arguments)


def fresh_updates() -> list[Update]:
    return [moved(1, 2, client=0), moved(3, 4, client=1)]


def server_of(strategy: Strategy) -> ServerModel:
    return ServerModel(strategy, vec(7, 8), flat_layout(2), population(2))


def aggregate(server: ServerModel, times: int = 1, **context: Any) -> None:
    """Have a server aggregate two updates, so many times."""
    for _ in range(times):
        server.aggregate(fresh_updates(), [vec(0, 0)] * 2, context)


def aggregated(strategy: Strategy) -> ServerModel:
    """A server that has aggregated once."""
    server = server_of(strategy)
    aggregate(server, tier=1, picked=[0, 1], steps={0: 1.5})
    return server


class Trains:
    """A trainer that moves the model by one."""

    layout = flat_layout(2)
    learning_rate = 0.5

    def train(self, client: int, task: int, steps: int, start: Tensor, *_: Any) -> LocalResult:
        return LocalResult(start + 1, vec(1, 1), 1.0)


def trained(strategy: Strategy) -> LocalResult:
    """A client's task that goes on from its own model (1, 1), having kept (9,)."""
    anything: Any = Trains()
    runner = TaskRunner(anything, anything)
    return runner.train(
        TrainingTask(4, 1, 2, vec(7, 8), 1.0, (strategy, fresh_state())), vec(1, 1, 9)
    )


def write(tensor: Tensor) -> None:
    tensor.numpy()[:] = 3


def write_data(tensor: Tensor) -> None:
    tensor.data.mul_(2)


WAYS: dict[str, tuple[Callable[..., Any], str]] = {
    "in place": (lambda p, s, u, c: p.add_(1), "params"),
    "a view in place": (lambda p, s, u, c: p[1:].zero_(), "params"),
    "detached": (lambda p, s, u, c: p.detach().sub_(1), "params"),
    "through NumPy": (lambda p, s, u, c: write(p), "params"),
    "through data": (lambda p, s, u, c: write_data(p), "params"),
    "an update's delta": (lambda p, s, u, c: u[1].delta.mul_(2), r"updates\[1\].delta"),
    "an update's params": (lambda p, s, u, c: u[0].params.zero_(), r"updates\[0\].params"),
    "a delta through NumPy": (lambda p, s, u, c: write(u[0].delta), r"updates\[0\].delta"),
    "the updates": (lambda p, s, u, c: u.pop(), "updates"),
    "their order": (lambda p, s, u, c: u.reverse(), r"updates\[0\]"),
    "a tensor of the state": (lambda p, s, u, c: s["model"].add_(1), r"state\['model'\]"),
    "a table": (lambda p, s, u, c: s["table"][3][0].add_(1), r"state\['table'\]\[3\]\[0\]"),
    "a table's rows": (lambda p, s, u, c: s["table"].update({4: 1}), r"state\['table'\]"),
    "another tensor": (lambda p, s, u, c: s.update(model=vec(1, 2)), r"state\['model'\]"),
    "a number": (lambda p, s, u, c: s.update(rounds=1), r"state\['rounds'\]"),
    "a list": (lambda p, s, u, c: s["counts"].append(3), r"state\['counts'\]"),
    "the context": (lambda p, s, u, c: c.pop("tier"), "context"),
    "a list of the context": (lambda p, s, u, c: c["picked"].remove(0), r"context\['picked'\]"),
    "its numbers": (lambda p, s, u, c: c["steps"].update({0: 2.0}), r"context\['steps'\]\[0\]"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_aggregate_that_changes_an_argument_is_refused(way: str) -> None:
    what, named = WAYS[way]
    with pytest.raises(StrategyError, match=rf"Meddles: aggregate changed {named}, which it"):
        aggregated(Meddles(what=what))


@pytest.mark.parametrize("way", WAYS)
def test_a_direction_that_changes_an_argument_is_refused(way: str) -> None:
    what, named = WAYS[way]
    strategy = Meddles(where="direction", what=what, server_optimizer="SGD")
    with pytest.raises(StrategyError, match=rf"Meddles: direction changed {named}, which it"):
        aggregated(strategy)


def test_the_message_says_where_the_hook_is() -> None:
    line = Meddles.aggregate.__code__.co_firstlineno
    with pytest.raises(StrategyError, match=rf"new values, .* \(.*test_purity.py:{line}\)$"):
        aggregated(Meddles(what=WAYS["in place"][0]))


@pytest.mark.parametrize("way", [lambda p: p.add_(1), write])
def test_an_initial_state_that_changes_the_model_is_refused(way: Any) -> None:
    with pytest.raises(StrategyError, match="initial_state changed params"):
        aggregated(Meddles(where="initial_state", what=way))


def test_a_refusal_that_changes_the_state_is_refused() -> None:
    server = server_of(Meddles(where="refused", what=WAYS["a list"][0]))
    with pytest.raises(StrategyError, match=r"refused changed state\['counts'\]"):
        server.aggregate([], [], {})


CLIENTS_WAYS: dict[str, tuple[Callable[..., Any], str]] = {
    "the model": (lambda p, s, c, *w: p.add_(1), "params"),
    "the model through NumPy": (lambda p, s, c, *w: write(p), "params"),
    "the state": (lambda p, s, c, *w: s["model"].add_(1), r"state\['model'\]"),
    "its own model": (lambda p, s, c, *w: c.params.add_(1), "client.params"),
    "what it kept": (lambda p, s, c, *w: c.state.add_(1), "client.(params|state)"),
}


@pytest.mark.parametrize("hook", ["starting_point", "correction", "client_state"])
@pytest.mark.parametrize("way", CLIENTS_WAYS)
def test_a_hook_of_a_client_that_changes_an_argument_is_refused(hook: str, way: str) -> None:
    what, named = CLIENTS_WAYS[way]
    with pytest.raises(StrategyError, match=rf"Meddles: {hook} changed {named}, which it"):
        trained(Meddles(where=hook, what=what))


def test_a_client_state_that_changes_the_work_is_refused() -> None:
    strategy = Meddles(where="client_state", what=lambda p, s, c, w: w.delta.mul_(2))
    with pytest.raises(StrategyError, match=r"client_state changed work\.delta"):
        trained(strategy)


def test_hooks_that_return_new_values_are_not_refused() -> None:
    server = aggregated(Meddles())
    assert server.vector.tolist() == [8, 9]
    aggregate(server, 5, nan=float("nan"), thing=object())
    assert server.vector.tolist() == [13, 14]
    assert trained(Meddles()).vector.tolist() == [8, 9, 1]


def test_a_model_made_in_inference_mode_is_no_mistake() -> None:
    class Infers(Strategy):
        def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
            with torch.inference_mode():
                new = params + updates[0].delta
                return new, {"last": new}

    server = aggregated(Infers())
    aggregate(server, 3)
    assert server.vector.tolist() == [11, 16]


class Late(Strategy):
    """Changes a tensor of a large state at one call only."""

    at: int = 1
    calls: Any = None

    def initial_state(self, params: Any, population: Any) -> Any:
        return {"table": {client: vec(client, 0) for client in range(4000)}}

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        self.calls.append(1)
        if len(self.calls) >= self.at:
            state["table"][17].add_(1)
        return params + 1, state


@pytest.mark.parametrize("at", [1, 2, 70])
def test_a_large_state_is_looked_at_now_and_then(at: int) -> None:
    strategy = Late(at=at, calls=[])
    server = server_of(strategy)
    with pytest.raises(StrategyError, match=r"aggregate changed state\['table'\]\[17\]"):
        aggregate(server, 200)
    assert at <= len(strategy.calls) <= at + 4000 // 64 + 1


def test_what_is_measured_is_not_changed() -> None:
    case = Case(Sound())
    learner = learner_of(case, executor_of(case.clients, "spread"))
    sent = Task(0, 0, 0, 1, 1, 0)
    learner.start(sent, None)
    assert learner.measure(lambda updates: len(updates), [sent], 1) == 1
    with pytest.raises(StrategyError, match=r"Sound: measure changed updates\[0\].delta"):
        learner.measure(lambda updates: float(updates[0].delta.mul_(2).sum()), [sent], 1)


class Sound(Strategy):
    """Takes each arriving model into account."""

    concurrency: int = 3

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(server.pick_one())

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params + updates[0].delta, state


class InPlace(Sound):
    """What many a user of torch would write."""

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        params += updates[0].delta
        return params, state


def test_a_run_ends_at_the_first_change() -> None:
    case = Case(InPlace())
    learner = learner_of(case, executor_of(case.clients, "spread"))
    with pytest.raises(StrategyError, match="InPlace: aggregate changed params"):
        turn(case, learner)


# -- the checks for third parties ------------------------------------------------------------------


CALLS: list[int] = []


class WritesThroughNumPy(Sound):
    """Changes its work in a way that no tensor counts, at a call where no run takes checksums."""

    def client_state(self, params: Any, state: Any, client: Any, work: Any) -> Any:
        CALLS.append(1)
        if len(CALLS) == 11:  # the sixth task, for the check calls twice
            write(work.delta)
        return vec(1)


class Draws(Sound):
    """Starts somewhere else each time that it is asked."""

    def starting_point(self, params: Any, state: Any, client: Any) -> Any:
        return params + torch.randn(3)


def test_the_checks_find_a_hook_that_is_not_pure() -> None:
    CHECKS["hooks_are_pure"](Case(Sound()))
    with pytest.raises(AssertionError, match="client_state changes its arguments"):
        CHECKS["hooks_are_pure"](Case(WritesThroughNumPy()))
    with pytest.raises(AssertionError, match="starting_point depends on more than its arguments"):
        CHECKS["hooks_are_pure"](Case(Draws()))
    with pytest.raises(AssertionError, match="aggregate changed params"):
        CHECKS["aggregate_is_pure"](Case(InPlace()))
