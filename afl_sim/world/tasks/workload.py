"""How much work a task is: local steps and the samples that they process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.section import MOST_STEPS
from afl_sim.scenario.sections.personalization import Ditto, FedRep
from afl_sim.scenario.sections.training import batches_in_pass, limited
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
_CLIENTS_KEPT = 1 << 14  # a bounded cache: memory must not grow with the population


@dataclass(eq=False)
class Workload:
    """The amount of work in a client's task.

    Args:
        samples_of: the number of samples a client holds.
        batch_size: samples per mini-batch; None for the client's whole data.
        epochs: passes over the client's data per task, or None where ``steps`` is given; a draw is
            rounded to a whole number.
        steps: local steps per task, or None where ``epochs`` is given.
        drop_last: skip the last, smaller mini-batch of a pass.
        personal: the further steps of a task, for what the client keeps; None if there are none.
        most: the most samples that fit into a mini-batch of a client, int64 (clients,); None if all
            fit.
        streams: the run's random streams, for amounts that are drawn per task.
    """

    samples_of: Callable[[int], int]
    batch_size: int | None
    epochs: Distribution | None
    steps: Distribution | None
    drop_last: bool
    streams: Streams
    personal: FedRep | Ditto | None = None
    most: npt.NDArray[np.int64] | None = None
    alike: bool = field(init=False, repr=False)  # whether all tasks of a client are
    _amounts: dict[int, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)
    # The same by the number of samples that a client holds.
    _by_size: dict[int, tuple[int, int]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        amount = self.steps or self.epochs
        self.alike = amount is not None and amount.constant is not None

    def batch_size_of(self, client: int) -> int | None:
        """Samples in a mini-batch of the client; None for its whole data."""
        if self.most is None:
            return self.batch_size
        return limited(self.batch_size, int(self.most[client]))

    def batches(self, client: int) -> int:
        """Mini-batches in one pass over the client's data."""
        return batches_in_pass(self.samples_of(client), self.batch_size_of(client), self.drop_last)

    def amount(
        self, client: int, number: int, epochs: float | None = None, steps: int | None = None
    ) -> tuple[int, int]:
        """Local steps of a client's ``task``-th task, and the samples that it processes in all.

        ``epochs`` or ``steps`` override the draw.
        """
        if epochs is None and steps is None and self.alike:
            found = self._amounts.get(client)
            return self._usual(client) if found is None else found
        steps = self.task_steps(client, number, epochs, steps)
        return steps, self.samples(client, steps) + self.extra_samples(client)

    def amounts(self, clients: Ints) -> tuple[Ints, Ints]:
        """`amount` of a task of each of these clients, where all of a client's are alike."""
        sizes = np.fromiter(map(self.samples_of, clients.tolist()), np.int64, len(clients))
        _, first, which = np.unique(sizes, return_index=True, return_inverse=True)
        if self.most is not None:  # what fits into a client's memory is its own
            first, which = np.arange(len(clients)), np.arange(len(clients))
        found = np.array([self.amount(client, 0) for client in clients[first].tolist()])
        return found[which, 0], found[which, 1]

    def extra_steps(self, client: int) -> int:
        """The further steps of each of the client's tasks, for what it keeps."""
        return 0 if self.personal is None else self.personal.steps_of(self.batches(client))

    def extra_samples(self, client: int) -> int:
        """The samples that these process."""
        return 0 if self.personal is None else self.samples(client, self.extra_steps(client))

    def parted(self, done: int, steps: int, extra: int) -> tuple[int, int]:
        """How many of a task's steps, and of its further ones, are among the first ``done``."""
        if self.personal is not None and self.personal.comes_first:
            return max(0, done - extra), min(done, extra)
        return min(done, steps), max(0, done - steps)

    def task_steps(
        self, client: int, number: int, epochs: float | None = None, steps: int | None = None
    ) -> int:
        """Local steps of a client's ``task``-th task; ``epochs`` or ``steps`` override the draw."""
        batches = self.batches(client)
        if not batches:
            return 0
        key = "the strategy"
        if steps is None:
            key = "training.epochs"
            if epochs is None and self.steps is not None:
                key = "training.steps"
                steps = max(1, round(self._draw(self.steps, client, number)))
            else:
                if epochs is None:
                    assert self.epochs is not None
                    epochs = max(1, round(self._draw(self.epochs, client, number)))
                steps = max(1, round(epochs * batches))
        if steps > MOST_STEPS:
            raise ScenarioError(
                f"{key}: client {client}'s task {number} has {steps:.3g} local steps; "
                f"expected at most {MOST_STEPS:,}"
            )
        return steps

    def samples(self, client: int, steps: int) -> int:
        """Samples processed by the first ``steps`` steps of a task."""
        held = self.samples_of(client)
        if not held:
            return 0
        size = self.batch_size_of(client)
        if size is None:
            return steps * held
        batches = self.batches(client)
        passes, extra = divmod(steps, batches)
        in_pass = min(held, batches * size)
        return passes * in_pass + min(extra * size, in_pass)

    def expected_steps(self, client: int) -> float:
        """The mean number of steps of the client's tasks."""
        if self.steps is not None:
            return self.steps.mean(client)
        assert self.epochs is not None
        return self.epochs.mean(client) * self.batches(client)

    def _usual(self, client: int) -> tuple[int, int]:
        """`amount` of each task of a client, where all of them are alike."""
        amounts = self._amounts
        if self.most is not None:
            found = self._of_first(client)
        else:
            held = self.samples_of(client)
            of_size = self._by_size.get(held)
            found = self._of_first(client) if of_size is None else of_size
            if of_size is None:
                if len(self._by_size) >= _CLIENTS_KEPT:
                    self._by_size.clear()
                self._by_size[held] = found
        if len(amounts) >= _CLIENTS_KEPT:
            amounts.clear()
        amounts[client] = found
        return found

    def _of_first(self, client: int) -> tuple[int, int]:
        """`amount` of a client's first task."""
        steps = self.task_steps(client, 0)
        return steps, self.samples(client, steps) + self.extra_samples(client)

    def _draw(self, amount: Distribution, client: int, number: int) -> float:
        return draw(amount, self.streams, "training.amount", client, number)
