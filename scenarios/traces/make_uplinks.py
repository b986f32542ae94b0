"""Makes uplinks.csv and uplink-means.csv: synthetic uplinks of phones on the move.

    python scenarios/traces/make_uplinks.py

An uplink stays in one of four states for a random time and then changes to another one. The states
and their lengths are round numbers, not measurements. A link's own lognormal factor makes some
links better than others. uplink-means.csv has the mean bandwidth of each link.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np

SEED = 25
LINKS, SECONDS = 24, 1800
STATES = ((0.0, 15.0), (2e4, 60.0), (1e5, 120.0), (4e5, 60.0))  # bytes per second, mean seconds


def main() -> None:
    """Write the files beside this script."""
    random = np.random.default_rng(SEED)
    rows: list[tuple[str, int, int, str]] = []
    means: list[tuple[str, str]] = []
    for index in range(LINKS):
        link, factor = f"phone-{index + 1}", float(np.exp(random.normal(0.0, 0.5)))
        start, state, sent = 0, int(random.integers(len(STATES))), 0.0
        while start < SECONDS:
            rate, mean = STATES[state]
            end = min(SECONDS, start + 1 + int(random.exponential(mean)))
            told = f"{rate * factor:.4g}"
            rows.append((link, start, end, told))
            sent += float(told) * (end - start)
            start, state = end, (state + int(random.integers(1, len(STATES)))) % len(STATES)
        means.append((link, f"{sent / SECONDS:.6g}"))
    write("uplinks.csv", ("link", "start", "end", "bandwidth"), rows)
    write("uplink-means.csv", ("link", "bandwidth"), means)


def write(name: str, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    """Write a table beside this script."""
    with Path(__file__).with_name(name).open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    main()
