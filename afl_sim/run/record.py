"""The third stage of a run: its results are written into its folder."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import asdict
from time import perf_counter

from afl_sim.errors import InputError
from afl_sim.recording.fingerprints import REASON
from afl_sim.run.bits import effective_bits
from afl_sim.run.finished import Finished, Status
from afl_sim.run.identity import numerics_of
from afl_sim.run.preparation import Prepared
from afl_sim.run.recorder import Recorder
from afl_sim.run.summary import summarize
from afl_sim.run.uninterrupted import uninterrupted
from afl_sim.user_code import reason


@uninterrupted()
def record(finished: Finished, recorder: Recorder, prepared: Prepared) -> None:
    """Write the logs, the model, the trace and, last of all, the summary.

    If a file cannot be written (the disk is full, say), the summary states that the run failed, and
    why. Of a run that had failed before, as much is written as can be. A first signal that
    interrupts the run waits until all is written.

    Args:
        finished: the run.
        recorder: its logs and its folder. A folder that is gone is not made again.
        prepared: what the run started from.

    Raises:
        AflSimError: the folder is gone; or a file of a run that had not failed cannot be written.
        KeyboardInterrupt: all was written, and such a signal came.
    """
    recorder.folder.check_there()
    if finished.status == "failed":
        with suppress(Exception):  # the error that came first is the one to report
            _record(finished, recorder, prepared)
    else:
        _record(finished, recorder, prepared)
    if finished.status == "complete":
        shutil.rmtree(recorder.folder.checkpoint_path, ignore_errors=True)
    if isinstance(finished.error, InputError) and not finished.versions:
        recorder.keep = False


def _record(finished: Finished, recorder: Recorder, prepared: Prepared) -> None:
    try:
        recorder.close()
        if finished.trained is not None and finished.status == "complete":
            from afl_sim.run.numbers import write_models  # the door to PyTorch

            write_models(finished.trained, prepared, recorder)
        recorder.write_trace(next(iter(finished.metrics), "accuracy"))
    except Exception as error:
        recorder.folder.check_there()
        with suppress(Exception):
            _write_summary(finished, recorder, "failed", finished.reason or reason(error))
        raise
    _write_summary(finished, recorder, finished.status, finished.reason)


def _write_summary(finished: Finished, recorder: Recorder, status: Status, why: str | None) -> None:
    scenario, trained = finished.scenario, finished.trained
    summary = summarize(
        name=scenario.name,
        status=status,
        stopped_by=finished.stopped_by,
        time_us=finished.time_us,
        versions=finished.versions,
        counts=finished.counts,
        in_flight_us=finished.in_flight_us,
        evaluations=recorder.metrics.rows,
        targets=finished.targets,
        metrics=finished.metrics,
        costs=finished.costs,
        costs_at=finished.costs_at,
    )
    if why is not None:
        summary["reason"] = why
    if trained is not None and trained.divergence is not None:
        summary["diverged"] = asdict(trained.divergence)
    summary["links"] = dict(finished.links)
    summary["rejected"] = None if trained is None else trained.rejected
    summary["schedule_digest"] = recorder.events.schedule_digest
    summary["model_digest"] = None
    if trained is not None:
        from afl_sim.run.numbers import digests_of  # the door to PyTorch

        summary |= digests_of(trained)
    wall = finished.wall.longer_by(perf_counter() - finished.ended)
    summary["wall_seconds"] = asdict(wall)
    summary["numerics"] = numerics_of(scenario, trained is None)
    if trained is not None and (why_native := effective_bits(scenario).reason) is not None:
        summary["numerics"][REASON] = why_native
    recorder.folder.write_summary(summary)
