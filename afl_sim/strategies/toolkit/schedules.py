"""Schedules that several strategies share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from afl_sim.strategies.server_view import ServerView
from afl_sim.strategies.task_view import Event, Schedule, TaskView

Late = Literal["cancel", "discard"]
"""What happens to tasks that are late: they are stopped, or their updates are discarded."""


def everyone_trains(server: ServerView, epochs: int) -> Event[list[TaskView]]:
    """Send the model to all clients for so many epochs, and wait for all of them."""
    return server.wait(server.dispatch(range(server.clients), epochs=epochs, retry=False))


def rounds(
    server: ServerView, size: int, among: Sequence[int] | None = None, **context: Any
) -> Schedule:
    """Synchronous rounds: send the model to ``size`` clients, wait for all of them, aggregate.

    Args:
        server: the server.
        size: the number of clients in a round; fewer if fewer are idle and there.
        among: the clients to draw from; None is all clients.
        context: plain values for the event log and the rule.
    """
    while True:
        yield server.wait_idle(among=among)
        cohort = server.dispatch(server.pick(size, among=among))
        yield server.aggregate((yield server.wait(cohort)), **context)


def a_step_per_arrival(server: ServerView, workers: list[int]) -> Schedule:
    """Keep these clients busy. Each arrival makes a version, which that client trains next."""
    server.dispatch(workers)
    while True:
        update = yield server.arrival()
        yield server.aggregate([update])
        server.dispatch(update.client)


def one_of_each_then_every_arrival(server: ServerView, *, step_when_filled: bool) -> Schedule:
    """Collect an update of every client, and then make a step at each arrival.

    A client continues at once, before the first step at the initial model.

    Args:
        server: the server.
        step_when_filled: whether the last client to send its first update makes a step. If not,
            the first step comes with the next arrival.
    """
    server.dispatch(server.workers(server.clients))
    new: list[TaskView] = []
    missing = set(range(server.clients))
    while True:
        update = yield server.arrival()
        new.append(update)
        filled = not missing
        missing.discard(update.client)
        if filled or (step_when_filled and not missing):
            yield server.aggregate(new)
            new = []
        server.dispatch(update.client)


def buffers(
    server: ServerView, in_parallel: int, size: int, replace_first: bool = False
) -> Schedule:
    """Keep clients busy, and aggregate whenever ``size`` updates have arrived.

    Args:
        server: the server.
        in_parallel: the number of clients that train at the same time.
        size: the number of updates in a buffer, unless ``server.adaptive`` changes it.
        replace_first: whether the client that fills a buffer is replaced before the step. By
            default it is replaced after the step.
    """
    server.send(in_parallel)
    while True:
        buffer: list[TaskView] = []
        enough = server.in_force("buffer_size", size)
        while len(buffer) < enough:
            buffer.append((yield server.arrival()))
            if replace_first:
                server.send()
            if len(buffer) == enough:
                yield server.aggregate(buffer)
            if not replace_first:
                server.send()


def batches_at_one_model(
    server: ServerView, workers: list[int], enough: Callable[[list[TaskView]], bool], late: Late
) -> Schedule:
    """Rounds in which workers send gradients at the round's model until there are enough.

    A worker that has sent a gradient computes another one at the same model. Gradients at an
    earlier model are discarded.

    Args:
        server: the server.
        workers: the clients that compute.
        enough: whether these gradients are enough; it is asked after each arrival.
        late: what happens to gradients that are not ready when the round ends.
    """
    server.dispatch(workers)
    while True:
        batch: list[TaskView] = []
        while True:
            update = yield server.arrival()
            if server.staleness(update):
                server.discard(update)
            else:
                batch.append(update)
                if enough(batch):
                    break
            server.dispatch(update.client)
        yield server.aggregate(batch)
        if late == "cancel":
            for task in (*server.in_flight, *server.arrivals()):
                server.cancel(task)
                server.dispatch(task.client)
        server.dispatch(update.client)
