"""Pure tasks, which an executor is given, and futures, which it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from afl_sim.lazy import Tensor
from afl_sim.learning.training.phase import Fresh
from afl_sim.strategies.base import State, Strategy

if TYPE_CHECKING:
    from afl_sim.learning.training.judging import Scores
    from afl_sim.learning.training.local_result import LocalResult

T_co = TypeVar("T_co", covariant=True)

SERVER: Final = -1
"""In place of a client: the task is to differentiate the loss of the public batch at ``base``.

The gradient, shape (P,), is the ``delta`` of its result.
"""


class Future(Protocol[T_co]):
    """A result that may not have been computed yet."""

    def result(self) -> T_co:
        """Wait for the result."""


@dataclass(frozen=True)
class Known(Generic[T_co]):
    """A future whose result is known already."""

    value: T_co

    def result(self) -> T_co:
        """The result."""
        return self.value


@dataclass(frozen=True)
class TrainingTask:
    """One client's local training; its result depends on these fields alone.

    Attributes:
        client, task: the client, and the number of its task; they address the task's randomness.
            `SERVER` is no client, and such a task draws nothing.
        steps: local steps.
        base: shape (P + B,): the global model that the client downloaded.
        lr_factor: a factor on the local learning rate.
        origin: the strategy and its state; None if the client starts at ``base``.
        after: the client's own last task, if the client goes on from it.
        extra_steps: further steps, for what the client keeps for itself.
        messages: how often the update is compressed anew and sent.
        fresh: a newer model that the client merges into its own on the way; None for none.
    """

    client: int
    task: int
    steps: int
    base: Tensor
    lr_factor: float
    origin: tuple[Strategy, State] | None = None
    after: Future[LocalResult] | None = None
    extra_steps: int = 0
    messages: int = 1
    fresh: Fresh | None = None


@dataclass(frozen=True)
class OwnParts:
    """What the clients have kept at the instant of an evaluation, which tests their own models.

    Attributes:
        version: the version of the global model.
        last: the last task of each client that has arrived.
        size: Q, the number of entries at the end of its vector that the client keeps.
    """

    version: int
    last: Mapping[int, Future[LocalResult]]
    size: int

    def of_clients(self) -> dict[int, Tensor]:
        """What each of these clients keeps, shape (Q,); waits for their tasks."""
        return {
            client: future.result().vector[-self.size :] for client, future in self.last.items()
        }


class Executor(Protocol):
    """Runs tasks. The choice of the executor changes no bit of any result.

    Attributes:
        training_seconds, evaluation_seconds: wall time spent on tasks, wherever they ran.
        waiting_seconds: wall time for which the clock had to wait for a result.
    """

    training_seconds: float
    evaluation_seconds: float
    waiting_seconds: float

    def submit(self, task: TrainingTask, due_us: int) -> Future[LocalResult]:
        """Take on a task; its result is needed at ``due_us`` in virtual time, or never."""

    def evaluate(self, vector: Tensor, due_us: int, own: OwnParts | None = None) -> Future[Scores]:
        """Take on the evaluation of a model given as a vector of shape (P + B,).

        Args:
            vector: the global model.
            due_us: when, in virtual time.
            own: what clients have kept, if their own models are tested.
        """

    def cancel(self, future: Future[Any]) -> None:
        """Note that the result will never be needed, so the task need not begin."""

    def close(self) -> None:
        """Release all resources; unfinished tasks are abandoned."""


class Job:
    """The numeric half of a dispatched task: what to train, and the future of its result."""

    __slots__ = ("__weakref__", "future", "task")

    def __init__(self, task: TrainingTask) -> None:
        self.task = task
        self.future: Future[LocalResult] | None = None


class Later:
    """A future whose task is submitted only when its result is needed."""

    def __init__(self, executor: Executor, task: TrainingTask, due_us: int) -> None:
        self._submit = partial(executor.submit, task, due_us)

    def result(self) -> LocalResult:
        """Submit the task, and wait for its result."""
        return self._future.result()

    @cached_property
    def _future(self) -> Future[LocalResult]:
        return self._submit()


def ended(vector: Tensor) -> Known[LocalResult]:
    """The future of a task that has ended with this model; nothing else of it is known."""
    from afl_sim.learning.training.local_result import LocalResult  # the door to PyTorch

    return Known(LocalResult(vector, vector[:0], math.nan))
