"""What an executor is given: pure training tasks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from afl_sim.learning.evaluation import Evaluation
from afl_sim.learning.training import LocalResult
from afl_sim.strategies.base import State, Strategy


class Future(Protocol):
    """A result that may not have been computed yet."""

    def result(self) -> LocalResult:
        """Wait for the result."""


@dataclass(frozen=True)
class TrainingTask:
    """One client's local training; its result depends on these fields alone.

    Attributes:
        client, task: whose task this is; the address of its randomness.
        steps: local steps.
        base: shape (P + B,): the global model that the client downloaded.
        lr_factor: a factor on the local learning rate.
        origin: the strategy and its state, where the client does not begin at ``base``.
        after: the client's own last task, where it goes on from that.
    """

    client: int
    task: int
    steps: int
    base: Tensor
    lr_factor: float
    origin: tuple[Strategy, State] | None = None
    after: Future | None = None


class Executor(Protocol):
    """Where tasks run. Which executor it is changes no bit of any result."""

    training_seconds: float
    evaluation_seconds: float

    def submit(self, task: TrainingTask) -> Future:
        """Take on a task, whose result will be asked for later or never."""

    def evaluate(self, vector: Tensor) -> Evaluation:
        """Evaluate a model given as a vector of shape (P + B,)."""
