"""The end of a run whose numbers stopped being finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from afl_sim.errors import DivergedError


@dataclass(frozen=True)
class Divergence:
    """Where a run's numbers stopped being finite.

    Attributes:
        version: the version that was being made, or evaluated.
        client: whose update it was; None if the server's step or the evaluation diverged.
    """

    version: int
    client: int | None


class Divergences:
    """Ends a run that diverges, and notes where it did.

    Attributes:
        first: the one that has ended the run; None if there was none.
    """

    def __init__(self) -> None:
        self.first: Divergence | None = None

    def end(self, version: int, client: int | None, what: str) -> NoReturn:
        """End the run.

        Args:
            version, client: as of a `Divergence`.
            what: is not finite, in words.

        Raises:
            DivergedError: always.
        """
        self.first = self.first or Divergence(version, client)
        raise DivergedError(f"diverged at version {version}: {what}")
