"""One run: its parts put together, the clock turned, the results written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, perf_counter
from typing import Any

from afl_sim.errors import AflSimError, DivergedError
from afl_sim.execution.local.batched import BatchedExecutor
from afl_sim.execution.numerics import fingerprint, model_digest
from afl_sim.execution.pulse import Pulse
from afl_sim.execution.tasks import Executor
from afl_sim.global_model.guard import Guard
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.null import NullLearner
from afl_sim.global_model.replay import ReplayingLearner
from afl_sim.recording import save_checkpoint
from afl_sim.run.executors import Executors
from afl_sim.run.preparation import Prepared
from afl_sim.run.recorder import Recorder
from afl_sim.run.restoring import read_snapshot
from afl_sim.run.summary import summarize
from afl_sim.scenario import Scenario
from afl_sim.strategies.base import Population
from afl_sim.user_code import reason
from afl_sim.world.clock import MICROSECONDS
from afl_sim.world.world import Ending, World

_LOOKS = 1.0  # seconds of wall time from one look at whether the folder is there to the next
_OTHER_HISTORY = (
    "the replayed schedule differs from the checkpoint's: it was made by other code or from "
    "another scenario; run it again with --force"
)


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        seconds: virtual time.
        version: the server's version.
        updates, samples: aggregated so far.
        accuracy: of the last evaluation, or None.
    """

    seconds: float
    version: int
    updates: int
    samples: int
    accuracy: float | None


@dataclass(frozen=True)
class Watch:
    """What may look on, and break off, from outside.

    Attributes:
        progress: told where the run stands, after each version and now and then in between.
        stop_wanted: whether the run is to stop: asked after each version, where there is a
            checkpoint, and between events where no version comes.
        notice: told in one line what the user should know before the run goes on.
    """

    progress: Callable[[Progress], None] | None = None
    stop_wanted: Callable[[], bool] | None = None
    notice: Callable[[str], None] | None = None


class Simulation:
    """One run.

    Args:
        scenario: what to run.
        prepared: its data, partition and initial model.
        recorder: where it is written.
        executors: where its tasks run; None to train nothing.
        watch: who looks on.
        resume: go on from the folder's latest checkpoint, if there is one.
    """

    def __init__(
        self,
        scenario: Scenario,
        prepared: Prepared,
        recorder: Recorder,
        executors: Executors | None,
        watch: Watch,
        resume: bool = False,
    ) -> None:
        self._scenario = scenario
        self._recorder = recorder
        self._watch = watch
        self._layout, self._saved = prepared.layout, prepared.saved
        strategy: Any = scenario.strategy
        size = prepared.partition.size
        compression = scenario.training.compression
        sizes = self._layout.num_parameters, self._layout.size - self._layout.num_parameters
        self._learner: TrainingLearner | None = None
        self._executor: Executor | None = None
        self._replay: ReplayingLearner | None = None
        self._restored: dict[str, Any] = {}
        self._began = perf_counter()
        self._saved_at = monotonic()
        self._look_at = monotonic() + _LOOKS
        self._checkpoints = executors is not None
        if executors is None:
            scenario = scenario.model_copy(update={"stop": scenario.stop.untrained})
        else:
            self._executor = executors(scenario, prepared)
            refused = scenario.server.guard
            self._learner = TrainingLearner(
                strategy,
                self._executor,
                prepared.initial,
                self._layout,
                Population(scenario.clients.count, size),
                scenario.training.lr_schedule.factor,
                recorder.add_evaluation,
                self._executor.kept if isinstance(self._executor, BatchedExecutor) else None,
                None if refused is None else Guard(refused.max_norm),
                compression.feeds_back,
            )
            if resume and self._checkpoints:
                self._load_checkpoint(self._learner)
        report = self._report if watch.progress is not None else None
        self._pulse = Pulse(report, watch.stop_wanted)
        self._world = World(
            scenario,
            strategy,
            size,
            compression.download_bytes(*sizes),
            self._replay or self._learner or NullLearner(),
            recorder.events.append,
            report,
            self._after_version,
            compression.upload_bytes(*sizes),
            self._pulse.between_events,
        )

    @property
    def begun(self) -> bool:
        """Whether there is anything to lose."""
        return self._world.server.version > 0

    def run(self, began: float) -> None:
        """Turn the clock to the end and write the folder's files.

        Args:
            began: the wall time, of `perf_counter`, from which the run counts.
        """
        self._began = began
        try:
            self._run()
        finally:
            if self._executor is not None:
                self._executor.close()

    def _run(self) -> None:
        try:
            with self._pulse:
                ending = self._world.run()
            if self._replay is not None and not self._replay.attached:
                raise AflSimError(_OTHER_HISTORY)  # its end has come before the checkpoint
        except DivergedError as error:
            self._finish("diverged", self._now(), str(error))
        except KeyboardInterrupt:
            self._finish("interrupted", self._now())
            raise
        except Exception as error:
            self._recorder.folder.check_there()  # else that is why
            # What can still be written is; the error that came first is the one to report.
            with suppress(Exception):
                self._finish("failed", self._now(), reason(error))
            if isinstance(error, MemoryError):
                raise AflSimError("not enough memory for this run") from error
            raise
        else:
            self._finish("complete", ending)
            shutil.rmtree(self._recorder.folder.checkpoint_path, ignore_errors=True)

    # -- checkpoints -----------------------------------------------------------------------------

    def _after_version(self, version: int) -> None:
        if self._replay is not None:
            self._replay.attach(version, self._check_prefix)
            if version < self._restored["version"]:
                return
        if monotonic() >= self._look_at:
            self._recorder.folder.check_there()
            self._look_at = monotonic() + _LOOKS
        stop = self._pulse.version_made()
        if self._checkpoints and (stop or self._is_time(version)):
            self._save_checkpoint(version)
        if stop:
            raise KeyboardInterrupt

    def _is_time(self, version: int) -> bool:
        settings = self._scenario.execution
        every = settings.checkpoint_versions
        if every is not None and version % every == 0:
            return True
        wall = settings.checkpoint_seconds
        return wall is not None and monotonic() - self._saved_at >= wall

    def _save_checkpoint(self, version: int) -> None:
        assert self._learner is not None
        self._recorder.folder.check_there()
        snapshot = self._learner.snapshot(version)
        if snapshot is None:
            return
        facts, tensors = snapshot.pack()
        recorder = self._recorder
        facts["events"] = len(recorder.events)
        facts["schedule_digest"] = recorder.events.schedule_digest
        facts["metrics"] = [list(row) for row in recorder.metrics.rows]
        facts["wall_seconds"] = self._wall_seconds()
        save_checkpoint(recorder.folder.checkpoint_path, version, facts, tensors)
        self._saved_at = monotonic()

    def _load_checkpoint(self, learner: TrainingLearner) -> None:
        folder = self._recorder.folder.checkpoint_path
        found = read_snapshot(folder, self._layout.size, self._watch.notice)
        if found is None:
            return
        self._restored, snapshot = found
        for row in self._restored["metrics"]:
            self._recorder.restore_evaluation(*row)
        self._replay = ReplayingLearner(learner, snapshot)

    def _check_prefix(self) -> None:
        """Refuse to go on from a checkpoint of another history.

        Raises:
            AflSimError: the replayed schedule is not the one that the checkpoint was taken in.
        """
        events = self._recorder.events
        if (len(events), events.schedule_digest) != (
            self._restored["events"],
            self._restored["schedule_digest"],
        ):
            raise AflSimError(_OTHER_HISTORY)

    # -- the end -------------------------------------------------------------------------------

    def _now(self) -> Ending:
        return Ending(self._world.time_us, "none")

    def _settle(self, status: str) -> None:
        """Report the evaluation that was under way when the run broke off, if it can be had."""
        if self._learner is not None:
            broken_off = (Exception, KeyboardInterrupt) if status != "complete" else ()
            with suppress(DivergedError, *broken_off):
                self._learner.settle()

    def _finish(self, status: str, ending: Ending, why: str | None = None) -> None:
        """Write the folder's files. The summary comes last: where another cannot be written (the
        disk is full), it says that the run failed, and why. A folder that is gone is not made anew.
        """
        self._recorder.folder.check_there()
        try:
            self._write_results(status)
        except Exception as error:
            self._recorder.folder.check_there()
            with suppress(Exception):
                self._write_summary("failed", ending, why or reason(error))
            raise
        self._write_summary(status, ending, why)

    def _write_results(self, status: str) -> None:
        recorder, learner = self._recorder, self._learner
        self._settle(status)
        recorder.close()
        if learner is not None and status == "complete":
            tensors = self._saved(learner.vector)
            recorder.folder.write_model({name: part.numpy() for name, part in tensors.items()})
        recorder.write_trace()

    def _write_summary(self, status: str, ending: Ending, why: str | None) -> None:
        recorder, learner = self._recorder, self._learner
        server = self._world.server
        summary = summarize(
            name=self._scenario.name,
            status=status,
            stopped_by=ending.rule,
            time_us=ending.time_us,
            versions=server.version,
            counts=server.counts,
            in_flight_us=sum(task.busy_us(ending.time_us) for task in server.under_way),
            evaluations=recorder.metrics.rows,
            targets=self._scenario.evaluation.targets,
        )
        if why is not None:
            summary["reason"] = why
        if learner is not None and learner.divergence is not None:
            summary["diverged"] = {
                "version": learner.divergence.version,
                "client": learner.divergence.client,
            }
        uses = self._world.link_uses(ending.time_us)
        summary["links"] = {name: use.as_dict() for name, use in uses.items()}
        summary["rejected"] = None if learner is None else learner.rejected
        summary["schedule_digest"] = recorder.events.schedule_digest
        summary["model_digest"] = None if learner is None else model_digest(learner.vector)
        summary["wall_seconds"] = self._wall_seconds()
        summary["numerics"] = fingerprint(self._scenario.numerics)
        recorder.folder.write_summary(summary)

    def _wall_seconds(self) -> dict[str, float]:
        """What the run has taken, with what it had when it broke off."""
        executor = self._executor
        spent = {
            "total": perf_counter() - self._began,
            "training": executor.training_seconds if executor else 0.0,
            "evaluation": executor.evaluation_seconds if executor else 0.0,
            "waiting": executor.waiting_seconds if executor else 0.0,
        }
        before = self._restored.get("wall_seconds", {})  # a checkpoint of older code has none
        return {name: seconds + before.get(name, 0.0) for name, seconds in spent.items()}

    def _report(self) -> None:
        assert self._watch.progress is not None
        rows = self._recorder.metrics.rows
        counts = self._world.server.counts
        self._watch.progress(
            Progress(
                self._world.time_us / MICROSECONDS,
                self._world.server.version,
                counts.aggregated,
                counts.samples,
                rows[-1].accuracy if rows else None,
            )
        )
