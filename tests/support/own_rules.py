"""Rules of a user's own: sound ones, and one for each fault."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from afl_sim import Attack, Compressor, Controller, Decision, Selection

CALLS: list[int] = []


def nearest(n: int, candidates: Any, draws: Any, slack: float = 1.0) -> Any:
    """The fastest clients, with some luck."""
    keys = candidates.expected_seconds + slack * draws.random(len(candidates))
    return candidates.clients[np.argsort(keys, kind="stable")[:n]]


class Lossy(Selection):
    """The clients of the highest loss."""

    reads_results: ClassVar[bool] = True

    def choose(self, n: int, candidates: Any, draws: Any) -> Any:
        loss = np.where(np.isnan(candidates.loss), np.inf, candidates.loss)
        return candidates.clients[np.argsort(-loss, kind="stable")[:n]]


def peeks(n: int, candidates: Any, draws: Any) -> Any:
    return candidates.clients[np.argsort(candidates.loss)[:n]]


def repeats(n: int, candidates: Any, draws: Any) -> Any:
    return [candidates.clients[0]] * n


def strays(n: int, candidates: Any, draws: Any) -> Any:
    return range(10**6, 10**6 + n)


def chooses_few(n: int, candidates: Any, draws: Any) -> Any:
    return candidates.clients[: n - 1]


def chooses_words(n: int, candidates: Any, draws: Any) -> Any:
    return "all"


def chooses_by_luck(n: int, candidates: Any, draws: Any) -> Any:
    CALLS.append(n)
    return np.roll(candidates.clients, len(CALLS))[:n]


def writes(n: int, candidates: Any, draws: Any) -> Any:
    candidates.clients[0] = 3
    return candidates.clients[:n]


def halving(staleness: int, every: int = 2) -> float:
    """Half as much for every so many versions."""
    return float(0.5 ** (staleness // every))


def spectral(staleness: int) -> float:
    """Uses what has no portable arithmetic."""
    return float(torch.fft.fft(torch.ones(2)).real[0]) / (2 + staleness)


def below_zero(staleness: int) -> float:
    return 1.0 - 0.01 * staleness


def divides(staleness: int) -> float:
    return 1.0 / staleness


def in_tensors(staleness: int) -> Any:
    return torch.tensor(1.0)


class Signs(Compressor):
    """A sign for each entry, and their mean size."""

    def compress(self, vector: Any, draws: Any) -> Any:
        return vector.abs().mean() * vector.sign()

    def size(self, parameters: int) -> int:
        return -(-parameters // 8) + 4


class Dithered(Signs):
    """A random half of the entries, doubled."""

    def compress(self, vector: Any, draws: Any) -> Any:
        kept = torch.from_numpy(draws.random(len(vector), dtype=np.float32) < 0.5)
        return 2 * vector * kept


class Fourier(Signs):
    """Uses what has no portable arithmetic."""

    def compress(self, vector: Any, draws: Any) -> Any:
        return torch.fft.ifft(torch.fft.fft(vector)).real


class InPlace(Signs):
    def compress(self, vector: Any, draws: Any) -> Any:
        return vector.mul_(2)


class ByNumPy(Signs):
    """Changes what it is given where PyTorch does not count it."""

    def compress(self, vector: Any, draws: Any) -> Any:
        vector.numpy()[:] = 0
        return vector.clone()


class Doubles(Signs):
    def compress(self, vector: Any, draws: Any) -> Any:
        return vector.double()


class Shortens(Signs):
    def compress(self, vector: Any, draws: Any) -> Any:
        return vector[1:]


class Normalizes(Signs):
    """Divides by zero if the vector is zero."""

    def compress(self, vector: Any, draws: Any) -> Any:
        return vector / vector.norm()


class HalfBytes(Signs):
    def size(self, parameters: int) -> Any:
        return parameters / 8


def shrinking(update: Any, model: Any, draws: Any, factor: float = 0.5) -> Any:
    """Sends a part of the update."""
    return factor * update


def returns_nothing(update: Any, model: Any, draws: Any) -> Any:
    return None


class NextLabel(Attack):
    """Class y becomes class y + 1."""

    def poison(self, labels: Any, classes: int) -> Any:
        return (labels + 1) % classes


class NoLabel(Attack):
    def poison(self, labels: Any, classes: int) -> Any:
        return labels + classes


class Paired(Signs):
    """Needs an even number of entries."""

    def compress(self, vector: Any, draws: Any) -> Any:
        return vector.view(-1, 2).flatten()


class OfRoundNumbers(Signs):
    """Works for the numbers of a trial only."""

    def size(self, parameters: int) -> int:
        return parameters if parameters in (10, 1000) else -parameters


def of_ten(update: Any, model: Any, draws: Any) -> Any:
    """Works for the numbers of a trial only."""
    return update.view(-1, 10).flatten()


def odd(input_shape: Any, classes: int) -> torch.nn.Module:
    """A model with an odd number of parameters."""
    inputs = int(np.prod(input_shape))
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(inputs, 1), torch.nn.Linear(1, classes, bias=False)
    )


def within(outputs: Any, labels: Any, *, limit: float = 1.0) -> float:
    """A metric: share of numbers that are predicted within a limit."""
    return float((abs(outputs - labels.reshape(outputs.shape)) <= limit).mean())


def counted(outputs: Any, labels: Any) -> int:
    """A metric that remembers how often it was called."""
    _calls.append(1)
    return len(_calls)


def absolute(outputs: Any, labels: Any, *, weight: float = 1.0) -> Any:
    """A loss of numbers."""
    return weight * (outputs - labels.reshape(outputs.shape)).abs().mean(1)


def spoils(outputs: Any, labels: Any) -> Any:
    """A loss that changes the labels that it is given."""
    labels += 1
    return ((outputs - labels) ** 2).mean(1)


_calls: list[int] = []


def to_and_fro(observation: Any, low: int = 1, high: int = 3) -> Decision:
    """A controller: few clients after an even number of decisions, then many."""
    return Decision(concurrency=high if observation.number % 2 == 0 else low)


class Follows(Controller):
    """A controller: one setting after the other, as they are written down; then no change."""

    concurrency: tuple[int | None, ...] = ()
    buffer_size: tuple[int | None, ...] = ()

    def decide(self, observation: Any) -> Any:
        k = observation.number
        wanted = [dict(enumerate(each)).get(k) for each in (self.concurrency, self.buffer_size)]
        return Decision(*wanted, memory={"decisions": k + 1})


class Counts(Controller):
    """A controller that counts in its memory, and goes by the count."""

    def decide(self, observation: Any) -> Any:
        count = observation.memory.get("count", 0) + 1
        assert count == observation.number + 1
        return Decision(concurrency=1 + count % 2, memory={"count": count})


def no_decision(observation: Any) -> Any:
    return 3


def half_a_client(observation: Any) -> Any:
    return Decision(concurrency=0.5)


def a_crowd(observation: Any) -> Any:
    return Decision(concurrency=10**6)


def remembers_a_set(observation: Any) -> Any:
    return Decision(memory={"seen": {1, 2}})


def by_luck(observation: Any) -> Any:
    CALLS.append(0)
    return Decision(concurrency=1 + len(CALLS) % 2)
