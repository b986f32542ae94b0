"""A worker process: what it is sent, what it does, what it answers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from afl_sim.execution.numerics import deterministic
from afl_sim.execution.runner import TaskRunner
from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.training import LocalResult

Vector = npt.NDArray[np.float32]

_runner: TaskRunner | None = None
_for_life = ExitStack()  # what holds until the process ends


def initialize(build: Callable[[], TaskRunner]) -> None:
    """Make a process ready for tasks.

    It ends with its parent, however that dies; and it leaves Ctrl-C to it.
    """
    global _runner
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _for_life.enter_context(deterministic())
    _runner = build()


def do(what: str, payload: bytes) -> tuple[float, bytes]:
    """Do one task; returns the seconds it took and the packed answer."""
    assert _runner is not None
    began = perf_counter()
    if what == "evaluate":
        evaluation = _runner.evaluate(torch.from_numpy(_owned(pickle.loads(payload))))
        return perf_counter() - began, pickle.dumps(evaluation)
    fields, base, own = pickle.loads(payload)
    task = TrainingTask(base=torch.from_numpy(_owned(base)), **fields)
    result = _runner.train(task, None if own is None else torch.from_numpy(_owned(own)))
    answer = pickle.dumps((result.vector.numpy(), result.delta.numpy(), result.loss), protocol=5)
    return perf_counter() - began, answer


def pack(task: TrainingTask, own: Vector | None) -> bytes:
    """A training task as bytes; ``own`` is the client's own model, in place of ``task.after``."""
    fields: dict[str, Any] = {
        "client": task.client,
        "task": task.task,
        "steps": task.steps,
        "lr_factor": task.lr_factor,
        "origin": task.origin,
    }
    return pickle.dumps((fields, task.base.numpy(), own), protocol=5)


def unpack(answer: bytes) -> LocalResult:
    """The result of a training task from the worker's answer."""
    vector, delta, loss = pickle.loads(answer)
    return LocalResult(torch.from_numpy(_owned(vector)), torch.from_numpy(_owned(delta)), loss)


def _owned(array: Vector) -> Vector:
    """The array itself if it may be written to, as torch wants, else a copy."""
    return array if array.flags.writeable else array.copy()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
