"""The requests of a worker, its work and its replies, whatever kind of process it is."""

from __future__ import annotations

import os
import pickle
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from afl_sim.execution.code_digest import code_digest
from afl_sim.execution.tasks import OwnParts, TrainingTask
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.phase import Fresh
from afl_sim.scenario.sections.settings import Numerics
from afl_sim.strategies.base import State, Strategy

if TYPE_CHECKING:
    from afl_sim.execution.runner import TaskRunner

Vector = npt.NDArray[np.float32]

_RUNNERS_KEPT = 8  # each holds a model, a partition and sometimes a copy of samples


@dataclass(frozen=True, eq=False)
class Supply:
    """Something large that a machine without this machine's files needs once.

    Attributes:
        name: identifies it.
        load: loads it on this machine.
        install: installs it on the other machine; it can be pickled.
    """

    name: str
    load: Callable[[], Any]
    install: Callable[[Any], None]


@dataclass(frozen=True, eq=False)
class Request:
    """One request to a worker.

    Attributes:
        what: ``train``, ``evaluate`` or ``call``.
        build: the pickled callable that makes the run's `TaskRunner`; it identifies the run.
        base: shape (P + B,): the global model; many requests have the same one.
        origin: the strategy and its state at that version; None if clients start at ``base``.
        arguments: what differs from request to request.
        supply: what the worker needs for the request.
    """

    what: str
    build: bytes = b""
    base: Tensor | None = None
    origin: tuple[Strategy, State] | None = None
    arguments: tuple[Any, ...] = ()
    supply: Supply | None = None


@dataclass(frozen=True)
class Reply:
    """The reply to a request.

    Attributes:
        value: the answer.
        seconds: how long the worker took.
        error: the exception of the task; or why the worker is gone, if that is known.
        lost: whether the worker is gone, so that its tasks must be done again.
    """

    value: Any = None
    seconds: float = 0.0
    error: BaseException | None = None
    lost: bool = False


OnReply = Callable[[Reply], None]
"""Takes the reply to a request, in whichever thread it comes."""


@dataclass(frozen=True)
class Hello:
    """A worker's introduction: its process, its code, and the numerics of its machine."""

    pid: int
    code: str
    fingerprints: Sequence[Mapping[str, Any]]


class Line(Protocol):
    """The line between a call in a worker and the caller who waits for it."""

    def tell(self, message: Any) -> None:
        """Leave a message for the caller; a later one may replace it before it is read."""

    def stop_wanted(self) -> bool:
        """Whether the call should end early."""


def hello(numerics: Sequence[Numerics]) -> Hello:
    """Introduce this process, for runs of these numerics; for none, if nothing is trained."""
    return Hello(os.getpid(), code_digest(), fingerprints_of(numerics))


def fingerprints_of(numerics: Sequence[Numerics]) -> list[dict[str, Any]]:
    """The fingerprints of this machine in some numerics."""
    if not numerics:
        return []
    from afl_sim.execution.numerics import fingerprint  # the door to PyTorch

    return [fingerprint(each) for each in numerics]


def train_request(build: bytes, supply: Supply | None, task: TrainingTask) -> Request:
    """The request of a training task; the task that it goes on from is done."""
    own = None if task.after is None else task.after.result().vector.numpy()
    fresh = task.fresh
    merged = None if fresh is None else (fresh.after, fresh.model.numpy(), fresh.weight)
    more = (task.extra_steps, task.messages, merged)
    alone = (task.client, task.task, task.steps, task.lr_factor, own, *more)
    return Request("train", build, task.base, task.origin, alone, supply)


def evaluate_request(
    build: bytes, supply: Supply | None, vector: Tensor, own: OwnParts | None
) -> Request:
    """The request of an evaluation; the tasks that the clients did before it are done."""
    kept: tuple[Any, ...] = ()
    if own is not None:
        parts = {client: part.numpy() for client, part in own.of_clients().items()}
        kept = (parts, own.version)
    return Request("evaluate", build, vector, arguments=kept, supply=supply)


def call_request(
    supply: Supply | None, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> Request:
    """The request to compute ``function(*arguments, line)``."""
    return Request("call", arguments=(pickle.dumps((function, arguments)),), supply=supply)


def read(request: Request, value: Any) -> Any:
    """The answer to a request, with tensors instead of arrays."""
    if request.what != "train":
        return value
    from afl_sim.learning.training.local_result import LocalResult  # the door to PyTorch

    vector, delta, loss = value
    return LocalResult(torch.from_numpy(_owned(vector)), torch.from_numpy(_owned(delta)), loss)


class Worker:
    """Does requests, one at a time.

    Args:
        line: connects a call with the caller who waits for it.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._runners: OrderedDict[bytes, TaskRunner] = OrderedDict()

    def do(
        self,
        what: str,
        build: bytes,
        base: Vector | None,
        origin: tuple[Strategy, State] | None,
        arguments: tuple[Any, ...],
    ) -> Reply:
        """Do a request; an exception goes into the reply."""
        began = perf_counter()
        try:
            value = self._do(what, build, base, origin, arguments)
        except Exception as error:
            return Reply(seconds=perf_counter() - began, error=portable(error))
        return Reply(value, perf_counter() - began)

    def _do(
        self,
        what: str,
        build: bytes,
        base: Vector | None,
        origin: tuple[Strategy, State] | None,
        arguments: tuple[Any, ...],
    ) -> Any:
        if what == "call":
            function, given = pickle.loads(arguments[0])
            return function(*given, self._line)
        assert base is not None
        runner, vector = self._runner(build), torch.from_numpy(_owned(base))
        if what == "evaluate":
            if not arguments:
                return runner.evaluate(vector)
            kept, version = arguments
            parts = {client: torch.from_numpy(_owned(part)) for client, part in kept.items()}
            return runner.evaluate(vector, parts, version)
        client, task, steps, lr_factor, own, extra, messages, merged = arguments
        fresh = None
        if merged is not None:
            after, model, weight = merged
            fresh = Fresh(after, torch.from_numpy(_owned(model)), weight)
        result = runner.train(
            TrainingTask(
                *(client, task, steps, vector, lr_factor, origin),
                extra_steps=extra,
                messages=messages,
                fresh=fresh,
            ),
            None if own is None else torch.from_numpy(_owned(own)),
        )
        return result.vector.numpy(), result.delta.numpy(), result.loss

    def _runner(self, build: bytes) -> TaskRunner:
        """The run's runner: one of those kept, or a new one."""
        runner = self._runners.pop(build, None)
        if runner is None:
            runner = pickle.loads(build)()
            while len(self._runners) >= _RUNNERS_KEPT:
                self._runners.popitem(last=False)
        self._runners[build] = runner
        return runner


def _owned(array: Vector) -> Vector:
    """The array itself if it can be written to, as torch demands, else a copy."""
    return array if array.flags.writeable else array.copy()


def portable(error: Exception) -> Exception:
    """The error, or a similar one that another process can read."""
    told = "".join(traceback.format_exception(error))
    try:
        copy: Exception = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker:\n{told}")
    return copy
