"""What a design has trained, for whoever trains it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from afl_sim.errors import AflSimError
from afl_sim.recording.folder import CHECKPOINT
from afl_sim.scenario import Scenario


@dataclass(frozen=True)
class Job:
    """A part of a run that is to be trained.

    Attributes:
        label: the name of its folder.
        scenario: the run.
        until: the version at which it stops; None for its end.
    """

    label: str
    scenario: Scenario
    until: int | None


class Trainers(Protocol):
    """Does jobs: `afl_sim.design.training.Team`, which alone knows PyTorch.

    Attributes:
        folder: the run folders go there.
    """

    @property
    def folder(self) -> Path: ...

    def do(self, jobs: Sequence[Job], tell: Callable[[Job], None]) -> dict[str, AflSimError]:
        """Do jobs; returns the errors of those that failed, by label.

        Raises:
            KeyboardInterrupt: a stop was wanted, and every run in progress has its checkpoint.
        """


def let_go(run: Path) -> None:
    """Remove the checkpoints of a run that the design trains no further.

    They hold a vector for each task in flight, and so are most of its folder. If the run is
    resumed nevertheless, it starts again.
    """
    shutil.rmtree(run / CHECKPOINT, ignore_errors=True)
