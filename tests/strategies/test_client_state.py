"""Corrections of local gradients, and what clients keep from task to task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_training import data, linear, sgd, trainer
from torch import Tensor
from vectors import flat_layout

from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.run.api import load_scenario, simulate
from afl_sim.strategies import Strategy
from afl_sim.strategies.base import Client, Work
from afl_sim.testing.toy import Case, calls_of


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_correction_is_added_to_every_gradient(momentum: float) -> None:
    local = trainer(linear(), batch_size=None, optimizer=sgd(0.1, momentum=momentum))
    count = local.layout.num_parameters
    shift = torch.linspace(-1, 1, count)
    found = local.train(0, 0, 3, local.initial, local.initial[:count], 1.0, shift)
    # By hand: the loss plus <shift, w> has just that gradient.
    model = linear()
    images, labels = data()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=momentum)
    for _ in range(3):
        optimizer.zero_grad()
        flat = torch.cat([w.reshape(-1) for w in model.parameters()])
        (torch.nn.functional.cross_entropy(model(images), labels) + flat @ shift).backward()
        optimizer.step()
    expected = torch.cat([w.detach().reshape(-1) for w in model.parameters()])
    torch.testing.assert_close(found.vector, expected)


def test_a_gradient_method_is_corrected_too() -> None:
    local = trainer(linear(), batch_size=None, gradient=True)
    count = local.layout.num_parameters
    shift = torch.linspace(-1, 1, count)
    arguments = (0, 0, 1, local.initial, local.initial[:count], 1.0)
    plain, corrected = local.train(*arguments), local.train(*arguments, shift)
    torch.testing.assert_close(corrected.delta, plain.delta - shift)


def test_a_correction_of_zero_changes_no_bit() -> None:
    local = trainer(linear(), batch_size=5)
    count = local.layout.num_parameters
    arguments = (0, 0, 4, local.initial, local.initial[:count], 1.0)
    plain, corrected = local.train(*arguments), local.train(*arguments, torch.zeros(count))
    assert torch.equal(plain.vector, corrected.vector)


class Counts(Strategy):
    """Each client counts its own tasks, and the server learns the numbers."""

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(server.clients))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            server.dispatch(update.client)

    def client_state(self, params: Tensor, state: Any, client: Client, work: Work) -> Tensor:
        before = torch.zeros(1) if client.state is None else client.state
        return before + torch.tensor([1.0])

    def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
        return params + 0.1 * updates[0].delta, state


def test_a_client_keeps_from_task_to_task_and_the_server_sees_it() -> None:
    seen: dict[int, list[float]] = {}
    for call in calls_of(Case(Counts())):
        (update,) = call.updates
        assert update.client_state is not None
        seen.setdefault(update.client, []).append(float(update.client_state))
    assert all(numbers == [*range(1, len(numbers) + 1)] for numbers in seen.values())
    assert len(seen) == 6


class Restarts(Counts):
    """Cancels what is under way at each version, and has it start anew."""

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(server.clients))
        while True:
            update = yield server.arrival()
            yield server.aggregate([update])
            for task in (*server.in_flight, *server.arrivals()):
                server.cancel(task)
                server.dispatch(task.client)
            server.dispatch(update.client)


def test_a_cancelled_task_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    distinct = (1, 1.37, 2.11, 3.3, 1.71, 0.93, 2.57, 1.19)  # nothing is due together
    monkeypatch.setattr("afl_sim.testing.toy._SECONDS", distinct)
    seen: dict[int, list[float]] = {}
    for call in calls_of(Case(Restarts(), versions=60)):
        (update,) = call.updates
        assert update.client_state is not None
        seen.setdefault(update.client, []).append(float(update.client_state))
    assert len(seen) > 1
    assert all(numbers == [*range(1, len(numbers) + 1)] for numbers in seen.values())


class Idle:
    """A trainer of one parameter that notes how it was called."""

    learning_rate = 0.5

    def __init__(self) -> None:
        self.layout = flat_layout(1)
        self.corrections: list[Any] = []

    def train(
        self,
        client: int,
        task: int,
        steps: int,
        start: Tensor,
        anchor: Tensor,
        factor: float,
        correction: Tensor | None = None,
    ) -> LocalResult:
        self.corrections.append(correction)
        return LocalResult(start + 1 if steps else start, torch.ones(1), 0.0)

    def evaluate(self, vector: Tensor) -> Scores:
        raise NotImplementedError


class Keeps(Counts):
    """Corrects by what the client keeps, and keeps the learning rate and the steps."""

    def correction(self, params: Tensor, state: Any, client: Client) -> Tensor | None:
        return None if client.state is None else client.state[:1]

    def client_state(self, params: Tensor, state: Any, client: Client, work: Work) -> Tensor:
        return torch.tensor([work.lr, float(work.steps)])


def task(steps: int) -> TrainingTask:
    return TrainingTask(3, 0, steps, torch.zeros(2), 0.25, (Keeps(), None))


def test_the_hooks_get_the_steps_the_learning_rate_and_what_was_kept() -> None:
    idle: Any = Idle()
    runner = TaskRunner(idle, idle)
    first = runner.train(task(4), None)
    assert first.vector.tolist() == [1, 1, 0.125, 4]  # parameter, buffer, then what it keeps
    second = runner.train(task(2), first.vector)
    assert second.vector.tolist() == [1, 1, 0.125, 2]
    assert idle.corrections[0] is None
    assert idle.corrections[1].tolist() == [0.125]


def test_a_task_of_no_steps_keeps_what_there_was() -> None:
    idle: Any = Idle()
    runner = TaskRunner(idle, idle)
    assert runner.train(task(0), None).vector.tolist() == [0, 0]
    kept = torch.tensor([5.0, 5.0, 0.5, 7.0])
    assert runner.train(task(0), kept).vector.tolist() == [0, 0, 0.5, 7]


@pytest.mark.parametrize("kind", ["scaffold", "feddyn"])
def test_client_state_survives_being_broken_off(kind: str, tmp_path: Any) -> None:
    from afl_sim.run.api import resume

    scenario = load_scenario(
        "scenarios/smallest.yaml",
        [
            f"strategy={{kind: {kind}, clients_per_round: 4}}",
            "stop={versions: 7}",
            "evaluation.samples=100",
        ],
    )
    asked = iter([False, False, False, True])
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=lambda: next(asked))
    whole = simulate(scenario)
    again = resume(tmp_path / "run")
    assert again.summary["model_digest"] == whole.summary["model_digest"]
