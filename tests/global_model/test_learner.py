"""The numeric half of a run: what is trained and when, from where, and what becomes of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from small_training import CLASSES, Held, data, sgd, trainer
from torch import Tensor, nn
from vectors import assert_is, flat_layout, vec
from world_runs import scenario

from afl_sim.errors import DivergedError, StrategyError, TaskError
from afl_sim.execution.local.inline import InlineExecutor
from afl_sim.execution.numerics import deterministic
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.run.api import simulate
from afl_sim.strategies import (
    FedAsync,
    FedAvg,
    FedBuff,
    Population,
    QuAFL,
    Strategy,
    Update,
    strategies,
)
from afl_sim.world.tasks.task import Task
from afl_sim.world.world import World


class FakeTrainer:
    """Training that adds the number of steps to each entry, and notes what it was asked for."""

    layout = flat_layout(2)

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    @property
    def tasks(self) -> list[tuple[int, int]]:
        return [(call["client"], call["task"]) for call in self.calls]

    def train(
        self, client: int, task: int, steps: int, start: Tensor, anchor: Tensor, lr_factor: float
    ) -> LocalResult:
        self.calls.append(
            {
                "client": client,
                "task": task,
                "steps": steps,
                "start": start.tolist(),
                "anchor": anchor.tolist(),
                "lr_factor": lr_factor,
            }
        )
        end = start + steps
        return LocalResult(end, (end - start)[:2], 1.0 if steps else math.nan)


class FakeEvaluator:
    """Calls the first entry of the vector the loss, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def evaluate(self, vector: Tensor) -> Scores:
        self.calls += 1
        return Scores(0.5, float(vector[0]), (0.5,))


class Fakes:
    """A learner over fakes, and what it reported."""

    def __init__(self, strategy: Strategy, initial: Tensor | None = None, **options: Any) -> None:
        self.trainer = FakeTrainer()
        self.evaluator = FakeEvaluator()
        self.executor = InlineExecutor(self.trainer, self.evaluator)  # type: ignore[arg-type]
        self.evaluations: list[tuple] = []
        self.learner = TrainingLearner(
            strategy,
            options.pop("executor", self.executor),
            vec(0, 0) if initial is None else initial,
            flat_layout(2),
            Population(10, options.pop("samples_of", lambda client: 1)),
            options.pop("lr_factor", lambda base_version: 1.0),
            lambda *row: self.evaluations.append(row),
            buffers=options.pop("buffers", "mean"),
        )

    def send(self, client: int, task: int = 0, steps: int = 1, base: int = 0, **kwargs: Any) -> Any:
        dispatch = Task(client, task, base, steps, steps, 0, **kwargs)
        self.learner.start(dispatch, None)
        return dispatch

    def run(self, built: Any, strategy: Any = None) -> World:
        """Run the world on this learner."""
        world = World(
            built, strategy or built.strategy, lambda client: 10, 8, self.learner, lambda *row: None
        )
        world.run()
        return world


def fakes_for(built: Any, **options: Any) -> Fakes:
    return Fakes(built.strategy, **options)


# -- training is lazy --------------------------------------------------------------------------


def test_nothing_is_trained_before_its_result_is_wanted() -> None:
    fakes = Fakes(FedAvg())
    sent = [fakes.send(client) for client in range(3)]
    assert fakes.trainer.calls == []
    fakes.learner.aggregate([sent[2], sent[0]], 1, {})
    assert fakes.trainer.tasks == [(2, 0), (0, 0)]  # in the order given, and nobody else's


def test_a_result_is_trained_once_however_often_it_is_used() -> None:
    fakes = Fakes(FedAvg())
    sent = fakes.send(0)
    fakes.learner.result(sent, 1)
    fakes.learner.aggregate([sent], 1, {})
    fakes.learner.aggregate([sent], 2, {})
    assert len(fakes.trainer.calls) == 1


def test_what_is_cancelled_discarded_or_still_in_flight_at_the_end_is_never_trained() -> None:
    built = scenario(
        [1, 2, 3, 4],
        strategy={"kind": "fedavg", "clients_per_round": 2, "over_selection": 1.0},
        stop={"versions": 3},
    )
    fakes = fakes_for(built)
    counts = fakes.run(built).server.counts
    assert counts.cancelled == 6
    assert len(fakes.trainer.calls) == counts.aggregated == 6

    built = scenario(
        [1, 2.5, 4],
        strategy={"kind": "fedasync", "concurrency": "all", "max_staleness": 1},
        stop={"updates": 6},
    )
    fakes = fakes_for(built)
    counts = fakes.run(built).server.counts
    assert counts.discarded > 0
    assert counts.in_flight > 0
    assert len(fakes.trainer.calls) == counts.aggregated == 6


def test_each_aggregated_update_is_trained_exactly_once() -> None:
    built = scenario(
        [1, 1, 2, 3],
        strategy={"kind": "fedbuff", "concurrency": "all", "buffer_size": 3},
        stop={"updates": 30},
    )
    fakes = fakes_for(built)
    fakes.run(built)
    assert len(fakes.trainer.tasks) == len(set(fakes.trainer.tasks)) == 30


# -- from where, with what ------------------------------------------------------------------------


def test_a_task_starts_from_the_version_that_was_current_when_it_was_sent() -> None:
    fakes = Fakes(FedAsync(alpha=1.0, staleness={"kind": "constant"}))
    early = fakes.send(0, steps=3)
    late = fakes.send(1, steps=5)
    fakes.learner.aggregate([early], 1, {})  # the model is (3, 3)
    after = fakes.send(0, task=1, steps=1, base=1)
    fakes.learner.aggregate([late], 2, {})
    fakes.learner.aggregate([after], 3, {})
    assert [call["start"] for call in fakes.trainer.calls] == [[0, 0], [0, 0], [3, 3]]
    assert [call["anchor"] for call in fakes.trainer.calls] == [[0, 0], [0, 0], [3, 3]]
    assert_is(fakes.learner.vector, 4, 4)


def test_the_learning_rate_is_a_function_of_the_base_version_times_the_strategys_factor() -> None:
    fakes = Fakes(QuAFL(clients_per_round=2), lr_factor=lambda version: 10.0 + version)
    sent = [fakes.send(0), fakes.send(1, base=7)]
    fakes.learner.aggregate(sent, 8, {})
    assert [call["lr_factor"] for call in fakes.trainer.calls] == [15.0, 25.5]  # 1.5 * (10 + v)


def test_the_learning_rate_is_times_the_factor_of_the_task() -> None:
    seen: list[float] = []

    class Slows(FedAvg):
        def schedule(self, server: Any) -> Iterator[Any]:
            sent = [server.dispatch(0, lr_factor=0.25), server.dispatch(1)]
            yield server.aggregate((yield server.wait(sent)))

        def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
            seen.extend(update.lr_factor for update in updates)
            return super().aggregate(params, state, updates, context)

    built = scenario([1, 2])
    fakes = Fakes(Slows(), lr_factor=lambda version: 3.0)
    fakes.run(built, Slows())
    assert [call["lr_factor"] for call in fakes.trainer.calls] == [0.75, 3.0]
    assert seen == [0.75, 3.0]


def test_an_update_tells_the_rule_where_it_comes_from() -> None:
    seen: list[Update] = []

    class Listens(FedAvg):
        def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
            seen.extend(updates)
            assert context == {"tier": 3}
            return super().aggregate(params, state, updates, context)

    fakes = Fakes(Listens(), vec(1, 2), samples_of=lambda client: 100 + client)
    fakes.learner.aggregate([fakes.send(4, steps=3, base=5)], 9, {"tier": 3})
    (update,) = seen
    assert (update.client, update.base_version, update.staleness) == (4, 5, 3)  # 9 - 1 - 5
    assert (update.num_samples, update.steps, update.loss) == (104, 3, 1.0)
    assert_is(update.delta, 3, 3)
    assert_is(update.params, 4, 5)


# -- clients that go on from their own model -----------------------------------------------------


class GoesOn(FedAsync):
    """Starts half-way between the client's own model and the server's."""

    def starting_point(self, params: Tensor, state: Any, client: Any) -> Tensor:
        return params if client.params is None else (params + client.params) / 2


def test_a_client_goes_on_from_the_model_it_ended_its_last_task_with() -> None:
    fakes = Fakes(GoesOn(alpha=1.0, staleness={"kind": "constant"}), vec(8, 8))
    first = fakes.send(0, steps=2)
    fakes.learner.arrive(first)
    other = fakes.send(1, steps=1)
    fakes.learner.arrive(other)
    second = fakes.send(0, task=1, steps=1)
    fakes.learner.arrive(second)
    fakes.learner.aggregate([second], 1, {})
    # Client 0 ended at 8 + 2 = 10, and starts at (8 + 10) / 2 = 9. Client 1 has a model of its own.
    assert [call["start"] for call in fakes.trainer.calls] == [[8, 8], [9, 9]]
    # The proximal anchor is the global model all the same.
    assert [call["anchor"] for call in fakes.trainer.calls] == [[8, 8], [8, 8]]
    assert fakes.trainer.tasks == [(0, 0), (0, 1)]


def test_a_cancelled_task_leaves_the_clients_model_as_it_was() -> None:
    fakes = Fakes(GoesOn(), vec(8, 8))
    first = fakes.send(0, steps=2)
    fakes.learner.arrive(first)
    cancelled = fakes.send(0, task=1, steps=100)
    fakes.learner.drop(cancelled)  # it never arrives
    third = fakes.send(0, task=2, steps=1)
    fakes.learner.arrive(third)
    fakes.learner.aggregate([third], 1, {})
    assert fakes.trainer.tasks == [(0, 0), (0, 2)]
    assert fakes.trainer.calls[-1]["start"] == [9, 9]


def test_a_discarded_update_still_is_the_clients_own_model() -> None:
    fakes = Fakes(GoesOn(), vec(8, 8))
    first = fakes.send(0, steps=2)
    fakes.learner.arrive(first)
    fakes.learner.drop(first)  # it has arrived, and the server does without it
    second = fakes.send(0, task=1, steps=1)
    fakes.learner.aggregate([second], 1, {})
    assert fakes.trainer.calls[-1]["start"] == [9, 9]


def test_a_long_chain_of_updates_that_nobody_asked_for_does_not_recurse() -> None:
    fakes = Fakes(GoesOn(), vec(0, 0))
    last = None
    for task in range(5000):
        last = fakes.send(0, task=task)
        fakes.learner.arrive(last)
    fakes.learner.aggregate([last], 1, {})
    assert fakes.trainer.tasks == [(0, task) for task in range(5000)]  # oldest first, each once


def test_a_long_chain_is_forgotten_without_recursion_too() -> None:
    fakes = Fakes(GoesOn(), vec(0, 0))
    for task in range(100_000):
        fakes.learner.arrive(fakes.send(0, task=task))
    del fakes  # would end the process if it ran out of stack


def test_a_chain_that_is_computed_lets_go_of_the_models_before_it() -> None:
    fakes = Fakes(GoesOn(), vec(0, 0))
    first = fakes.send(0)
    fakes.learner.arrive(first)
    second = fakes.send(0, task=1)
    fakes.learner.aggregate([second], 1, {})
    assert first.job.future._task is None
    assert second.job.future._task is None


def test_plain_strategies_keep_no_client_models() -> None:
    fakes = Fakes(FedAsync())
    sent = fakes.send(0)
    fakes.learner.arrive(sent)
    fakes.learner.drop(sent)
    assert sent.job is None
    assert fakes.learner._tasks.own == {}


# -- recall and poll -----------------------------------------------------------------------------


def test_recalled_work_is_trained_with_the_steps_that_were_done() -> None:
    # Client 0 does 10 steps in 8 s and is recalled after 4; client 1 needs 1 s.
    built = scenario(
        [8, 1],
        training={"batch_size": 1},
        strategy={"kind": "fedavg", "clients_per_round": 2, "deadline": 4.0, "partial": "keep"},
        stop={"versions": 1},
    )
    fakes = fakes_for(built)
    fakes.run(built)
    assert [(call["client"], call["steps"]) for call in fakes.trainer.calls] == [(1, 10), (0, 5)]


def test_a_polled_client_goes_on_from_the_work_that_was_taken() -> None:
    # One step takes 1 s; polled at 3 s and at 6 s, it has done 3 steps each time.
    built = scenario(
        1,
        compute={"seconds_per_step": 1},
        strategy={
            "kind": "quafl",
            "clients_per_round": 1,
            "local_steps": 5,
            "interaction_seconds": 3,
        },
        stop={"versions": 2},
    )
    fakes = fakes_for(built)
    fakes.run(built)
    assert [call["steps"] for call in fakes.trainer.calls] == [3, 3]
    # s = 1. The first task ends at 3; the server goes to (0 + 3) / 2 = 1.5. The second starts
    # between the server's model at the poll, 0, and its own, 3, and ends at 1.5 + 3 = 4.5.
    assert [call["start"] for call in fakes.trainer.calls] == [[0, 0], [1.5, 1.5]]
    assert [call["anchor"] for call in fakes.trainer.calls] == [[0, 0], [0, 0]]
    assert_is(fakes.learner.vector, 3, 3)  # (1.5 + 4.5) / 2


def test_a_poll_before_the_first_step_gives_back_the_model_that_was_sent() -> None:
    built = scenario(
        1,
        compute={"seconds_per_step": 10},
        strategy={
            "kind": "quafl",
            "clients_per_round": 1,
            "local_steps": 5,
            "interaction_seconds": 3,
        },
        stop={"versions": 4},
    )
    fakes = fakes_for(built, initial=vec(2, 6))
    fakes.run(built)
    assert [call["steps"] for call in fakes.trainer.calls] == [0, 0, 0, 0]
    assert_is(fakes.learner.vector, 2, 6)


def test_a_polled_client_whose_task_crashed_goes_on_from_the_model_before_that() -> None:
    fakes = Fakes(QuAFL(clients_per_round=1))
    first = fakes.send(0, steps=4)
    fakes.learner.arrive(first)
    crashed = Task(0, 1, 0, 9, 9, 0, until_polled=True)  # prepared, and never submitted
    fakes.learner.start(crashed, first)
    then = Task(0, 2, 0, 1, 1, 0)
    fakes.learner.start(then, crashed)
    fakes.learner.aggregate([then], 1, {})
    # s = 1: it starts halfway between the server's model, 0, and its own, 4.
    assert [call["start"] for call in fakes.trainer.calls] == [[0, 0], [2, 2]]


# -- buffers, checks, evaluations --------------------------------------------------------------


class MovesBuffers(FakeTrainer):
    """Ends with buffers that say which client it was."""

    def train(self, client: int, *rest: Any) -> LocalResult:
        result = super().train(client, *rest)
        buffers = torch.tensor([10.0 * client, 1.0])
        return LocalResult(torch.cat([result.vector[:2], buffers]), result.delta, result.loss)


@pytest.mark.parametrize(
    "strategy",
    [
        FedAvg(),
        FedAvg(server_optimizer={"kind": "Adam", "lr": 0.1}),
        FedAsync(alpha=0.1),
        QuAFL(clients_per_round=2),
    ],
    ids=["fedavg", "fedavg with Adam", "fedasync", "quafl"],
)
def test_buffers_become_their_mean_over_the_updates_whatever_the_rule(strategy: Strategy) -> None:
    # Client 3 has a hundred times the samples: parameters may be weighted, buffers are not.
    fakes = Fakes(strategy, vec(0, 0, 7, 7), samples_of=lambda client: 100 if client == 3 else 1)
    fakes.executor._runner._trainer = MovesBuffers()  # type: ignore[assignment]
    fakes.learner.aggregate([fakes.send(1), fakes.send(3)], 1, {})
    assert fakes.learner.vector.shape == (4,)
    assert_is(fakes.learner.vector[2:], 20, 1)


@pytest.mark.parametrize(
    ("strategy", "first", "second"),
    [
        (FedAvg(), (10 + 100 * 30) / 101, 1),
        # One after the other: 0.9 * 7 + 1 = 7.3, 0.9 * 7.3 + 3; 0.9 * 7 + 0.1 = 6.4, then 5.86.
        (FedAsync(alpha=0.1), 9.57, 5.86),
        (FedAsync(alpha=0.1, server_optimizer={"kind": "Adam", "lr": 0.1}), 9.57, 5.86),
        (QuAFL(clients_per_round=2), (7 + 10 + 30) / 3, 3),
        # 7 + 1/2 (3 + 23), 7 + 1/2 (-6 - 6)
        (FedBuff(buffer_size=2), 20, 1),
        # A rate of 1/2: 7 + 1/4 (3 + 23), 7 + 1/4 (-6 - 6); one of 5 would go beyond all buffers.
        (FedBuff(buffer_size=2, server_lr=0.5), 13.5, 4),
        (FedBuff(buffer_size=2, server_lr=5.0), 30, 1),
    ],
    ids=str,
)
def test_buffers_can_follow_the_rule_as_parameters_do(
    strategy: Strategy, first: float, second: float
) -> None:
    fakes = Fakes(
        strategy,
        vec(0, 0, 7, 7),
        samples_of=lambda client: 100 if client == 3 else 1,
        buffers="rule",
    )
    fakes.executor._runner._trainer = MovesBuffers()  # type: ignore[assignment]
    fakes.learner.aggregate([fakes.send(1), fakes.send(3)], 1, {})
    assert_is(fakes.learner.vector[2:], first, second, tolerance=1e-5)


def test_rules_never_see_buffers() -> None:
    class Checks(FedAvg):
        def initial_state(self, params: Tensor, population: Population) -> Any:
            assert params.shape == (2,)
            return None

        def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
            assert params.shape == updates[0].params.shape == updates[0].delta.shape == (2,)
            return super().aggregate(params, state, updates, context)

    fakes = Fakes(Checks(), vec(0, 0, 7, 7))
    fakes.executor._runner._trainer = MovesBuffers()  # type: ignore[assignment]
    fakes.learner.aggregate([fakes.send(1)], 1, {})


def test_a_clients_buffers_come_from_the_model_it_downloads_even_where_it_goes_on() -> None:
    fakes = Fakes(GoesOn(), vec(0, 0, 7, 7))
    fakes.executor._runner._trainer = moves = MovesBuffers()  # type: ignore[assignment]
    first = fakes.send(1)
    fakes.learner.arrive(first)
    second = fakes.send(1, task=1)
    fakes.learner.aggregate([second], 1, {})
    assert [call["start"][2:] for call in moves.calls] == [[7, 7], [7, 7]]


@pytest.mark.parametrize(
    "wrong", [vec(1, 2, 3), vec(1), torch.zeros(2, dtype=torch.float64), torch.zeros(1, 2)]
)
def test_an_aggregate_of_the_wrong_shape_or_type_is_an_error_that_names_the_strategy(
    wrong: Tensor,
) -> None:
    class Wrong(FedAvg):
        def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
            return wrong, state

    fakes = Fakes(Wrong(kind="mistaken"))
    with pytest.raises(StrategyError, match=r"mistaken.*expected torch.float32 of shape \(2,\)"):
        fakes.learner.aggregate([fakes.send(0)], 1, {})
    assert_is(fakes.learner.vector, 0, 0)


class Mistaken(FedAvg):
    where: str = ""

    def initial_state(self, params: Tensor, population: Any) -> Any:
        return [][len(self.where) - 7] if self.where == "initial" else None

    def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
        if self.where == "no tensor":
            return params.tolist(), state
        return params + torch.ones(3), state  # no such sum

    def starting_point(self, params: Tensor, state: Any, client: Any) -> Tensor:
        return {}["nothing"] if self.where == "start" else params


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("initial", r"initial_state raised IndexError: list index out of range"),
        ("start", r"starting_point raised KeyError: 'nothing'"),
        ("", r"aggregate raised RuntimeError: The size of tensor a"),
    ],
)
def test_what_a_strategy_s_code_raises_becomes_one_error_that_says_where(
    where: str, told: str
) -> None:
    def begin_and_aggregate() -> None:
        fakes = Fakes(Mistaken(where=where))
        fakes.learner.aggregate([fakes.send(0)], 1, {})

    with pytest.raises(StrategyError, match=rf"Mistaken: {told}.* \(.*test_learner.py:\d+\)$"):
        begin_and_aggregate()


def test_a_model_that_is_no_tensor_is_an_error() -> None:
    fakes = Fakes(Mistaken(where="no tensor"))
    with pytest.raises(StrategyError, match="aggregate returned a list for the model"):
        fakes.learner.aggregate([fakes.send(0)], 1, {})


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("odd\nshape"), r"client 3's task 0 failed: ValueError: odd shape \(.*:\d+\)$"),
        (MemoryError(), r"not enough memory for client 3's task 0; try fewer --workers"),
        (RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory"), "not enough"),
    ],
)
def test_what_training_raises_becomes_one_error_that_says_whose(
    error: Exception, told: str
) -> None:
    fakes = Fakes(FedAvg())

    def fail(*_: Any) -> None:
        raise error

    fakes.trainer.train = fail  # type: ignore[method-assign, assignment]
    with pytest.raises(TaskError, match=told) as caught:
        fakes.learner.aggregate([fakes.send(3)], 1, {})
    assert caught.value.__cause__ is error


def test_a_version_is_evaluated_once_and_reported_as_often_as_asked() -> None:
    fakes = Fakes(FedAvg())
    fakes.learner.evaluate(0, 0, 0, 0)
    fakes.learner.evaluate(5, 0, 0, 0)
    assert fakes.evaluator.calls == 1
    fakes.learner.aggregate([fakes.send(0)], 1, {})
    fakes.learner.evaluate(9, 1, 1, 10)
    assert fakes.evaluator.calls == 2
    fakes.learner.settle()
    assert [row[:4] for row in fakes.evaluations] == [(0, 0, 0, 0), (5, 0, 0, 0), (9, 1, 1, 10)]
    assert [row[4].loss for row in fakes.evaluations] == [0, 0, 1]
    assert fakes.learner.metric("accuracy") == 0.5


# -- divergence ------------------------------------------------------------------------------------


@pytest.fixture
def one_thread() -> Iterator[None]:
    with deterministic():
        yield


def learner_with_real_training(
    images: Tensor, labels: Tensor, held: Sequence[list[int]], lr: float = 0.1
) -> Fakes:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, CLASSES))
    local = trainer(model, (images, labels), Held(*held), optimizer=sgd(lr), batch_size=None)
    fakes = Fakes(FedAvg(), local.initial)
    executor = InlineExecutor(local, fakes.evaluator)  # type: ignore[arg-type]
    fakes.learner = TrainingLearner(
        FedAvg(),
        executor,
        local.initial,
        local.layout,
        Population(len(held), lambda client: len(held[client])),
        lambda base_version: 1.0,
        lambda *row: None,
    )
    return fakes


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_client_and_the_version(value: float) -> None:
    images, labels = data()
    images[5] = value  # client 1 holds it
    fakes = learner_with_real_training(images, labels, [[0, 1], [4, 5], [6, 7]])
    learner = fakes.learner
    learner.aggregate([fakes.send(0), fakes.send(2)], 1, {})
    kept = learner.vector.clone()
    with pytest.raises(DivergedError, match=r"version 2: client 1 .*task 3"):
        learner.aggregate([fakes.send(0, 1, base=1), fakes.send(1, 3, base=1)], 2, {})
    assert learner.divergence is not None
    assert (learner.divergence.version, learner.divergence.client) == (2, 1)
    assert torch.equal(learner.vector, kept)  # the last model that was finite
    assert torch.isfinite(kept).all()


@pytest.mark.usefixtures("one_thread")
def test_a_client_that_diverges_but_is_never_aggregated_harms_nobody() -> None:
    images, labels = data()
    images[5] = math.nan
    fakes = learner_with_real_training(images, labels, [[0, 1], [4, 5]])
    sent = [fakes.send(0), fakes.send(1)]
    fakes.learner.aggregate(sent[:1], 1, {})
    assert torch.isfinite(fakes.learner.vector).all()


def test_a_run_that_diverges_ends_and_says_where() -> None:
    built = scenario(
        [1, 2, 3, 4],
        data={"partition": {"kind": "iid", "samples": 20}},
        model="logistic",
        training={"steps": 3, "batch_size": 10, "optimizer": {"kind": "SGD", "lr": 1e38}},
        strategy={"kind": "fedasync", "concurrency": 2},
        evaluation={"samples": 50},
        recording={"trace": False},
        stop={"versions": 50},
    )
    found = simulate(built)
    assert found.summary["status"] == "diverged"
    where = found.summary["diverged"]
    assert where["version"] == found.summary["versions"] + 1
    arrived = found.events[found.events["kind"] == "arrived"]
    assert where["client"] == arrived["client"].iloc[-1]
    assert f"client {where['client']}" in found.summary["reason"]
    assert math.isfinite(found.summary["final"]["loss"])


def test_a_server_step_that_is_not_finite_is_caught() -> None:
    class Explodes(FedAvg):
        def aggregate(self, params: Tensor, state: Any, updates: Any, context: Any) -> Any:
            return params / 0, state

    fakes = Fakes(Explodes(), vec(1, 1))
    with pytest.raises(DivergedError, match="version 1: the global model is not finite"):
        fakes.learner.aggregate([fakes.send(0)], 1, {})
    assert fakes.learner.divergence is not None
    assert (fakes.learner.divergence.version, fakes.learner.divergence.client) == (1, None)


def test_an_evaluation_that_is_not_finite_is_caught() -> None:
    fakes = Fakes(FedAvg(), vec(math.inf, 0))
    fakes.learner.evaluate(0, 0, 0, 0)
    with pytest.raises(DivergedError, match="version 0: the evaluation loss is inf"):
        fakes.learner.settle()
    assert len(fakes.evaluations) == 1  # it is logged, and says that it diverged


def test_a_run_whose_last_evaluation_diverges_has_diverged() -> None:
    built = scenario(
        [1, 2],
        data={"partition": {"kind": "iid", "samples": 20}},
        model="logistic",
        training={"steps": 1, "batch_size": 10, "optimizer": {"kind": "SGD", "lr": 1e38}},
        strategy={"kind": "fedasync", "concurrency": 1},
        evaluation={"samples": 50},
        recording={"trace": False},
        stop={"versions": 1},
    )
    found = simulate(built)
    assert found.status == "diverged"
    assert found.metrics["status"].tolist() == ["ok", "diverged"]
    assert found.metrics["loss"].isna().tolist() == [False, True]
    assert found.evaluations["version"].tolist() == [0]
    assert found.summary["final"]["loss"] == found.metrics["loss"].iloc[0]


def test_a_task_of_no_steps_has_no_loss_and_is_no_divergence() -> None:
    fakes = Fakes(FedAvg(), vec(1, 1))
    fakes.learner.aggregate([fakes.send(0, steps=0), fakes.send(1, steps=2)], 1, {})
    assert_is(fakes.learner.vector, 2, 2)


def test_every_strategy_runs_on_the_fakes() -> None:
    """Schedules, learner and rules fit together for all strategies, buffers and all."""
    settings: dict[str, dict[str, Any]] = {
        "fedavg": {"clients_per_round": 3},
        "fedprox": {"clients_per_round": 4, "stragglers": 0.5, "straggler_epochs": 2},
        "fedasync": {"concurrency": 3},
        "fedbuff": {"concurrency": 4, "buffer_size": 2},
        "ringmaster": {"delay_threshold": 3},
        "quafl": {"clients_per_round": 2, "interaction_seconds": 2},
        "fedat": {"tiers": 2, "clients_per_round": 2},
    }
    assert set(settings) <= set(strategies())
    for kind, block in settings.items():
        built = scenario([1, 2, 3, 4, 5, 6], strategy={"kind": kind, **block}, stop={"versions": 8})
        fakes = fakes_for(built, initial=vec(0, 0, 7, 7))
        fakes.executor._runner._trainer = moves = MovesBuffers()  # type: ignore[assignment]
        counts = fakes.run(built).server.counts
        assert counts.aggregated == len(moves.calls), kind
        assert torch.isfinite(fakes.learner.vector).all(), kind


def test_a_snapshot_holds_what_states_share_only_once() -> None:
    shared, new = vec(1, 2), vec(3, 4)
    snapshot = Snapshot(2, vec(0, 0), {"table": {0: shared, 1: new}, "list": [shared]})
    snapshot.bases[1] = (vec(5, 5), {"table": {0: shared}})
    facts, arrays = snapshot.pack()
    assert len(arrays) == 4  # the vector, a base, and two tensors of states
    again = Snapshot.unpack(json.loads(json.dumps(facts)), arrays)
    assert_is(again.state["table"][0], 1, 2)
    assert_is(again.state["table"][1], 3, 4)
    assert_is(again.state["list"][0], 1, 2)
    assert_is(again.bases[1][1]["table"][0], 1, 2)
