"""Worker processes on this machine, each with its own pipe.

A worker that is killed in the middle of an answer leaves half a message behind. The standard
library's process pool then waits for the other half for ever, because it holds the writing end of
the pipe itself. Here only the worker holds that end, so the pipe ends when the worker dies.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any

from afl_sim.errors import AflSimError, InputError
from afl_sim.execution.pulse import end_what_is_stuck
from afl_sim.execution.workers import forkserver
from afl_sim.execution.workers.pipes import Parcel, pack, receive, send
from afl_sim.execution.workers.worker import OnReply, Reply, Request, Worker, hello, portable
from afl_sim.scenario.sections.settings import Numerics
from afl_sim.user_code import reason

_TELL_EVERY = 0.2  # seconds between messages of a call


class ProcessSeat:
    """A worker process.

    Args:
        numerics: of the runs that it trains for, with whose fingerprints it introduces itself;
            none, if nothing is trained.
        modules: modules that every worker process needs; they are imported once for all of them.
    """

    def __init__(self, numerics: Sequence[Numerics], modules: Sequence[str] = ()) -> None:
        self._numerics = numerics
        self._modules = modules
        self._lock = Lock()
        self._sending = Lock()
        self._waiting: deque[OnReply] = (
            deque()
        )  # callbacks for replies, which come in the order of the requests
        self._answered = 0
        self._told_to_stop = -1  # the number of a request
        self._lost = False
        self._message: Any = None

    def start(self, done: OnReply) -> None:
        """Start the process.

        Raises:
            AflSimError: it cannot be started.
        """
        if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
            raise InputError(
                "this system cannot start worker processes, because it has no fork server; "
                "expected execution.executor: inline"
            )
        context = multiprocessing.get_context("forkserver")
        self._waiting.append(done)
        try:
            forkserver.start(context, [__name__, *self._modules])
            self._pipe, theirs = context.Pipe()
            self.process = context.Process(
                target=_serve, args=(theirs, self._numerics), daemon=True
            )
            self.process.start()
        except OSError as error:
            raise AflSimError(f"a worker process cannot be started: {reason(error)}") from error
        theirs.close()
        Thread(target=self._read, name="worker's replies", daemon=True).start()

    def submit(self, request: Request, done: OnReply) -> None:
        """Send a request; the model goes as an array, since torch would share a tensor's memory."""
        base = None if request.base is None else request.base.numpy()
        parcel = pack((request.what, request.build, base, request.origin, request.arguments))
        with self._lock:
            lost = self._lost
            if not lost:
                self._waiting.append(done)
        if lost:
            done(Reply(lost=True))
        else:
            self._send(parcel)

    def ask(self, stop: bool) -> Any:
        """Return the current call's latest message, or None; and say whether it should stop."""
        number = self._answered
        if stop and self._told_to_stop != number:
            self._told_to_stop = number
            self._send(pack(None, number))
        message, self._message = self._message, None
        return message

    def close(self) -> None:
        """End the process; it has nothing that it could leave behind."""
        self.process.kill()
        self.process.join()

    def _send(self, parcel: Parcel) -> None:
        with self._sending, suppress(OSError):  # the process is gone, and `_read` sees that
            send(self._pipe, parcel)

    def _read(self) -> None:
        with suppress(EOFError, OSError, MemoryError):
            while True:
                received = receive(self._pipe)
                try:
                    content = received.unpack()
                except Exception as error:
                    content = Reply(error=error)
                if isinstance(content, Reply):
                    self._answered += 1
                    self._waiting.popleft()(content)
                else:
                    (self._message,) = content
        with self._lock:
            self._lost = True
        for done in self._waiting:
            done(Reply(lost=True))
        self._pipe.close()


# -- in the worker -----------------------------------------------------------------------------


def _serve(pipe: Connection, numerics: Sequence[Numerics]) -> None:
    """Answer requests until the process ends; Ctrl-C and SIGHUP are left to its parent."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    requests: SimpleQueue[Parcel] = SimpleQueue()
    line = _PipeLine(pipe)
    Thread(target=_receive, args=(pipe, requests, line), daemon=True).start()
    with _settings(numerics):
        send(pipe, pack(Reply(hello(numerics))))
        worker = Worker(line)
        while True:
            request = requests.get()
            line.number += 1
            send(pipe, _answer(worker, request))


def _settings(numerics: Sequence[Numerics]) -> AbstractContextManager[None]:
    """PyTorch's settings; without numerics nothing is trained, and it is not imported."""
    if not numerics:
        return nullcontext()
    from afl_sim.execution.numerics import deterministic  # the door to PyTorch

    return deterministic()


def _answer(worker: Worker, request: Parcel) -> Parcel:
    try:
        content = request.unpack()
    except Exception as error:  # a module that is not there
        return pack(Reply(error=portable(error)))
    reply = worker.do(*content)
    try:
        return pack(reply)
    except Exception as error:
        return pack(Reply(error=RuntimeError(f"the result cannot be sent: {error}")))


def _receive(pipe: Connection, requests: SimpleQueue[Parcel], line: _PipeLine) -> None:
    """Take in requests, so that the sender never waits; end the process if the sender is gone."""
    try:
        while True:
            received = receive(pipe)
            if received.note is None:
                requests.put(received)
            else:
                line.number_to_stop = received.note
                Thread(target=end_what_is_stuck, args=(line.stop_wanted,), daemon=True).start()
    finally:  # also for lack of memory: a worker must be able to hear
        os._exit(1)


class _PipeLine:
    """The line of a call, at the worker's end of the pipe."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._told = 0.0
        self.number = 0  # of the request in hand, the introduction being 0
        self.number_to_stop = 0

    def tell(self, message: Any) -> None:
        if monotonic() - self._told >= _TELL_EVERY:
            self._told = monotonic()
            send(self._pipe, pack((message,)))

    def stop_wanted(self) -> bool:
        return self.number_to_stop == self.number
