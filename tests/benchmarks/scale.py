"""How fast the schedule alone runs, and in how much memory, beside an earlier build and bare SimPy.

    python tests/benchmarks/scale.py [--quick] [--clients N] [--rounds N] [--out results.md]

Every row is ``scenarios/million-clients.yaml`` with other numbers, run with ``timing_only``: events
logged, hashed and written to Parquet. This tree and the tree of an earlier commit take turns, each
in a process of its own, and in between bare SimPy waits for as many timeouts as the run's tasks
have legs, three an update. Ratios are medians over rounds of CPU times that were measured one
after the other, since they feel alike what else the machine does. The digests of both builds have
to agree. The memory is that of the whole command ``afl-sim run``, watched from outside.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from builds import EARLIER, HERE, Build, command, tree_of

LEGS = 3
SCENARIO = "million-clients.yaml"
CASES = (  # strategy, clients, in flight
    ("fedbuff", 100, 20),
    ("fedbuff", 1_000, 1_000),
    ("fedbuff", 10_000, 1_000),
    ("fedasync", 10_000, 1_000),
    ("fedavg", 10_000, 1_000),
    ("fedbuff", 100_000, 10_000),
    ("fedasync", 100_000, 10_000),
    ("fedavg", 100_000, 10_000),
    ("fedbuff", 1_000_000, 10_000),
)
HEAD = (
    *("strategy", "clients", "in flight", "updates", "updates/s", f"updates/s, {EARLIER}"),
    *("ratio", "bare timeouts/s", "ratio to bare SimPy", "peak, MB", f"peak, MB, {EARLIER}"),
)


def settings(strategy: str, clients: int, in_flight: int, updates: int) -> list[str]:
    """A case in the words of the command line."""
    words = {
        "fedbuff": f"concurrency: {in_flight}, buffer_size: {max(1, in_flight // 10)}",
        "fedasync": f"concurrency: {in_flight}",
        "fedavg": f"clients_per_round: {in_flight}",
    }
    return [
        f"clients.count={clients}",
        f"strategy={{kind: {strategy}, {words[strategy]}}}",
        f"stop.updates={updates}",
    ]


def measure(
    builds: tuple[Build, Build], case: tuple[str, int, int], updates: int, rounds: int
) -> list[str]:
    """The cells of one row."""
    asked = settings(*case, updates)
    in_flight = case[2]
    here: list[dict[str, Any]] = []
    earlier: list[dict[str, Any]] = []
    bare: list[dict[str, Any]] = []
    for _ in range(rounds):
        for build, found in zip(builds, (here, earlier), strict=True):
            found.append(build.schedule(SCENARIO, *asked))
        bare.append(builds[0].run("bare", processes=in_flight, timeouts=LEGS * updates))
    if len({each["digest"] for each in (*here, *earlier)}) != 1:
        raise RuntimeError(f"{case}: the two builds have different schedules")
    peaks = [peak_of(build, asked) for build in builds]
    done = here[0]["updates"]
    waits = [each["cpu"] / each["timeouts"] for each in bare]
    pairs = list(zip(here, waits, strict=True))
    return [
        case[0],
        *(f"{number:,}" for number in (*case[1:], done)),
        *(f"{done / min(each['cpu'] for each in found):,.0f}" for found in (here, earlier)),
        f"{statistics.median(b['cpu'] / a['cpu'] for a, b in zip(here, earlier, strict=True)):.2f}",
        f"{1 / min(waits):,.0f}",
        f"{statistics.median(LEGS * done * w / a['cpu'] for a, w in pairs):.2f}",
        *(f"{peak:,.0f}" for peak in peaks),
    ]


def peak_of(build: Build, asked: list[str]) -> float:
    """The memory of the whole command, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word for each in asked for word in ("--set", each)]
        place = str(Path(folder) / "run")
        scenario = str(build.tree / "scenarios" / SCENARIO)
        return command(build.tree, "run", scenario, "--timing-only", "--out", place, *words).peak


def table(rows: list[list[str]]) -> str:
    """The measurements as Markdown."""
    rule = "|---" + "|--:" * (len(HEAD) - 1) + "|"
    return "\n".join([f"| {' | '.join(HEAD)} |", rule, *(f"| {' | '.join(row)} |" for row in rows)])


def main() -> None:
    """Measure every case, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 updates a row, not 1,000,000")
    parser.add_argument("--updates", type=int, help="updates of a row, in place of these")
    parser.add_argument("--clients", type=int, help="only the rows of so many clients")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each build")
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    updates = options.updates or (100_000 if options.quick else 1_000_000)
    rows = []
    with tree_of(EARLIER) as earlier, Build(HERE) as new, Build(earlier) as old:
        for build in (new, old):  # imports, data and caches are not timed
            build.schedule(SCENARIO, *settings("fedbuff", 100, 20, 1000))
        for case in CASES:
            if options.clients not in (None, case[1]):
                continue
            rows.append(measure((new, old), case, updates, options.rounds))
            print(table(rows[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    import simpy

    about = (
        f"`python {' '.join(['tests/benchmarks/scale.py', *sys.argv[1:]])}`, "
        f"Python {platform.python_version()}, SimPy {simpy.__version__}, {platform.machine()}. "
        f"Rates are of the shortest CPU time of {options.rounds} turns. Ratios are medians over "
        f"turns: to the build of {EARLIER}, and of bare SimPy's time for three timeouts an update "
        "to this build's. The peak is that of the whole command, its children included."
    )
    text = f"# Scale: the schedule alone\n\n{about}\n\n{table(rows)}\n"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
