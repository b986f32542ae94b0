"""Does a task: the same code wherever tasks run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from afl_sim.errors import AflSimError, TaskError
from afl_sim.execution.memory import keep_freed_memory
from afl_sim.execution.tasks import SERVER, TrainingTask
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.training.attackers import Attackers
from afl_sim.learning.training.batched_training import BatchedTrainer
from afl_sim.learning.training.compressors import Compressor
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.personal_evaluation import PersonalEvaluator
from afl_sim.learning.training.personalization import Local, Personalization
from afl_sim.learning.training.phase import Fresh
from afl_sim.portable.block import ADVICE, arithmetic_of
from afl_sim.portable.mode import NotPortable
from afl_sim.strategies.base import Client, Strategy, Work
from afl_sim.strategies.purity import PurityCheck
from afl_sim.user_code import told

NO_MEMORY = "can't allocate memory"  # PyTorch's words


class TaskRunner:
    """Trains and evaluates, one task at a time, with one model object.

    Args:
        trainer: does the local steps.
        evaluator: does the evaluations; of clients' own models if these have such.
        compressor: compresses models and updates; None if nothing is compressed.
        portable: whether it computes in portable arithmetic, wherever it is called.
        attackers: the clients that send false updates; None if none do.
        personalization: what clients keep for themselves; None if they keep nothing.
    """

    def __init__(
        self,
        trainer: LocalTrainer,
        evaluator: Evaluator | PersonalEvaluator,
        compressor: Compressor | None = None,
        portable: bool = False,
        attackers: Attackers | None = None,
        personalization: Personalization | None = None,
    ) -> None:
        keep_freed_memory()
        self._trainer = trainer
        self._evaluator = evaluator
        self._compressor = compressor
        self._portable = portable
        self._attackers = attackers
        self._personalization = personalization
        self._layout = personalization.shared(trainer) if personalization else trainer.layout
        self._purity = PurityCheck(Strategy)

    def train(self, task: TrainingTask, own: Tensor | None) -> LocalResult:
        """Do a training task.

        Args:
            task: the task; its ``after`` is ignored.
            own: the vector of the client's last task, if the client goes on from it: the model,
                shape (P + B,), then what the client kept, and last its personal part.
        """
        with arithmetic_of(self._portable):
            if task.client == SERVER:
                return at_server(task, self._trainer)
            return self._train(task, own)

    def _train(self, task: TrainingTask, own: Tensor | None) -> LocalResult:
        personal: Tensor | None = None
        if self._personalization is not None:
            own, personal = self._personalization.apart(own)
        begun = begin(task, own, self._layout, self._compressor, self._purity)
        with told_as(f"client {task.client}'s task {task.task}"):
            result, personal = self._trained(task, begun, personal)
        result = as_told(task, begun, result, self._attackers, self._layout)
        result = conclude(task, begun, result, self._trainer, self._compressor, self._purity)
        if personal is None:
            return result
        return replace(result, vector=torch.cat([result.vector, personal]))

    def _trained(
        self, task: TrainingTask, begun: Begun, personal: Tensor | None
    ) -> tuple[LocalResult, Tensor | None]:
        local = Local(
            task.client,
            task.task,
            task.steps,
            begun.start,
            begun.anchor,
            task.lr_factor,
            begun.correction,
            task.extra_steps,
            begun.proximal_factor,
            begun.fresh,
        )
        if self._personalization is None or personal is None:
            result = local.train(self._trainer)
            if begun.second is not None and task.steps:
                other = replace(local, start=begun.second[0], correction=None)
                result = less_second(result, begun, other.train(self._trainer))
            return result, None
        return self._personalization.train(self._trainer, local, personal)

    def evaluate(
        self, vector: Tensor, kept: Mapping[int, Tensor] | None = None, version: int = 0
    ) -> Scores:
        """Evaluate a model given as a vector of shape (P + B,).

        Args:
            vector: the global model.
            kept: what clients have kept for themselves, if their own models are tested.
            version: the version of the global model.
        """
        with arithmetic_of(self._portable), told_as("an evaluation"):
            if isinstance(self._evaluator, PersonalEvaluator):
                return self._evaluator.evaluate(vector, kept or {}, version)
            return self._evaluator.evaluate(vector)


def at_server(task: TrainingTask, trainer: LocalTrainer) -> LocalResult:
    """The result of a task of the server, which has no client."""
    with told_as("the gradient of the public batch"):
        return LocalResult(task.base, trainer.public_gradient(task.base), math.nan)


@dataclass(frozen=True)
class Begun:
    """A task whose client is about to train.

    Attributes:
        start: shape (P + B,): the model that training starts from.
        anchor: shape (P,): the global model that the client downloaded.
        correction: shape (P,): added to every gradient, or None.
        client: what the client has kept; None if the strategy does not use it.
        owed: shape (P,): what compression removed from its earlier updates, or None.
        proximal_factor: a factor on the weight of the proximal term.
        second: shape (P + B,): the model of a second gradient, and the factor with which it is
            taken off the first; or None.
        fresh: a newer model, as the client gets it, that it merges into its own on the way; None
            for none.
    """

    start: Tensor
    anchor: Tensor
    correction: Tensor | None = None
    client: Client | None = None
    owed: Tensor | None = None
    proximal_factor: float = 1.0
    second: tuple[Tensor, float] | None = None
    fresh: Fresh | None = None


def begin(
    task: TrainingTask,
    own: Tensor | None,
    layout: Layout,
    compressor: Compressor | None,
    purity: PurityCheck,
) -> Begun:
    """Prepare a task for training; ``own`` is as for `TaskRunner.train`."""
    count = layout.num_parameters
    size, params, base, fresh = len(task.base), task.base[:count], task.base, task.fresh
    if compressor is not None:
        if fresh is not None:
            sent = compressor.downloaded(fresh.model[:count], task.client, task.task)
            fresh = replace(fresh, model=sent)
        params = compressor.downloaded(params, task.client, task.task)
        base = torch.cat([params, base[count:]])
    kept = None if own is None or len(own) == size else own[size:]
    if task.origin is None:
        return Begun(base, params, owed=kept, fresh=fresh)
    strategy, state = task.origin
    owed = None if strategy.uses_own() else kept  # else it is what the client keeps
    kept = kept if strategy.uses_own() else None
    client = Client(task.client, None if own is None else own[:count], kept)
    arguments = {"params": params, "state": state, "client": client}
    with purity.hook(strategy, "starting_point", **arguments):
        start = layout.with_frozen(strategy.starting_point(params, state, client), params)
    with purity.hook(strategy, "correction", **arguments):
        correction = strategy.correction(params, state, client)
    with purity.hook(strategy, "proximal_factor", **arguments):
        factor = strategy.proximal_factor(params, state, client)
    with purity.hook(strategy, "second_point", **arguments):
        point = strategy.second_point(params, state, client)
    buffers = task.base[count:]
    second = None
    if point is not None:
        second = torch.cat([layout.with_frozen(point[0], params), buffers]), point[1]
    begin_at = torch.cat([start, buffers])
    return Begun(begin_at, params, correction, client, owed, factor, second, fresh)


def less_second(result: LocalResult, begun: Begun, second: LocalResult) -> LocalResult:
    """A gradient less the second one, which has the same samples."""
    assert begun.second is not None
    return replace(result, delta=result.delta - begun.second[1] * second.delta)


def as_told(
    task: TrainingTask,
    begun: Begun,
    result: LocalResult,
    attackers: Attackers | None,
    layout: Layout,
) -> LocalResult:
    """The result as the client tells it, which is another one if the client attacks."""
    if attackers is None or not task.steps:
        return result
    return attackers.sent(task.client, task.task, begun.start, begun.anchor, result, layout)


def conclude(
    task: TrainingTask,
    begun: Begun,
    result: LocalResult,
    trainer: LocalTrainer | BatchedTrainer,
    compressor: Compressor | None,
    purity: PurityCheck,
) -> LocalResult:
    """The result as the server gets it; its vector ends with what the client keeps for itself."""
    if compressor is not None and compressor.compresses_updates:
        return _uploaded(task, begun, result, compressor)
    if task.origin is None or begun.client is None:
        return result
    (strategy, state), client = task.origin, begun.client
    kept = client.state
    if task.steps and type(strategy).client_state is not Strategy.client_state:
        work = Work(task.steps, trainer.learning_rate * task.lr_factor, result.delta)
        arguments = {"params": begun.anchor, "state": state, "client": client, "work": work}
        with purity.hook(strategy, "client_state", **arguments):
            kept = strategy.client_state(begun.anchor, state, client, work)
    if kept is None:
        return result
    return replace(result, vector=torch.cat([result.vector, kept]))


def _uploaded(
    task: TrainingTask, begun: Begun, result: LocalResult, compressor: Compressor
) -> LocalResult:
    count = len(begun.anchor)
    sent, owed = compressor.uploaded(
        result.delta, begun.owed, task.client, task.task, task.messages
    )
    vector = result.vector
    if not compressor.gradient:
        vector = torch.cat([begun.start[:count] + sent, vector[count:]])
    if owed is not None:
        vector = torch.cat([vector, owed])
    return LocalResult(vector, sent, result.loss)


@contextmanager
def told_as(what: str) -> Iterator[None]:
    """Turn an exception of a model or an optimizer, or a lack of memory, into one clear error."""
    try:
        yield
    except NotPortable as error:
        raise TaskError(f"{what} uses {error}; {ADVICE}") from None
    except AflSimError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or NO_MEMORY in str(error):
            raise TaskError(
                f"not enough memory for {what}; try fewer --workers, or a smaller "
                "training.batch_size"
            ) from error
        raise TaskError(f"{what} failed: {told(error)}") from error
