"""Workers that several runs share: processes on this machine, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.processes import ProcessSeat
from afl_sim.execution.workers.seats import Seat
from afl_sim.execution.workers.worker import fingerprints_of
from afl_sim.scenario import Execution, Numerics

_ROOM_WITHIN = 600.0  # seconds: a cluster that others use too may be slow to start a worker
_TRAINING = "afl_sim.run.recipe"
"""The module of what a worker builds a run's tasks with."""


@contextmanager
def worker_pool(
    execution: Execution,
    numerics: Sequence[Numerics],
    modules: Sequence[str] = (),
    stop_wanted: Callable[[], bool] | None = None,
) -> Iterator[WorkerPool]:
    """Workers, while the block lasts; Ctrl-C ends them at once.

    Args:
        execution: which kind, and how many.
        numerics: of the runs; none, if nothing is trained. Worker processes then import no PyTorch.
        modules: what worker processes need besides; it is imported once for all of them.
        stop_wanted: whether to stop; asked while a cluster has not yet started a worker.

    Raises:
        InputError: there is no such cluster, or its numerics differ from this machine's.
        KeyboardInterrupt: a stop was wanted before there was a worker.
    """
    if execution.executor == "ray":
        from afl_sim.execution.workers.ray import cluster

        with cluster(execution.ray_address, execution.workers) as found:
            workers = max(1, min(execution.workers, found.processors))
            with _running(partial(found.seat, numerics), workers, numerics) as pool:
                pool.wait_for_worker(_ROOM_WITHIN, stop_wanted)
                yield pool
        return
    training = [_TRAINING] if numerics else []
    seat = partial(ProcessSeat, numerics, [*training, *modules])
    with _running(seat, execution.workers, numerics) as pool:
        yield pool


@contextmanager
def _running(
    open_seat: Callable[[], Seat], workers: int, numerics: Sequence[Numerics]
) -> Iterator[WorkerPool]:
    pool = WorkerPool(open_seat, workers, fingerprints_of(numerics))
    try:
        yield pool
    except KeyboardInterrupt:
        pool.abort()
        raise
    finally:
        pool.close()
