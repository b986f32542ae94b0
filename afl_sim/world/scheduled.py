"""What virtual time needs of a strategy."""

from __future__ import annotations

from typing import Any, Protocol

from afl_sim.world.server.supervision import Schedule


class Scheduled(Protocol):
    """What virtual time needs of a strategy."""

    @property
    def reads_results(self) -> bool:
        """Whether the schedule may read results."""

    @property
    def queues_at_clients(self) -> bool:
        """Whether the schedule sends tasks to clients at work, which queue them."""

    @property
    def waits_for_all(self) -> bool:
        """Whether there is no version before every client has sent an update."""

    @property
    def waits_again(self) -> bool:
        """Whether that holds for each later version, too, and updates since the one before."""

    def schedule(self, server: Any) -> Schedule:  # it sees the server as a `ServerView`
        """The server's process."""
