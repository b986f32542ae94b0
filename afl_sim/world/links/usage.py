"""How much a contended link was used: the three terms of Little's law, counted separately.

Over any stretch of time, L = lambda W: the mean number of transfers on a link is the rate at which
they come to it times the mean time they spend there (Little, Operations Research 9(3), 1961; for
one path and with those still there counted until its end it is an identity, Stidham 1974). Here L
is integrated from what the link itself holds, lambda W from the instants at which transfers come
and go, both in whole microseconds. If a transfer were forgotten or seen twice, they would differ.
"""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.errors import AflSimError


@dataclass(frozen=True)
class LinkUse:
    """How much a link was used from the start of a run until some instant.

    Attributes:
        time_us: the instant.
        transfers: how many came to it; one that was interrupted and joined again came twice.
        present_us: the integral over time of how many were there (L times the time).
        spent_us: the time they spent there, waiting included (lambda W times the time).
        busy_us: the integral over time of the share of the link that was in use.
    """

    time_us: int
    transfers: int
    present_us: int
    spent_us: int
    busy_us: float

    def check(self, name: str) -> None:
        """Check Little's law.

        Raises:
            AflSimError: a transfer was lost or counted twice; ``name`` says on which link.
        """
        if self.present_us != self.spent_us:
            raise AflSimError(
                f"{name} breaks Little's law: L T = {self.present_us} us, but "
                f"lambda W T = {self.spent_us} us"
            )

    def as_dict(self) -> dict[str, float | int | None]:
        """For the summary: L, lambda (per second), W (seconds) and utilisation."""
        time = self.time_us
        return {
            "transfers": self.transfers,
            "mean_present": self.present_us / time if time else None,
            "per_second": 1e6 * self.transfers / time if time else None,
            "mean_seconds": self.spent_us / self.transfers / 1e6 if self.transfers else None,
            "utilisation": self.busy_us / time if time else None,
        }


class Usage:
    """Counts how much a link is used.

    Args:
        slots: transfers that the link serves at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._since_us = 0
        self._present_us = self._served_us = 0
        self._entered = self._left = 0
        self._entered_us = self._left_us = 0  # sums of instants

    def pass_time(self, now_us: int, present: int) -> None:
        """Count the time since the last call, with ``present`` transfers there.

        Call it before each change.
        """
        elapsed = now_us - self._since_us
        self._present_us += present * elapsed
        self._served_us += min(present, self._slots) * elapsed
        self._since_us = now_us

    def enter(self, now_us: int) -> None:
        """A transfer comes to the link."""
        self._entered += 1
        self._entered_us += now_us

    def leave(self, now_us: int) -> None:
        """A transfer is over or withdrawn."""
        self._left += 1
        self._left_us += now_us

    def until(self, now_us: int, present: int) -> LinkUse:
        """The use until now, with ``present`` transfers there since the last change."""
        elapsed = now_us - self._since_us
        served = self._served_us + min(present, self._slots) * elapsed
        return LinkUse(
            now_us,
            self._entered,
            self._present_us + present * elapsed,
            self._left_us - self._entered_us + (self._entered - self._left) * now_us,
            served / self._slots,
        )
