"""The evaluations of the global model, of which at most one is under way."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

from afl_sim.execution.tasks import Executor, Future, Known, OwnParts
from afl_sim.learning.training.judging import Scores


class Evaluations:
    """Submits evaluations, and reports each before the next one begins, or when it is asked for.

    So a loss that is not finite ends the run at the same instant, whichever executor computes it.

    Args:
        executor: computes them.
        report: takes (time_us, version, updates, samples, evaluation).
    """

    def __init__(
        self,
        executor: Executor,
        report: Callable[[int, int, int, int, Scores], None],
    ) -> None:
        self._executor = executor
        self._report = report
        self._last: tuple[int, Future[Scores]] | None = None  # and its version
        self._arrivals: int | None = 0  # of clients' own models, up to that one
        self._unreported: tuple[int, int, int, int] | None = None

    def begin(
        self,
        vector: Tensor,
        time_us: int,
        version: int,
        updates: int,
        samples: int,
        own: OwnParts | None = None,
        arrivals: int | None = 0,
    ) -> None:
        """Begin an evaluation of this model, once the evaluation before is settled.

        A version is computed once, however often it is asked for, while clients' own models are the
        same.

        Args:
            vector: shape (P + B,): the global model.
            time_us, version, updates, samples: for the report.
            own: what clients have kept, if their own models are tested.
            arrivals: a number that is another one once they have kept something else.
        """
        if self._last is None or (self._last[0], self._arrivals) != (version, arrivals):
            given = () if own is None else (own,)
            self._last = (version, self._executor.evaluate(vector, time_us, *given))
            self._arrivals = arrivals
        self._unreported = (time_us, version, updates, samples)

    def settle(self) -> tuple[int, float] | None:
        """Wait for the evaluation that is under way, if any, and report it.

        Returns:
            The version and its loss, if the loss is not finite; else None.
        """
        if self._unreported is None or self._last is None:
            return None
        evaluation = self._last[1].result()
        row, self._unreported = self._unreported, None
        self._report(*row, evaluation)
        return None if math.isfinite(evaluation.loss) else (row[1], evaluation.loss)

    def last(self) -> tuple[int, Scores] | None:
        """The last evaluation and its version; waits for it."""
        return None if self._last is None else (self._last[0], self._last[1].result())

    def of(
        self,
        vector: Tensor,
        time_us: int,
        version: int,
        own: OwnParts | None = None,
        arrivals: int | None = 0,
    ) -> Scores:
        """The evaluation of the model of this version, which is not reported; waits for it.

        Args:
            vector, time_us, version, own, arrivals: as for `begin`.
        """
        if self._last is not None and (self._last[0], self._arrivals) == (version, arrivals):
            return self._last[1].result()
        given = () if own is None else (own,)
        return self._executor.evaluate(vector, time_us, *given).result()

    def restore(self, last: tuple[int, Scores] | None, arrivals: int | None = 0) -> None:
        """Go on from what `last` gave, which was reported then.

        Args:
            last: the last evaluation and its version.
            arrivals: as for `begin`; None if that number is not known.
        """
        if last is not None:
            self._last = (last[0], Known(last[1]))
            self._arrivals = arrivals
