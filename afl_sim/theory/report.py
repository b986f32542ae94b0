"""The comparisons as a table: line by line on a terminal, and as a page of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from afl_sim.theory.intervals import COMPARISONS, FALSE_ALARM, REPLICATIONS, Interval
from afl_sim.theory.oracle import Oracle


@dataclass(frozen=True)
class Row:
    """An exact result, compared with fresh runs."""

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


def closing(rows: Sequence[Row]) -> str:
    """The verdict on all rows, in one line."""
    wrong = [row.oracle.name for row in rows if not row.holds]
    if wrong:
        return f"{len(wrong)} of {len(rows)} comparisons do not hold: {', '.join(wrong)}"
    what = "the comparison holds" if len(rows) == 1 else f"all {len(rows)} comparisons hold"
    return f"{what}: the simulator agrees with the exact results"


def page(rows: Sequence[Row]) -> str:
    """The table as Markdown, with what its intervals mean."""
    lines = [
        "# Comparison with exact results",
        "",
        "The table compares exact results about virtual time with runs of the simulator. For each "
        f"row a scenario is run without training, in {REPLICATIONS} replications with seeds 1 to "
        f"{REPLICATIONS}, and the warm-up is cut. The interval is Student's, with the level "
        f"{1 - FALSE_ALARM / COMPARISONS:.7f}: if the simulator is right, the probability that any "
        f"of up to {COMPARISONS} such intervals misses its exact value is at most "
        f"{FALSE_ALARM:g}. A row *holds* if the interval contains the exact value and none of the "
        "values that plausible mistakes would give (an error by one, the formula of a similar "
        "system).",
        "",
        "`afl-sim theory` runs all rows again; the command of a row runs that row. This page is "
        "written by `afl-sim theory --out docs/theory.md`.",
        "",
        "Little's law needs no interval. If transfers that are still present count until the end "
        "of the run, L = lambda W is an identity on every path. Every run is checked against it, "
        "to the microsecond, on each contended link of the server. `links` in `summary.json` "
        "reports the three quantities.",
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
