"""How long the command takes on the smallest scenario, start of Python included.

With ``--against COMMIT`` an older build takes turns with this one, and the table has the ratios.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from measuring import Section, machine, median_ratio
from memory import megabytes, processes_of

_ROOT = Path(__file__).parents[2]
_COMMAND = [sys.executable, "-c", "from afl_sim.cli import main; main()"]
_EVERY = 0.005  # seconds between two looks at the memory


def measure(quick: bool) -> Section:
    """Time the command in its two ways, and what it imports, in turns."""
    with tempfile.TemporaryDirectory() as folder:

        def run(*options: str) -> list[str]:
            out = Path(tempfile.mkdtemp(dir=folder)) / "run"
            return [*_COMMAND, "run", "smallest", "--out", str(out), *options]

        commands = {
            "python -c 'import torch'": lambda: [sys.executable, "-c", "import torch"],
            "afl-sim --help": lambda: [*_COMMAND, "--help"],
            "afl-sim run smallest --timing-only": lambda: run("--timing-only"),
            "afl-sim run smallest": run,
            "afl-sim run smallest --workers 2": lambda: run("--workers", "2"),
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(1 if quick else 7):
            for name, command in commands.items():
                seconds[name].append(_seconds(command()))
    rows = [
        (f"`{name}`", f"{min(taken):.2f}", f"{statistics.median(taken):.2f}")
        for name, taken in seconds.items()
    ]
    return Section(
        "Start-up",
        "python tests/benchmarks/startup.py",
        ("command", "shortest, s", "median, s"),
        rows,
        ("Wall time of the whole command; the scenario trains 60 updates of 100 samples.",),
    )


def _seconds(command: Sequence[str]) -> float:
    began = perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return perf_counter() - began


_COMPARED = (
    ("--help",),
    ("validate", "smallest"),
    ("run", "smallest", "--timing-only", "--out", "{new}"),
    ("compare", "{timed}", "{timed}"),
    ("diff", "{timed}", "{timed}"),
    ("list", "models"),
    ("run", "smallest", "--out", "{new}"),
    ("run", "smallest", "--workers", "2", "--out", "{new}"),
)


@dataclass(frozen=True)
class _Taken:
    """What a command took.

    Attributes:
        wall, cpu: seconds of the clock, and of the processor in all of its processes.
    """

    wall: float
    cpu: float


def compare(commit: str, rounds: int, only: Sequence[str]) -> Section:
    """Let this build and an older one take turns.

    Args:
        commit: of the older build.
        rounds: how often each command is timed; its memory is watched once more.
        only: the first words of the commands; none for all.
    """
    with _build(commit) as older, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        builds = {"old": older, "new": _ROOT}
        for build, tree in builds.items():  # also compiles, and fills the cache of data
            timed = str(folder / f"{build}-timed")
            _time(tree, ["run", "smallest", "--timing-only", "--out", timed], folder)
            _time(tree, ["run", "smallest", "--out", str(folder / f"{build}-warm")], folder)
        rows = []
        for words in _COMPARED:
            if only and words[0] not in only:
                continue
            taken: dict[str, list[_Taken]] = {build: [] for build in builds}
            peaks = dict.fromkeys(builds, 0.0)
            for round_ in range(rounds + 1):
                for build, tree in builds.items():
                    line = [
                        word.format(
                            new=folder / f"{build}-{len(rows)}-{round_}",
                            timed=folder / f"{build}-timed",
                        )
                        for word in words
                    ]
                    if round_:
                        taken[build].append(_time(tree, line, folder))
                    else:
                        peaks[build] = _peak(tree, line, folder)
            rows.append(_row(words, taken, peaks))
    return Section(
        f"Start-up beside {commit}",
        f"python tests/benchmarks/startup.py {' '.join(sys.argv[1:])}",
        (
            "command",
            "old, s",
            "new, s",
            "ratio of wall time",
            "of processor time",
            "old, MB",
            "new, MB",
            "ratio of memory",
        ),
        rows,
        (
            f"Medians of {rounds} turns, in which the two builds alternate. Processor time is that "
            "of all processes of a command. Memory is the peak of the sum over all of its "
            "processes of their proportional set size (Pss), in which a page that several share "
            f"counts once; it is read every {1000 * _EVERY:.0f} ms in a turn of its own.",
        ),
    )


def _row(
    words: Sequence[str], taken: dict[str, list[_Taken]], peaks: dict[str, float]
) -> tuple[str, ...]:
    shown = [word for word in words if word != "--out" and not word.startswith("{")]
    wall, cpu = (
        {build: [getattr(each, name) for each in every] for build, every in taken.items()}
        for name in ("wall", "cpu")
    )
    return (
        f"`afl-sim {' '.join(shown)}`",
        f"{statistics.median(wall['old']):.2f}",
        f"{statistics.median(wall['new']):.2f}",
        f"{median_ratio(wall['new'], wall['old']):.2f}",
        f"{median_ratio(cpu['new'], cpu['old']):.2f}",
        f"{peaks['old']:,.0f}",
        f"{peaks['new']:,.0f}",
        f"{peaks['new'] / peaks['old']:.2f}",
    )


@contextmanager
def _build(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a folder of its own."""
    git = ["git", "-C", str(_ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name) / "tree"
        subprocess.run(
            [*git, "add", "--detach", str(tree), commit], check=True, capture_output=True
        )
        try:
            yield tree
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True, capture_output=True)


def _start(tree: Path, line: Sequence[str], folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each command compiles the package anew
    return subprocess.Popen(
        [*_COMMAND, *line],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _time(tree: Path, line: Sequence[str], folder: Path) -> _Taken:
    before, began = os.times(), perf_counter()
    process = _start(tree, line, folder)
    _, errors = process.communicate()
    wall, after = perf_counter() - began, os.times()
    if process.returncode:
        raise RuntimeError(errors)
    spent = (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    )
    return _Taken(wall, spent)


def _peak(tree: Path, line: Sequence[str], folder: Path) -> float:
    """The peak of a command's memory in MB, in all of its processes."""
    process, peak = _start(tree, line, folder), 0.0
    while process.poll() is None:
        peak = max(peak, sum(map(megabytes, processes_of(process.pid))))
        sleep(_EVERY)
    assert process.stderr is not None
    errors = process.stderr.read()
    if process.returncode:
        raise RuntimeError(errors)
    return peak


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute; a rough figure")
    parser.add_argument("--against", metavar="COMMIT", help="an older build, to compare with")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each build, with --against")
    parser.add_argument("--only", nargs="+", default=(), help="first words of some commands")
    options = parser.parse_args()
    if options.against is None:
        section = measure(options.quick)
    else:
        section = compare(options.against, 1 if options.quick else options.rounds, options.only)
    print(f"{section.markdown()}\n\nOn: {machine()}")


if __name__ == "__main__":
    _main()
