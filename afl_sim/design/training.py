"""Trains runs of candidates up to a version, here or in workers, and goes on with them later."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from afl_sim.design.jobs import Job
from afl_sim.errors import (
    AflSimError,
    NotPortable,
    OwnRuleError,
    ScenarioError,
    ScheduleError,
    StrategyError,
    TaskError,
)
from afl_sim.execution.numerics import deterministic
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.worker import Line
from afl_sim.recording import load_head
from afl_sim.recording.folder import SCENARIO
from afl_sim.run.api import Progress, resume, simulate
from afl_sim.run.bits import effective_numerics
from afl_sim.run.executors import inline, supply_of
from afl_sim.run.workers import worker_pool
from afl_sim.scenario import Execution, Scenario
from afl_sim.study.whole_runs import Files, read_folder, write_folder

OWN = (
    *(NotPortable, OwnRuleError, ScenarioError, ScheduleError, StrategyError),
    TaskError,
)
"""Errors for which a candidate is to blame. Others, such as a full disk, end the design."""

OVER = frozenset({"complete", "diverged"})
"""How a run has ended that does not go on."""


@dataclass(frozen=True)
class _Returned:
    """How a job in a worker has ended; ``files`` is its folder, if that is elsewhere."""

    stopped: bool = False
    error: AflSimError | None = None
    files: Files | None = None


class Team:
    """Does jobs, one after another here or side by side in workers.

    The result of a job depends neither on where it is done nor on what is done beside it.

    Args:
        folder: the run folders go there.
        pool: the workers; None to train in this process.
        away: whether the workers may be on other machines.
        stop_wanted: whether to stop now.
    """

    def __init__(
        self,
        folder: Path,
        pool: WorkerPool | None,
        away: bool,
        stop_wanted: Callable[[], bool],
    ) -> None:
        self.folder = folder
        self._pool = pool
        self._away = away
        self._stop_wanted = stop_wanted

    def do(self, jobs: Sequence[Job], tell: Callable[[Job], None]) -> dict[str, AflSimError]:
        """Do jobs; if one fails, the others go on.

        Args:
            jobs: what to train.
            tell: called with each job that is done.

        Returns:
            The errors of those that failed, by label.

        Raises:
            AflSimError: something else than a candidate is the cause: a disk, a worker, other code.
            KeyboardInterrupt: a stop was wanted, and every run in progress has its checkpoint.
        """
        failed: dict[str, AflSimError] = {}
        if self._pool is None:
            for job in jobs:
                self._check()
                self._note(job, self._here(job), failed)
                tell(job)
            return failed
        with ThreadPoolExecutor(min(self._pool.workers, max(1, len(jobs))), "run") as threads:
            futures = {threads.submit(self._in_worker, job): job for job in jobs}
            try:
                for future in as_completed(futures):
                    self._note(futures[future], future.result(), failed)
                    tell(futures[future])
            except BaseException:
                threads.shutdown(wait=not self._stop_wanted(), cancel_futures=True)
                raise
        return failed

    def _note(self, job: Job, error: AflSimError | None, failed: dict[str, AflSimError]) -> None:
        if error is None:
            return
        if not isinstance(error, OWN):
            raise type(error)(f"{self.folder / job.label}: {error}") from error
        failed[job.label] = error

    def _check(self) -> None:
        if self._stop_wanted():
            raise KeyboardInterrupt

    def _here(self, job: Job) -> AflSimError | None:
        returned = _do(job.scenario, self.folder / job.label, job.until, self._stop_wanted)
        if returned.stopped:
            raise KeyboardInterrupt
        return returned.error

    def _in_worker(self, job: Job) -> AflSimError | None:
        self._check()
        assert self._pool is not None
        place = self.folder / job.label
        call = partial(
            self._pool.call,
            supply=supply_of(job.scenario.data),
            stop_wanted=self._stop_wanted,
        )
        if not self._away:
            returned = call(do_here, job.scenario, place.resolve(), job.until)
        else:
            begun = read_folder(place) if (place / SCENARIO).is_file() else None
            returned = call(do_away, job.scenario, job.until, begun)
            if returned.files is not None:
                _replace(place, returned.files)
        if returned.stopped:
            raise KeyboardInterrupt
        error: AflSimError | None = returned.error
        return error


@contextmanager
def team(
    folder: Path,
    execution: Execution,
    scenarios: Sequence[Scenario],
    stop_wanted: Callable[[], bool],
) -> Iterator[Team]:
    """The team that the section ``execution`` asks for, while the block lasts.

    Args:
        folder: the run folders go there.
        execution: one process, or workers of some kind.
        scenarios: what is trained.
        stop_wanted: whether to stop now.

    Raises:
        InputError: there is no such cluster, or its numerics differ from this machine's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if execution.executor == "inline":
        yield Team(folder, None, False, stop_wanted)
        return
    numerics = tuple(dict.fromkeys(effective_numerics(each) for each in scenarios))
    with deterministic(), worker_pool(execution, numerics, stop_wanted=stop_wanted) as pool:
        pool.ahead = 1
        yield Team(folder, pool, execution.executor == "ray", stop_wanted)


def do_here(scenario: Scenario, place: Path, until: int | None, line: Line) -> _Returned:
    """What a worker on this machine does: it writes into the run's folder."""
    return _do(scenario, place, until, line.stop_wanted)


def do_away(scenario: Scenario, until: int | None, begun: Files | None, line: Line) -> _Returned:
    """What a worker on another machine does: it sends the content of its own folder."""
    with tempfile.TemporaryDirectory(prefix="afl_sim-") as parent:
        place = Path(parent) / "run"
        if begun is not None:
            write_folder(begun, place)
        returned = _do(scenario, place, until, line.stop_wanted)
        files = read_folder(place) if place.exists() else None
        return _Returned(returned.stopped, returned.error, files)


def _do(
    scenario: Scenario, place: Path, until: int | None, stop_wanted: Callable[[], bool]
) -> _Returned:
    try:
        stopped = advance(scenario, place, until, stop_wanted)
    except AflSimError as error:
        return _Returned(error=error)
    return _Returned(stopped)


def advance(
    scenario: Scenario,
    place: Path,
    until: int | None,
    stop_wanted: Callable[[], bool] = lambda: False,
) -> bool:
    """Train a run up to a version, where it stops with a checkpoint.

    A run that was stopped before goes on from there. It comes to the digests of one that never
    stopped.

    Args:
        scenario: the run.
        place: its folder.
        until: the version; None for the run's end.
        stop_wanted: whether to stop earlier.

    Returns:
        Whether ``stop_wanted`` has stopped it.

    Raises:
        AflSimError: the run failed.
    """
    reached = False
    alone = scenario.model_copy(update={"execution": Execution()})

    def report(progress: Progress) -> None:
        nonlocal reached
        reached = reached or (until is not None and progress.version >= until)

    follow: Any = {
        "progress": report,
        "stop_wanted": lambda: reached or stop_wanted(),
        "executors": inline,
    }
    try:
        if (place / SCENARIO).is_file():
            found = load_head(place)
            versions = found.summary.get("versions") or 0
            if found.status in OVER or (until is not None and versions >= until):
                return False
            resume(place, execution=alone.execution, **follow)
        else:
            simulate(alone, place, **follow)
    except KeyboardInterrupt:
        return not reached
    return False


def _replace(place: Path, files: Files) -> None:
    """Put the files of a run in the place of an older state of it."""
    if place.exists():
        shutil.rmtree(place)
    write_folder(files, place)
