"""The oracles as a table: in a terminal line by line, and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from afl_sim.theory.intervals import COMPARISONS, FALSE_ALARM, REPLICATIONS, Interval
from afl_sim.theory.oracle import Oracle


@dataclass(frozen=True)
class Row:
    """An oracle and what fresh runs say of it."""

    oracle: Oracle
    found: Interval
    verdict: str

    @property
    def holds(self) -> bool:
        """Whether the exact value is in the interval and no mistake's value is."""
        return self.verdict == "holds"

    def line(self) -> str:
        """The row in a terminal."""
        oracle = self.oracle
        numbers = f"exact {oracle.exact:<10.6g} simulated {self.found!s:<24}"
        return f"{self.verdict:<9}{oracle.name:<42}{numbers} {oracle.formula}"


def measure(oracle: Oracle) -> Row:
    """Run an oracle's scenario with every seed, unless another oracle has, and compare."""
    return Row(oracle, *oracle.verdict())


def page(rows: Sequence[Row]) -> str:
    """The table as Markdown, with what its intervals mean."""
    lines = [
        "# What the engine is held to",
        "",
        "Exact results about virtual time, and what runs of the engine say of them. Every row is a "
        "scenario run with `--timing-only`'s engine, "
        f"{REPLICATIONS} replications with seeds 1 to {REPLICATIONS}, warm-up cut; the interval is "
        f"Student's. Its level is {1 - FALSE_ALARM / COMPARISONS:.7f}: if the simulator is right, "
        f"the probability that any of up to {COMPARISONS} such intervals misses its value is at "
        f"most {FALSE_ALARM:g}. A row *holds* if the exact value is in the interval and the values "
        "that plausible mistakes would give (one off, a neighbour's formula) are not.",
        "",
        "`afl-sim theory` runs them all anew; a row's command runs that row. This page is written "
        "by `afl-sim theory --out docs/theory.md`.",
        "",
        "Little's law needs no interval: for one path, with those still there counted until its "
        "end, L = lambda W is an identity. Every run is held to it to the microsecond on each link "
        "of the server that transfers contend for, and reports the three in `summary.json`, "
        "`links`.",
        "",
        "| formula | exact | simulated | verdict | command |",
        "|---|--:|--:|---|---|",
    ]
    for row in rows:
        oracle, found = row.oracle, row.found
        simulated = f"{found.mean:.6g} ± {found.half_width:.2g}"
        command = f"`afl-sim theory {oracle.name}`"
        cells = (
            oracle.formula.replace("|", "\\|").replace("*", "\\*"),
            f"{oracle.exact:.6g}",
            simulated,
            row.verdict,
            command,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
