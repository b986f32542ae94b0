"""Updates a second over worker processes: one, two, ... as many as there are cores."""

from __future__ import annotations

import statistics
from functools import partial

from contenders import by_afl_sim
from measuring import Section, Turn, alternate, main, median_ratio

from afl_sim.machine import usable_processors

_UPDATES = 120


def measure(quick: bool) -> Section:
    """Time one process and each number of workers; ``quick`` takes shorter and fewer turns."""
    updates = 24 if quick else _UPDATES
    counts = [1, 2] if quick else worker_counts()
    contenders = {str(n): partial(by_afl_sim, "lenet", updates, n) for n in (0, *counts)}
    turns = alternate(contenders, rounds=1 if quick else 5)
    one = [turn.facts["rate"] for turn in turns["1"]]
    rows = []
    for name, taken in turns.items():
        rates = [turn.facts["rate"] for turn in taken]
        rows.append(
            (
                "inline" if name == "0" else name,
                f"{statistics.median(rates):.1f}",
                f"{median_ratio(rates, one):.2f}",
                f"{statistics.median(map(_start, taken)):.1f}",
            )
        )
    return Section(
        "Worker processes on lenet",
        "python tests/benchmarks/scaling.py",
        ("workers", "updates a second", "against one worker", "start, s"),
        rows,
        (
            f"Runs of {updates} updates, taken alternately; medians. The rate is that of the wall "
            "clock from the 20th update on, so it needs as many idle cores as there are workers; "
            "the start is what the run took beyond its updates at that rate.",
        ),
    )


def worker_counts() -> list[int]:
    """1, 2, 4, ... and the number of cores."""
    most = usable_processors()
    return sorted({most, *(2**i for i in range(most.bit_length()) if 2**i <= most)})


def _start(turn: Turn) -> float:
    return turn.facts["total"] - turn.facts["updates"] / turn.facts["rate"]


if __name__ == "__main__":
    main(measure, __doc__)
