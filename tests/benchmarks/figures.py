"""Figures and differences of a long run, by this build and by that of an earlier commit.

    python tests/benchmarks/figures.py [--quick] [--against COMMIT] [--updates N] [--run FOLDER]

A timing-only run of ``scenarios/million-clients.yaml`` is made once, with 1,000 clients, 100 in
flight and a buffer of 10. Then the two builds draw each figure of it, and compare it with itself,
in turns. Times are of the processors, with the imports.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from builds import EARLIER, HERE, Command, command, tree_of
from measuring import Section, machine, median_ratio

_FIGURES = ("heterogeneity", "stragglers", "staleness", "staleness-time", "timeline", "network")
_SETTINGS = ("clients.count=1000", "strategy.concurrency=100", "strategy.buffer_size=10")


def measure(
    quick: bool,
    against: str = EARLIER,
    updates: int = 200_000,
    run: Path | None = None,
    rounds: int = 3,
    tell: Callable[[str], None] = lambda line: None,
) -> Section:
    """Draw figures of a run.

    Args:
        quick: 2,000 updates and this build alone, which works without the history.
        against: the commit of the earlier build.
        updates: of the run.
        run: its folder, if it is there already.
        rounds: turns of each build.
        tell: gets each row as soon as it is there.
    """
    if quick:
        updates, rounds = 2_000, 1
    rows = []
    with ExitStack() as held:
        trees = {"this build": HERE}
        if not quick:
            trees[against] = held.enter_context(tree_of(against))
        place = Path(held.enter_context(tempfile.TemporaryDirectory()))
        if run is None:
            run = place / "run"
            sets = [
                word for each in (*_SETTINGS, f"stop.updates={updates}") for word in ("--set", each)
            ]
            command(HERE, "run", "million-clients", "--timing-only", "--out", str(run), *sets)
        works = {
            f"`plot --figure {name}`": ["plot", str(run), "--figure", name, "--out", str(place)]
            for name in _FIGURES
        }
        works["`diff` with itself"] = ["diff", str(run), str(run)]
        for name, words in works.items():
            rows.append(_row(name, words, trees, rounds))
            tell(" | ".join(rows[-1]))
    ratio = [] if quick else [f"ratio to {against}"]
    return Section(
        f"Figures of a run of {updates:,} updates",
        "python tests/benchmarks/figures.py",
        ("command", *(f"{name}, s" for name in trees), *(f"{name}, MB" for name in trees), *ratio),
        rows,
        (
            "Seconds of the processors, of the shortest turn, and the largest memory. The ratio is "
            f"the time of this build to that of the other, as the median over {rounds} turns.",
        ),
    )


def _row(name: str, words: Sequence[str], trees: dict[str, Path], rounds: int) -> tuple[str, ...]:
    taken: dict[str, list[Command]] = {tree: [] for tree in trees}
    for _ in range(rounds):
        for tree, place in trees.items():
            taken[tree].append(command(place, *words))
    times = [[each.cpu for each in turns] for turns in taken.values()]
    return (
        name,
        *(f"{min(each):.2f}" for each in times),
        *(f"{max(each.peak for each in turns):,.0f}" for turns in taken.values()),
        *(f"{median_ratio(times[0], other):.2f}" for other in times[1:]),
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,000 updates; a rough figure")
    parser.add_argument("--against", default=EARLIER, help="the commit of the earlier build")
    parser.add_argument("--updates", type=int, default=200_000, help="of the run")
    parser.add_argument("--run", type=Path, help="the folder of such a run")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each build")
    options = parser.parse_args()
    section = measure(
        options.quick,
        options.against,
        options.updates,
        options.run,
        options.rounds,
        lambda line: print(line, flush=True),
    )
    print(f"\n{section.markdown()}\n\nOn: {machine()}")


if __name__ == "__main__":
    main()
