"""The second stage of a run: the clock is turned, and the learner makes the numbers."""

from __future__ import annotations

from contextlib import closing
from time import monotonic, perf_counter
from typing import TYPE_CHECKING

from afl_sim.errors import AflSimError, DivergedError
from afl_sim.execution.pulse import Pulse
from afl_sim.run.building import world_of
from afl_sim.run.finished import Finished, Status
from afl_sim.run.observer import Observer, Progress
from afl_sim.run.preparation import Prepared
from afl_sim.run.recorder import Recorder
from afl_sim.run.searches import FewerSearches
from afl_sim.run.timing import NumericHalf, TimingOnly
from afl_sim.user_code import reason
from afl_sim.world.account.costs import Totals
from afl_sim.world.ending import Ending
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.world import World

if TYPE_CHECKING:
    from afl_sim.run.executors import Executors

_LOOK_EVERY = 1.0  # seconds of wall time between two looks whether the folder is still there


def run(
    prepared: Prepared,
    recorder: Recorder,
    executors: Executors | None,
    observer: Observer,
    *,
    began: float,
    resume: bool = False,
) -> Finished:
    """Turn the clock until the run ends, by a stop rule or by an error.

    Args:
        prepared: what the run starts from.
        recorder: gets events, evaluations and checkpoints as they come.
        executors: makes the executor of the run's tasks; None to train nothing.
        observer: follows the run and may stop it.
        began: the value of `perf_counter` from which the run's wall time counts.
        resume: whether to go on from the latest checkpoint in the folder, if there is one.

    Returns:
        What is to be recorded, with the error that ended the run, if one did. That is an
        AflSimError if a rule was broken, and a KeyboardInterrupt if the run was told to stop.

    Raises:
        RunFolderError: the checkpoint does not belong to such a run; the clock was not turned.
    """
    scenario = prepared.scenario
    if executors is None:
        return _turned(prepared, recorder, TimingOnly(scenario, began), observer)
    from afl_sim.run.training import Training  # the door to PyTorch

    with closing(executors(scenario, prepared)) as executor:
        training = Training(prepared, executor, recorder, began)
        if resume:
            training.go_on_from_checkpoint(observer.notice)
        return _turned(prepared, recorder, training, observer)


def _turned(
    prepared: Prepared, recorder: Recorder, half: NumericHalf, observer: Observer
) -> Finished:
    clock = _Clock(prepared, recorder, half, observer)
    recorder.keep = True
    # No variable here holds the error: its traceback holds this frame, and both would stay.
    return _finished(prepared, half, clock.world, *clock.turn())


def _finished(
    prepared: Prepared,
    half: NumericHalf,
    world: World,
    status: Status,
    ending: Ending,
    why: str | None,
    error: BaseException | None,
) -> Finished:
    if status != "complete":
        half.settle()
    server, time_us = world.server, ending.time_us
    uses = world.link_uses(time_us)
    trained, account = half.trained(whole=status == "complete"), world.account
    return Finished(
        scenario=prepared.scenario,
        status=status,
        reason=why,
        error=error,
        stopped_by=ending.rule,
        time_us=time_us,
        versions=server.version,
        counts=server.counts,
        in_flight_us=sum(task.busy_us(time_us) for task in server.under_way),
        links={name: use.as_dict() for name, use in uses.items()},
        trained=trained,
        wall=half.wall(),
        ended=perf_counter(),
        metrics={} if trained is None else prepared.metrics,
        targets=prepared.targets,
        costs=None if account is None else account.until(time_us),
        costs_at={} if account is None else account.marks,
    )


class _Clock:
    """Turns the clock; reports progress, has checkpoints written, and stops the run if it should.

    Args:
        prepared: what the run starts from.
        recorder: gets events as they come.
        half: the run's numbers.
        observer: follows the run and may stop it.
    """

    def __init__(
        self, prepared: Prepared, recorder: Recorder, half: NumericHalf, observer: Observer
    ) -> None:
        self._recorder = recorder
        self._half = half
        self._observer = observer
        self._metrics = prepared.metrics
        self._look_at = monotonic() + _LOOK_EVERY
        self._has_version = False
        followed = observer.progress is not None or observer.first_version is not None
        told = half.trains or observer.stop_wanted is not None
        self._pulse = Pulse(self._beat, observer.stop_wanted)
        self._searches = FewerSearches()
        self.world = world_of(
            half.scenario,
            prepared.partition.size,
            prepared.sent,
            half.learner,
            recorder.events.append,
            progress=self._on_version if followed else None,
            after_version=self._after_version if told else None,
            between_events=self._pulse.between_events,
            ahead=recorder.events.ahead,
        )
        account = self.world.account
        recorder.count(None if account is None else Totals(account.marks))

    def turn(self) -> tuple[Status, Ending, str | None, BaseException | None]:
        """Turn the clock to the end; returns how and when the run ended, why, and its error."""
        try:
            with self._searches, self._pulse:
                ending = self.world.run()
            self._half.check_over()
        except DivergedError as error:
            return "diverged", self._now(), str(error), None
        except KeyboardInterrupt as error:
            return "interrupted", self._now(), None, error
        except MemoryError as error:
            told = AflSimError("not enough memory for this run")
            told.__cause__ = error
            return "failed", self._now(), reason(error), told
        except Exception as error:
            return "failed", self._now(), reason(error), error
        return "complete", ending, ending.remark, None

    def _now(self) -> Ending:
        return Ending(self.world.time_us, "none")

    def _on_version(self) -> None:
        """Report a version, even the one with which the run ends.

        While old versions are replayed, the pulse reports often enough.
        """
        if not self._has_version:
            self._has_version = True
            if self._observer.first_version is not None:
                self._observer.first_version()
        if self._observer.progress is not None and not self._half.replaying:
            self._report()

    def _after_version(self, version: int) -> None:
        """Do what is due after a version with which the run does not end.

        Raises:
            KeyboardInterrupt: the run should stop.
        """
        trains = self._half.trains
        if trains:
            if self._half.replays(version):
                return
            self._searches.end()
        stop = self._pulse.version_made()
        if trains:
            self._half.save_checkpoint(version, stop)
        if stop:
            raise KeyboardInterrupt

    def _beat(self) -> None:
        """Do what is due now and then, between two events.

        Raises:
            RunFolderError: the folder has gone.
        """
        if self._observer.progress is not None:
            self._report()
        if monotonic() >= self._look_at:
            self._recorder.folder.check_there()
            self._look_at = monotonic() + _LOOK_EVERY

    def _report(self) -> None:
        assert self._observer.progress is not None
        rows = self._recorder.metrics.rows
        server = self.world.server
        main = next(iter(self._metrics), "accuracy")
        last = rows[-1].value(main) if rows else None
        self._observer.progress(
            Progress(
                self.world.time_us / MICROSECONDS,
                server.version,
                server.counts.aggregated,
                server.counts.samples,
                rows[-1].accuracy if rows else None,
                None if last is None else (main, last),
            )
        )
