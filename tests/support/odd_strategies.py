"""Strategies of a user's own, each with a fault or a question."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from time import sleep
from typing import Any

import torch

from afl_sim import Strategy


class Plain(Strategy):
    """Takes each arriving model as the next version."""

    concurrency: int = 4

    def schedule(self, server: Any) -> Any:
        server.dispatch_many(server.pick(self.concurrency))
        while True:
            update = yield server.arrival()
            self.look_at(server.version)
            yield server.aggregate([update])
            server.dispatch(server.pick_one())

    def look_at(self, version: int) -> None:
        """Called before each aggregation."""

    def aggregate(self, params: Any, state: Any, updates: Sequence[Any], context: Any) -> Any:
        return updates[-1].params, state


class Raises(Plain):
    """Forgets a case at its third version."""

    def look_at(self, version: int) -> None:
        if version == 3:
            raise LookupError("no such tier")


class OneThread(Plain):
    """Objects to more than one thread and to settings that are not deterministic."""

    def aggregate(self, params: Any, state: Any, updates: Sequence[Any], context: Any) -> Any:
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        return super().aggregate(params, state, updates, context)


class KillsItsWorkerOnce(Plain):
    """Dies with the process that it is in at its second version, unless the file is there."""

    file: str = ""

    def look_at(self, version: int) -> None:
        if version == 2 and not Path(self.file).exists():
            Path(self.file).touch()
            os.kill(os.getpid(), signal.SIGKILL)


class WaitsForAFile(Plain):
    """Makes some versions, and no more until the file is there; it only sleeps."""

    file: str = ""
    versions: int = 3

    def schedule(self, server: Any) -> Any:
        plain = super().schedule(server)
        answer = None
        while True:
            answer = yield plain.send(answer)
            if server.version == self.versions:
                while not Path(self.file).exists():
                    yield server.sleep(0.001)


class NeverYields(Plain):
    """Goes round without an event."""

    def schedule(self, server: Any) -> Any:
        server.dispatch(0)
        rounds = 0
        while True:
            rounds += 1
        yield


class AggregatesForLong(Plain):
    """Its rule takes half a second."""

    def aggregate(self, params: Any, state: Any, updates: Sequence[Any], context: Any) -> Any:
        sleep(0.5)
        return super().aggregate(params, state, updates, context)


class Spectral(Plain):
    """Takes a Fourier transform, for which there is no portable arithmetic."""

    def aggregate(self, params: Any, state: Any, updates: Sequence[Any], context: Any) -> Any:
        return params + 0.1 * torch.fft.fft(updates[-1].delta).real, state


class LateSpectral(Plain):
    """Takes one only at its fifth version, or later."""

    def aggregate(self, params: Any, state: Any, updates: Sequence[Any], context: Any) -> Any:
        state = (state or 0) + 1
        if state == 5:
            torch.fft.fft(params)
        return updates[-1].params, state
