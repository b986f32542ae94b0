"""What a client selection of the user's own may know of the clients that it can choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Wholes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Candidates:
    """The clients that the server can choose at this moment, and what it knows of them.

    Every array has one entry for each of the m candidates, in the same order, and is read-only. It
    is made when it is first read.

    Attributes:
        clients: int64 (m,): the clients' indices, in ascending order, at least one.
        choice: the number of choices that the server made before in this run.
    """

    clients: Wholes
    choice: int
    _read: Callable[[str], npt.NDArray[np.generic]] = field(repr=False)

    def __len__(self) -> int:
        """m."""
        return len(self.clients)

    @cached_property
    def samples(self) -> Wholes:
        """int64 (m,): n_k, the number of samples that a client holds."""
        return _fixed(self._read("samples"), np.int64)

    @cached_property
    def chosen(self) -> Wholes:
        """int64 (m,): how many times a client was chosen before."""
        return _fixed(self._read("chosen"), np.int64)

    @cached_property
    def expected_seconds(self) -> Floats:
        """float64 (m,): the mean round trip of a client's tasks (seconds of virtual time).

        It is a property of the client, and known before its first task. Reading it is an error if a
        duration has no finite mean.
        """
        return _fixed(self._read("expected_seconds"), np.float64)

    @cached_property
    def seconds(self) -> Floats:
        """float64 (m,): the round trip of a client's last update; NaN if none has arrived."""
        return _fixed(self._read("seconds"), np.float64)

    @cached_property
    def loss(self) -> Floats:
        """float64 (m,): the mean training loss of a client's last update; NaN if there is none.

        Only a selection with ``reads_results = True`` may read it.
        """
        return _fixed(self._read("loss"), np.float64)

    @classmethod
    def of(cls, clients: npt.ArrayLike, *, choice: int = 0, **known: npt.ArrayLike) -> Self:
        """Candidates with these numbers, to try a selection.

        Args:
            clients: shape (m,): their indices.
            choice: the number of choices before.
            known: shape (m,): ``samples``, ``chosen``, ``expected_seconds``, ``seconds``, ``loss``.
                By default a client has one sample, takes one second, and was never chosen.

        Example:
            >>> from afl_sim import Candidates
            >>> Candidates.of([2, 5], samples=[10, 30]).samples.tolist()
            [10, 30]
        """
        indices = _fixed(clients, np.int64)
        m = len(indices)
        never = np.full(m, np.nan)
        defaults: dict[str, npt.ArrayLike] = {
            "samples": np.ones(m),
            "chosen": np.zeros(m),
            "expected_seconds": np.ones(m),
            "seconds": never,
            "loss": never,
        }
        values = {**defaults, **known}
        return cls(indices, choice, lambda name: np.asarray(values[name]))


def _fixed(values: npt.ArrayLike, kind: type[np.generic]) -> npt.NDArray[Any]:
    array = np.array(values, dtype=kind)
    array.flags.writeable = False
    return array
