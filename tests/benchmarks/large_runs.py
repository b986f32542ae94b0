"""The memory and the time of long runs and of large studies: every command, with its children.

    python tests/benchmarks/large_runs.py [--quick] [--keep FOLDER] [--out results/large_runs.md]

A timing-only run of ``scenarios/million-clients.yaml`` with 1,000 clients, 100 in flight and a
buffer of 10 is made, and then read by each command. A study of many short runs is made and read,
too. Memory is the largest sum of the resident memory of a command and of its children, looked at
from outside. Pages that processes share count in each of them. Times are of the processor, with the
imports (children too), and of the clock. Nothing here passes or fails.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from measuring import Section, machine

_EVERY = 0.1  # seconds between two looks
_FIGURES = ("heterogeneity", "stragglers", "staleness", "staleness-time", "timeline", "network")
_SETTINGS = ("clients.count=1000", "strategy.concurrency=100", "strategy.buffer_size=10")
_STUDY = """
name: many
seed: 1
replications: {seeds}
clients: {{count: 10, compute: {{seconds_per_task: {{dist: lognorm, s: 1.0, scale: 2.0}}}}}}
strategy: {{kind: fedbuff, concurrency: 5, buffer_size: 2}}
stop: {{updates: 100}}
sweep: {{strategy.buffer_size: [1, 2, 3, 4, 5], strategy.concurrency: [5, 8]}}
"""


@dataclass(frozen=True)
class Watched:
    """What a command took.

    Attributes:
        wall, cpu: seconds.
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
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = perf_counter()
    looks: list[tuple[float, float]] = []
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            own, others = _memory(process.pid)
            looks.append((own, own + others))
            sleep(_EVERY)
        if process.returncode:
            said.seek(0)
            sys.stderr.write(said.read().decode()[-2000:])
            raise subprocess.CalledProcessError(process.returncode, command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Watched(
        perf_counter() - began,
        cpu,
        max(both for _, both in looks),
        max(own for own, _ in looks),
        looks[len(looks) // 2][0],
    )


def _memory(pid: int) -> tuple[float, float]:
    """Resident megabytes of a process, and of its children together."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        children = [
            int(child)
            for task in tasks.iterdir()
            for child in (task / "children").read_text().split()
        ]
    except OSError:  # it has ended
        return 0.0, 0.0
    return _resident(pid), sum(sum(_memory(child)) for child in children)


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def measure(updates: int, seeds: int, folder: Path) -> list[Section]:
    """Make a run and a study in a folder, and watch each command.

    Args:
        updates: of the run.
        seeds: of the study, which has ten settings.
        folder: what is there already is not made again.
    """
    afl_sim = [sys.executable, "-m", "afl_sim"]
    run, rows = folder / f"run-{updates}", []
    if not run.exists():
        stop = (*_SETTINGS, f"stop.updates={updates}")
        sets = [word for setting in stop for word in ("--set", setting)]
        make = [*afl_sim, "run", "million-clients", "--timing-only", "--out", str(run), *sets]
        rows.append(watch(make).row("`run`, with its summary"))
    for name in _FIGURES:
        out = ["--out", str(folder / "figures")]
        found = watch([*afl_sim, "plot", str(run), "--figure", name, *out])
        rows.append(found.row(f"`plot --figure {name}`"))
    rows.append(watch([*afl_sim, "plot", str(run), "--out", str(folder / "figures")]).row("`plot`"))
    report = [*afl_sim, "report", str(run), "--out", str(folder / "report.html")]
    rows.append(watch(report).row("`report`"))
    rows.append(watch([*afl_sim, "compare", str(run)]).row("`compare`"))
    rows.append(watch([*afl_sim, "diff", str(run), str(run)]).row("`diff` with itself"))
    log = (run / "events.parquet").stat().st_size / 1e6
    header = ("command", "peak, MB", "its own, MB", "half-way, MB", "CPU, s", "wall, s")
    sections = [
        Section(
            f"A timing-only run of {updates:,} updates",
            "python tests/benchmarks/large_runs.py",
            header,
            rows,
            (f"The log takes {log:,.0f} MB.",),
        )
    ]
    study, source, rows = folder / f"study-{seeds}", folder / "many.yaml", []
    source.write_text(_STUDY.format(seeds=seeds))
    if not study.exists():
        make = [*afl_sim, "run", str(source), "--timing-only", "--out", str(study)]
        rows.append(watch([*make, "--workers", "2"]).row("`run --workers 2`"))
    rows.append(watch([*afl_sim, "compare", str(study)]).row("`compare`"))
    rows.append(watch([*afl_sim, "report", str(study)]).row("`report`"))
    title = f"A study of {10 * seeds:,} timing-only runs of 100 updates"
    sections.append(Section(title, "python tests/benchmarks/large_runs.py", header, rows))
    return sections


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 updates, 20 runs")
    parser.add_argument("--keep", type=Path, help="make the runs here, and keep them")
    parser.add_argument("--out", type=Path, help="also write the tables here")
    options = parser.parse_args()
    sizes = (100_000, 2) if options.quick else (10_000_000, 100)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        sections = measure(*sizes, folder)
    tables = "\n\n".join(section.markdown() for section in sections)
    text = f"# Long runs and large studies\n\n{tables}\n\nOn: {machine()}\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
