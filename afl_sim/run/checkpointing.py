"""The checkpoints of a run that trains: when one is written, and going on from the latest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from time import monotonic
from typing import Any

from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.global_model.learner import TrainingLearner
from afl_sim.global_model.replay import ReplayingLearner
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.recording import latest_checkpoint, load_checkpoint, metrics, save_checkpoint
from afl_sim.recording.documents import Facts, check_document
from afl_sim.run.finished import WallTime
from afl_sim.run.recorder import Recorder
from afl_sim.scenario import Execution
from afl_sim.user_code import reason

_OTHER_SCHEDULE = (
    "the replayed schedule differs from the checkpoint's, so other code or another scenario made "
    "it; run it again with --force"
)


class Checkpoints:
    """Writes a run's checkpoints.

    Args:
        settings: how often one is written.
        recorder: the logs of the run, which tell a later replay whether it is the same run.
        learner: has the numbers.
    """

    def __init__(self, settings: Execution, recorder: Recorder, learner: TrainingLearner) -> None:
        self._settings = settings
        self._recorder = recorder
        self._learner = learner
        self._saved_at = monotonic()

    def are_due(self, version: int) -> bool:
        """Whether the scenario asks for a checkpoint of this version."""
        every = self._settings.checkpoint_versions
        if every is not None and version % every == 0:
            return True
        wall = self._settings.checkpoint_seconds
        return wall is not None and monotonic() - self._saved_at >= wall

    def save(self, version: int, wall: WallTime) -> None:
        """Write a checkpoint of this version.

        None is written if the evaluation that is under way will end the run.

        Args:
            version: the server's version.
            wall: the time that the run has taken until now.

        Raises:
            AflSimError: the folder is gone, or cannot be written.
        """
        recorder = self._recorder
        recorder.folder.check_there()
        snapshot = self._learner.snapshot(version)
        if snapshot is None:
            return
        facts, tensors = snapshot.pack()
        facts["events"] = len(recorder.events)
        facts["schedule_digest"] = recorder.events.schedule_digest
        facts["metrics"] = [list(row) for row in recorder.metrics.rows]
        facts["wall_seconds"] = asdict(wall)
        save_checkpoint(recorder.folder.checkpoint_path, version, facts, tensors)
        self._saved_at = monotonic()


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        facts: its plain values.
        snapshot: the learner's numbers.
    """

    facts: Mapping[str, Any]
    snapshot: Snapshot

    @property
    def wall(self) -> WallTime:
        """The time that the run had taken; zeros in a checkpoint of older code."""
        before = self.facts.get("wall_seconds", {})
        return WallTime(**{each.name: before.get(each.name, 0.0) for each in fields(WallTime)})


class Replay:
    """Turns the clock up to a checkpoint without training, and there hands over to the learner.

    Args:
        checkpoint: where the learner takes over.
        recorder: gets the evaluations that were made before the checkpoint.
        learner: takes over.

    Attributes:
        learner: stands in for ``learner`` from the start of the run.
    """

    def __init__(
        self, checkpoint: Checkpoint, recorder: Recorder, learner: TrainingLearner
    ) -> None:
        self._facts = checkpoint.facts
        self._recorder = recorder
        for row in self._facts["metrics"]:
            recorder.restore_evaluation(*row)
        self.learner = ReplayingLearner(learner, checkpoint.snapshot)

    def covers(self, version: int) -> bool:
        """Whether this version lies before the checkpoint; at the checkpoint, hands over.

        Raises:
            AflSimError: the replayed schedule is not the one of the checkpoint.
        """
        self.learner.attach(version, self._check_same_schedule)
        return bool(version < self._facts["version"])

    def check_over(self) -> None:
        """Refuse a run that has ended before its checkpoint.

        Raises:
            AflSimError: it has, so it is not the run of the checkpoint.
        """
        if not self.learner.attached:
            raise AflSimError(_OTHER_SCHEDULE)

    def _check_same_schedule(self) -> None:
        events = self._recorder.events
        if (len(events), events.schedule_digest) != (
            self._facts["events"],
            self._facts["schedule_digest"],
        ):
            raise AflSimError(_OTHER_SCHEDULE)


def read_checkpoint(
    folder: Path, size: int, notice: Callable[[str], None] | None
) -> Checkpoint | None:
    """Read the latest undamaged checkpoint; None if there is none.

    Args:
        folder: the run's checkpoints.
        size: of the scenario's model, P + B.
        notice: called with one line if the latest checkpoint is damaged.

    Raises:
        RunFolderError: the checkpoint does not belong to such a run.
    """
    latest, found = latest_checkpoint(folder), load_checkpoint(folder)
    used = None if found is None else found[0].get("version")
    if latest != used and notice is not None:
        on = (
            "the run starts again from the beginning"
            if used is None
            else f"the run goes on from version {used}"
        )
        notice(f"{folder / str(latest)} is damaged; {on}")
    if found is None:
        return None
    facts, tensors = found
    place = folder / str(used)
    check_document(Facts, facts, place)
    try:
        for row in facts["metrics"]:
            metrics.EvaluationRow(*row)
        snapshot = Snapshot.unpack(facts, tensors)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunFolderError(f"{place} is damaged: {reason(error)}") from error
    if snapshot.vector.shape != (size,):
        raise RunFolderError(f"{place} is damaged: it holds another model than the scenario's")
    return Checkpoint(facts, snapshot)
