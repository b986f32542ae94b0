"""What the referee gives to a rule from elsewhere, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_LISTED = 10

Weights = Mapping[str, npt.NDArray[np.float32]]
"""The parameters of a model, by the names of its state dict."""


@dataclass(frozen=True)
class Contribution:
    """One client's update, as a rule from elsewhere gets it.

    Attributes:
        weights: the client's model.
        num_samples: training samples that the client holds.
        staleness: versions that the server made since the client downloaded the model.
        client: the client's index.
    """

    weights: Weights
    num_samples: int
    staleness: int
    client: int


@dataclass(frozen=True)
class Parting:
    """Where two rules part.

    Attributes:
        event: the number of events in the log before it.
        seconds: when it is, in virtual time.
        version: the version that it makes.
        clients, staleness: of its updates, in order of arrival.
        name, index: the entry of the model in which the two differ most.
        before: its value in the model before, by our strategy.
        ours, theirs: its values in the models after.
    """

    event: int
    seconds: float
    version: int
    clients: tuple[int, ...]
    staleness: tuple[int, ...]
    name: str
    index: tuple[int, ...]
    before: float
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """Their step in this entry as a multiple of ours; NaN if ours is 0."""
        ours = self.ours - self.before
        return (self.theirs - self.before) / ours if ours else float("nan")


@dataclass(frozen=True)
class Verdict:
    """What the referee found.

    Attributes:
        strategy: the kind of our strategy.
        versions: aggregations that were compared.
        largest: the largest difference of an entry, in units of the largest entry of a step; up to
            the parting, if there is one.
        parting: where the two part; None if they do not.
    """

    strategy: str
    versions: int
    largest: float
    parting: Parting | None

    @property
    def agrees(self) -> bool:
        """Whether the two made the same models."""
        return self.parting is None

    def __str__(self) -> str:
        if self.parting is None:
            return (
                f"the same as {self.strategy} over {self.versions} versions "
                f"(largest difference {self.largest:.1g} of a step)"
            )
        parting = self.parting
        where = f"{parting.name}[{', '.join(map(str, parting.index))}]"
        return (
            f"parts from {self.strategy} at version {parting.version} "
            f"(event {parting.event}, {parting.seconds:.6g} s)\n"
            f"  updates of clients {_listed(parting.clients)}, "
            f"staleness {_listed(parting.staleness)}\n"
            f"  {where}: {parting.before:.6g} before, {parting.ours:.6g} here, "
            f"{parting.theirs:.6g} there: {parting.ratio:.6g} times our step"
        )


def _listed(numbers: Sequence[int]) -> str:
    """A few numbers, and how many there are."""
    if len(numbers) <= _LISTED:
        return ", ".join(map(str, numbers))
    return f"{', '.join(map(str, numbers[:_LISTED]))}, ... ({len(numbers)} in all)"
