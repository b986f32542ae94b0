"""The memory and the time of long runs and of large studies: every command, with its children.

    python tests/benchmarks/large_runs.py [--quick] [--keep FOLDER] [--out results/large_runs.md]

A timing-only run of ``scenarios/million-clients.yaml`` with 1,000 clients, 100 in flight, a buffer
of 10 and a trace is made, and then read by each command. A study of many short runs is made and
read, too. Memory is the largest sum of the resident memory of a command and of its children, looked
at from outside. Pages that processes share count in each of them. Times are of the processors, in
all processes and with the imports, and of the clock. Nothing here passes or fails: a command that
fails has a row that says so. Each row is written at once, so that a measurement can be broken off.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

from measuring import Section, machine

_EVERY = 0.1  # seconds between two looks
_FIGURES = ("heterogeneity", "stragglers", "staleness", "staleness-time", "timeline", "network")
_HEADER = ("command", "peak, MB", "its own, MB", "half-way, MB", "CPU, s", "wall, s")
_COMMAND = "python tests/benchmarks/large_runs.py"
_WORKERS = 2
_SETTINGS = (
    "clients.count=1000",
    "strategy.concurrency=100",
    "strategy.buffer_size=10",
    "recording.trace=true",
)
_STUDY = """
name: many
seed: 1
replications: {seeds}
clients: {{count: 10, compute: {{seconds_per_task: {{dist: lognorm, s: 1.0, scale: 2.0}}}}}}
strategy: {{kind: fedbuff, concurrency: 5, buffer_size: 2}}
stop: {{updates: 100}}
sweep: {{strategy.buffer_size: [1, 2, 3, 4, 5], strategy.concurrency: [5, 8]}}
"""
_ALONE = """
import sys
from pathlib import Path
from afl_sim.run.api import read_study, simulate

for case in read_study(sys.argv[1]).cases:
    simulate(case.scenario, Path(sys.argv[2]) / case.label, timing_only=True)
"""
"""The runs of a study, one after the other, without the study."""


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes:
        wall, cpu: seconds, of the clock and of all processes together.
        peak, own: megabytes of all processes together, and of the command's own.
        half: megabytes of its own in the middle of its time.
    """

    wall: float
    cpu: float
    peak: float
    own: float
    half: float

    def row(self, name: str) -> tuple[str, ...]:
        """The row of a table."""
        numbers = (f"{self.peak:,.0f}", f"{self.own:,.0f}", f"{self.half:,.0f}")
        return (name, *numbers, f"{self.cpu:,.1f}", f"{self.wall:,.1f}")


def watch(command: Sequence[str]) -> Watched:
    """Run a command and look at its memory.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    began = perf_counter()
    looks: list[tuple[float, float]] = []
    spent: dict[int, float] = {}  # by process; some end by a signal, and nobody waits for others
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            family = _family(process.pid)
            memory = [_resident(each) for each in family]
            looks.append((memory[0], sum(memory)))
            spent |= {each: seconds for each in family if (seconds := _seconds(each))}
            sleep(_EVERY)
        if process.returncode:
            said.seek(0)
            sys.stderr.write(said.read().decode()[-2000:])
            raise subprocess.CalledProcessError(process.returncode, command)
    return Watched(
        perf_counter() - began,
        sum(spent.values()),
        max(both for _, both in looks),
        max(own for own, _ in looks),
        looks[len(looks) // 2][0],
    )


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    with suppress(OSError):  # the process has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):  # one of its threads has ended
                for child in map(int, (task / "children").read_text().split()):
                    found += _family(child)
    return found


def _seconds(pid: int) -> float:
    """What a process has had of the processors."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(updates: int, seeds: int, folder: Path, tell: Callable[[list[Section]], None]) -> None:
    """Make a run and a study in a folder, and watch each command.

    Args:
        updates: of the run; 0 for none.
        seeds: of the study, which has ten settings; 0 for no study.
        folder: what is whole there already is not made again.
        tell: called with all tables after each row.
    """
    python = [sys.executable]
    afl_sim = ["-m", "afl_sim"]
    sections: list[Section] = []

    def begin(title: str, notes: list[str]) -> Callable[..., Watched | None]:
        rows: list[tuple[str, ...]] = []
        sections.append(Section(title, _COMMAND, _HEADER, rows, notes))

        def add(name: str, command: Sequence[str], *, how: Sequence[str] = afl_sim) -> Any:
            found = None
            try:
                found = watch([*python, *how, *command])
                rows.append(found.row(name))
            except subprocess.CalledProcessError as error:
                rows.append((name, f"failed with {error.returncode}", *["-"] * 4))
            tell(sections)
            return found

        return add

    if updates:
        notes: list[str] = []
        add = begin(f"A timing-only run of {updates:,} updates", notes)
        run = folder / f"run-{updates}"
        if not _summaries([run]):
            stop = (*_SETTINGS, f"stop.updates={updates}")
            sets = [word for setting in stop for word in ("--set", setting)]
            make = ["run", "million-clients", "--timing-only", "--force", "--out", str(run), *sets]
            add("`run`, with its summary and trace", make)
        sizes = {path.name: path.stat().st_size / 1e6 for path in sorted(run.glob("*.*"))}
        notes.append("; ".join(f"{name}: {size:,.1f} MB" for name, size in sizes.items()))
        add("`compare`", ["compare", str(run)])
        add("`report`", ["report", str(run), "--out", str(folder / "report.html")])
        figures = ["--out", str(folder / "figures")]
        add("`plot`", ["plot", str(run), *figures])
        for name in _FIGURES:
            add(f"`plot --figure {name}`", ["plot", str(run), "--figure", name, *figures])
        add("`diff` with itself", ["diff", str(run), str(run)])
    if seeds:
        notes = []
        add = begin(f"A study of {10 * seeds:,} timing-only runs of 100 updates", notes)
        study, source = folder / f"study-{seeds}", folder / "many.yaml"
        source.write_text(_STUDY.format(seeds=seeds))
        if len(_summaries(study.glob("*-r*"))) < 10 * seeds:
            make = ["run", str(source), "--timing-only", "--force", "--out", str(study)]
            pooled = add(f"`run --workers {_WORKERS}`", [*make, "--workers", str(_WORKERS)])
            alone = add("`run` in one process", [*make[:-1], f"{study}-alone"])
            bare = add(
                "`simulate` for each run, without a study",
                [str(source), f"{study}-bare"],
                how=("-c", _ALONE),
            )
            if pooled is not None and alone is not None and bare is not None:
                each, inline, pool = (
                    1000 * found.cpu / (10 * seeds) for found in (bare, alone, pooled)
                )
                notes.append(
                    f"A run takes {each:,.1f} ms of processor time. A study in one process adds "
                    f"{inline - each:,.1f} ms to each, and one with {_WORKERS} workers "
                    f"{pool - each:,.1f} ms. The start of the commands and of the workers, and "
                    "what the parent does for each run, are in it."
                )
        add("`compare`", ["compare", str(study)])
        add("`report`", ["report", str(study)])


def _summaries(runs: Iterable[Path]) -> list[dict[str, Any]]:
    """The summaries of the runs that have ended."""
    there = [run / "summary.json" for run in runs]
    return [json.loads(path.read_text()) for path in there if path.is_file()]


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 updates, 20 runs")
    parser.add_argument("--updates", type=int, help="of the run; 0 for none")
    parser.add_argument("--seeds", type=int, help="of the study of ten settings; 0 for none")
    parser.add_argument("--keep", type=Path, help="make the runs here, and keep them")
    parser.add_argument("--out", type=Path, help="also write the tables here")
    options = parser.parse_args()
    updates, seeds = (100_000, 2) if options.quick else (10_000_000, 100)

    def tell(sections: list[Section]) -> None:
        tables = "\n\n".join(section.markdown() for section in sections)
        text = f"# Long runs and large studies\n\n{tables}\n\nOn: {machine()}\n"
        print(" | ".join(sections[-1].rows[-1]), flush=True)
        if options.out:
            options.out.write_text(text, encoding="utf-8")

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        measure(
            updates if options.updates is None else options.updates,
            seeds if options.seeds is None else options.seeds,
            folder,
            tell,
        )


if __name__ == "__main__":
    main()
