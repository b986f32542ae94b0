"""Whole runs that workers do.

A worker on this machine writes into the run's folder. A worker on another machine may not see it,
so it sends the content of its own folder, which then appears here by one rename.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from afl_sim.errors import AflSimError
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.worker import Line, Supply
from afl_sim.recording import RunFolder
from afl_sim.recording.drafts import draft_folder
from afl_sim.recording.files import write_bytes, writing
from afl_sim.recording.locking import LOCK
from afl_sim.recording.replacement import Replacement
from afl_sim.run.api import Progress
from afl_sim.scenario import Case
from afl_sim.study.case import Options, Outcome, existing, run_case

if TYPE_CHECKING:
    from afl_sim.run.executors import Executors

Files = dict[str, bytes]
"""The content of a folder: of each file, by its path in the folder."""


@dataclass(frozen=True)
class Returned:
    """How a worker's whole run has ended.

    Attributes:
        outcome: of its case, if it did not fail.
        error: why it failed; None if it did not.
        interrupted: whether it was told to stop.
        files: its folder, if that is on the worker's machine.
    """

    outcome: Outcome | None = None
    error: AflSimError | None = None
    interrupted: bool = False
    files: Files | None = None


def run_whole_here(
    pool: WorkerPool,
    case: Case,
    place: Path,
    options: Options,
    report: Callable[[Progress], None] | None,
) -> Outcome:
    """Have a worker on this machine do a case, in the run's own folder."""
    returned = _call(pool, options, report, do_here, case, place.resolve())
    return _outcome(returned, case, place)


def run_whole_away(
    pool: WorkerPool,
    case: Case,
    place: Path,
    options: Options,
    report: Callable[[Progress], None] | None,
) -> Outcome:
    """Have a worker on any machine do a case, and bring the run's folder here."""
    found = existing(place, even_damaged=options.force)
    begun = None
    if found is not None and options.resume and not options.force:
        begun = read_folder(place)
    from afl_sim.run.executors import supply_of  # the door to PyTorch

    supply = supply_of(case.scenario.data)
    returned = _call(pool, options, report, do_away, case, begun, supply=supply)
    if returned.files is None:
        return _outcome(returned, case, place)
    with ExitStack() as until_there:
        older = None
        if found is not None:
            with RunFolder.open(place).locked():
                older = until_there.enter_context(Replacement(found))
        write_folder(returned.files, place)
        made = existing(place)
        if older is not None and made is not None and made.summary.get("versions"):
            older.let_go()
        return _outcome(returned, case, place)


def do_here(case: Case, place: Path, options: Options, line: Line) -> Returned:
    """What a worker does for `run_whole_here`."""
    options = replace(options, stop_wanted=line.stop_wanted)
    try:
        outcome = run_case(case, place, options, line.tell, _in_this_process(options))
    except KeyboardInterrupt:
        return Returned(interrupted=True)
    except AflSimError as error:
        return Returned(error=error)
    return Returned(outcome)


def _in_this_process(options: Options) -> Executors | None:
    """A worker has no workers of its own."""
    if options.timing_only:
        return None
    from afl_sim.run.executors import inline  # the door to PyTorch

    return inline


def do_away(case: Case, begun: Files | None, options: Options, line: Line) -> Returned:
    """What a worker does for `run_whole_away`."""
    with tempfile.TemporaryDirectory(prefix="afl_sim-") as parent:
        place = Path(parent) / case.label
        if begun is not None:
            write_folder(begun, place)
        returned = do_here(case, place, options, line)
        return replace(returned, files=read_folder(place) if place.exists() else None)


def read_folder(folder: Path) -> Files:
    """Every file of a folder except its lock; links are left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink() and path.name != LOCK
    }


def write_folder(files: Files, place: Path) -> None:
    """Make a folder of these files; it appears by one rename.

    Raises:
        AflSimError: the folder cannot be written; nothing is left behind.
    """
    with writing(place), draft_folder(place) as draft:
        for name, content in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(path, content)
        os.rename(draft, place)


def _call(
    pool: WorkerPool,
    options: Options,
    report: Callable[[Progress], None] | None,
    function: Callable[..., Returned],
    *first: object,
    supply: Supply | None = None,
) -> Returned:
    returned: Returned = pool.call(
        function,
        *first,
        replace(options, stop_wanted=None, notice=None),
        supply=supply,
        on_message=report or (lambda progress: None),
        stop_wanted=options.stop_wanted or (lambda: False),
    )
    return returned


def _outcome(returned: Returned, case: Case, place: Path) -> Outcome:
    if returned.interrupted:
        raise KeyboardInterrupt
    if returned.error is not None:
        raise returned.error
    assert returned.outcome is not None
    return replace(returned.outcome, place=place)
