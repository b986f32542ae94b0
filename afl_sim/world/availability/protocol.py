"""What every model of availability answers."""

from __future__ import annotations

from typing import Protocol

State = tuple[bool, int | None]
"""Whether a client is available, and until when at least (microseconds); None is for ever."""


class Availability(Protocol):
    """When clients are available."""

    def state(self, client: int, now_us: int) -> State:
        """Whether the client is available, and until when at least."""
