"""A design from its file to its folder: begun, gone on with, or reused."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from afl_sim.design import ends, results
from afl_sim.design.admissible import admissible
from afl_sim.design.problem import Problem
from afl_sim.design.proposals import Proposals, import_optuna
from afl_sim.design.ranking import Placed, ranking, trades
from afl_sim.design.reading import read_problem
from afl_sim.design.reasons import profile, rivals, sentences
from afl_sim.design.report import REPORT, write_report
from afl_sim.design.search import Search, Ways, search
from afl_sim.design.solution import Solution
from afl_sim.errors import AflSimError, RunFolderError
from afl_sim.execution.code_digest import code_digest
from afl_sim.recording import check_free
from afl_sim.recording.files import make_folder, refuse_link, write_bytes, write_text
from afl_sim.recording.folder import STUDY
from afl_sim.recording.locking import lock_of
from afl_sim.recording.result_folder import as_json
from afl_sim.study.study import RUNS


@dataclass(frozen=True)
class Options:
    """How a design is done; nothing here changes its result.

    Attributes:
        out: its folder; None for ``runs/<name>-design-<id>``.
        timing_only: end before anything is trained.
        resume: go on with an unfinished design.
        force: begin again, whatever is there.
        say: shows a line.
        stop_wanted: whether to stop now.
    """

    out: Path | None = None
    timing_only: bool = False
    resume: bool = False
    force: bool = False
    say: Callable[[str], None] = lambda line: None
    stop_wanted: Callable[[], bool] = lambda: False


def identity_of(problem: Problem) -> str:
    """Eight hex digits that identify a design."""
    return hashlib.sha256(problem.identity.encode()).hexdigest()[:8]


def place_of(problem: Problem, timing_only: bool) -> Path:
    """The folder of a design, if none is named."""
    suffix = "-timing" if timing_only else ""
    return RUNS / f"{problem.scenario.name}-design-{identity_of(problem)}{suffix}"


def read_again(folder: Path, settings: Sequence[str] = ()) -> tuple[Problem, bool, dict[str, Any]]:
    """Read the file of a design from its folder.

    Args:
        folder: the design's.
        settings: further ones, ``key.path=value``.

    Returns:
        The problem, whether nothing is trained, and how it was read at first.

    Raises:
        RunFolderError: the folder is damaged.
        ScenarioError: the file, or a file that it names, has mistakes now.
    """
    index = results.read_index(folder)
    origin = None if index is None else index.get("origin")
    if index is None or not isinstance(origin, dict) or not (folder / results.SOURCE).is_file():
        raise RunFolderError(
            f"{folder} does not state how the design was started; continue it with `afl-sim design "
            f"SCENARIO --out {folder} --resume`"
        )
    problem = read_problem(
        folder / results.SOURCE,
        [*origin["settings"], *settings],
        origin["seed"],
        Path(origin["folder"]),
    )
    return problem, bool(index.get("timing_only")), {k: origin[k] for k in ("settings", "seed")}


def solve(problem: Problem, options: Options, origin: Mapping[str, Any]) -> Solution:
    """Solve a design in its folder, or open the solution that is there.

    Args:
        problem: what is asked for.
        options: how it is done.
        origin: ``settings`` and ``seed`` with which its file was read.

    Raises:
        As `run_design`; RunFolderError also if other code has begun it; and KeyboardInterrupt if a
            stop was wanted: `resume` then goes on.
    """
    import_optuna()
    folder = options.out or place_of(problem, options.timing_only)
    identity = identity_of(problem)
    before = 0.0
    found = results.read_index(folder) if folder.is_dir() and not options.force else None
    if found is not None:
        if found["identity"] != identity or found.get("timing_only") != options.timing_only:
            raise RunFolderError(
                f"{folder} holds another design; choose another folder, or --force to replace it"
            )
        if found["status"] == "complete":
            other = found.get("code") != code_digest(problem.scenario)
            how = "; it was made with other code" if other else ""
            options.say(f"{folder} is finished{how} (--force begins again)")
            return Solution(folder, found)
        if not options.resume:
            raise RunFolderError(
                f"{folder} already holds a design: --resume goes on with it, --force begins again"
            )
        if found.get("code") != code_digest(problem.scenario):
            raise RunFolderError(
                f"{folder} was started with other code ({found.get('code')}, here "
                f"{code_digest(problem.scenario)}), so its result may differ; --force begins again"
            )
        before = float(found.get("wall_seconds") or 0.0)
    elif options.force and results.read_index_quietly(folder) is not None:
        refuse_link(folder)
        shutil.rmtree(folder)
    else:
        check_free(folder)
    begun = _Folder(problem, folder, identity, options, origin)
    began = monotonic()
    ways = Ways(folder, options.say, options.stop_wanted, options.timing_only, before, begun.begin)
    try:
        with begun:
            made, proposals = search(problem, ways)
            begun.begin()
            return _finish(made, proposals, begun, before + monotonic() - began)
    except (AflSimError, KeyboardInterrupt):
        begun.note(before + monotonic() - began)
        raise


class _Folder:
    """The folder of a design, which is made once there is something to train."""

    def __init__(
        self,
        problem: Problem,
        path: Path,
        identity: str,
        options: Options,
        origin: Mapping[str, Any],
    ) -> None:
        self.problem = problem
        self.path = path
        self.timing_only = options.timing_only
        self.head = {
            **results.head(problem, identity),
            "timing_only": options.timing_only,
            "code": code_digest(problem.scenario),
            "origin": {**origin, "folder": str(problem.folder)},
        }
        self._lock: Any = None

    def begin(self) -> None:
        """Make the folder, and hold it."""
        if self._lock is not None:
            return
        refuse_link(self.path)
        make_folder(self.path)
        self._lock = lock_of(self.path)
        self._lock.__enter__()
        write_text(self.path / results.SOURCE, self.problem.source)
        results.write_index(self.path, self.head)

    def note(self, wall: float) -> None:
        """Note the wall time of a design that is interrupted."""
        if (self.path / results.INDEX).is_file():
            with suppress(OSError):
                results.write_index(self.path, {**self.head, "wall_seconds": wall})

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._lock is not None:
            self._lock.__exit__(*error)
            self._lock = None


def _finish(made: Search, proposals: Proposals, begun: _Folder, wall: float) -> Solution:
    """Write what was found."""
    folder, problem = begun.path, made.problem
    if begun.timing_only:
        index = {**begun.head, "status": "complete", "candidates": results.candidates(made)}
        _write(folder, index, made, proposals)
        return Solution(folder, index)
    placed = ranking(made, admissible(made))
    chosen = rivals(made, placed)
    profiles = [profile(made, entry) for entry in chosen]
    other, points = trades(made)
    reasons = sentences(made, profiles)
    reasons += ends.sentences(problem.space, placed[0].entry.point)
    index = {
        **results.whole(begun.head, made, placed, other, points, profiles, reasons),
        "wall_seconds": wall,
    }
    winner = placed[0].entry
    assert winner.candidate is not None
    text = problem.file_of(winner.candidate)
    write_text(folder / results.WINNER, text)
    _name_runs(made, placed, folder / "runs")
    write_report(folder / REPORT, made, placed, profiles, (other, points), index, text)
    _write(folder, index, made, proposals)
    return Solution(folder, index)


def _write(folder: Path, index: Mapping[str, Any], made: Search, proposals: Proposals) -> None:
    write_text(folder / results.TABLE, results.table(index["candidates"]))
    known = {
        entry.number: {
            "value": entry.rungs[-1] if entry.rungs else None,
            "rungs": entry.rungs,
            "attributes": {"title": entry.title, "fate": entry.fate, "why": entry.why},
        }
        for entry in made.entries
    }
    proposals.write(folder, known)
    results.write_index(folder, index)


def _name_runs(made: Search, placed: Sequence[Placed], folder: Path) -> None:
    """Make a study of all runs, those of the best candidates first, for `compare` and `plot`."""
    halving = made.halving
    assert halving is not None
    ranked = [each.entry for each in placed]
    others = [entry for entry in made.entries if entry.reaches and entry not in ranked]
    titles = {
        halving.run_of(entry, index).path.name: entry.title
        for entry in [*ranked, *others]
        for index in entry.reaches
    }
    content = {"name": made.problem.scenario.name, "runs": list(titles), "titles": titles}
    write_bytes(folder / STUDY, as_json(content))
