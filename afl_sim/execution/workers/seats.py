"""A worker as a pool sees it: how the pool talks to it, and what the pool has handed to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from afl_sim.errors import AflSimError, InputError
from afl_sim.execution.code_digest import code_digest
from afl_sim.execution.workers.pooled import Pending
from afl_sim.execution.workers.worker import Hello, OnReply, Request
from afl_sim.recording.fingerprints import numerics_differences


class Seat(Protocol):
    """One worker. It does one thing at a time, in the order of the requests.

    ``done`` is called once for each request, from any thread.
    """

    def start(self, done: OnReply) -> None:
        """Start the worker; the reply is a `Hello`."""

    def submit(self, request: Request, done: OnReply) -> None:
        """Hand over a request."""

    def ask(self, stop: bool) -> Any:
        """Return the latest message of the current call, or None; and say whether it should stop.

        Args:
            stop: whether it should.
        """

    def close(self) -> None:
        """End the worker, even in the middle of its work, and wait until it is gone."""


class Station:
    """A seat, and what was handed to it.

    Attributes:
        seat: the worker.
        ready: whether it has introduced itself.
        gone: whether it was replaced.
        jobs: what was handed to it and is not done, the oldest first.
    """

    def __init__(self, seat: Seat) -> None:
        self.seat = seat
        self.ready = False
        self.gone = False
        self.jobs: list[Pending] = []


def check_worker(worker: Hello, fingerprints: Sequence[Mapping[str, Any]]) -> None:
    """Refuse a worker whose results might differ from this process's.

    Args:
        worker: what it says of itself.
        fingerprints: the numerics of this process, in the same order.

    Raises:
        InputError: its code or its numerics differ.
    """
    mine = code_digest()
    found = {"code": "" if worker.code == mine else f"{worker.code}, here {mine}"}
    for each, own in zip(worker.fingerprints, fingerprints, strict=True):
        found["numerics"] = numerics_differences(each, own)
        if found["numerics"]:
            break
    for what, differing in found.items():
        if differing:
            verb = "differs" if what == "code" else "differ"
            raise InputError(
                f"a worker's {what} {verb} from this process's, so its results might differ too "
                f"({differing})"
            )


def keep_dying(times: int, when: str, why: BaseException | None) -> AflSimError:
    """The error of workers that die again and again."""
    last = "" if why is None else "; the last: " + " ".join(str(why).split())
    return AflSimError(
        f"worker processes died {times} times in a row {when}, perhaps for lack of memory; try "
        f"fewer --workers{last}"
    )
