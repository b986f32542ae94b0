"""How fast the schedule alone runs, and in how much memory, beside an earlier build and bare SimPy.

    python tests/benchmarks/scale.py [--quick] [--clients N] [--rounds N] [--compiled] [--out FILE]

Every row is ``scenarios/million-clients.yaml`` with other numbers, run with ``timing_only``: events
logged, hashed and written to Parquet. This tree and the tree of an earlier commit take turns, each
in a process of its own; with ``--compiled``, so does this tree with its schedules compiled. In
between bare SimPy waits for as many timeouts as the run's tasks have legs, three an update. Ratios
are medians over rounds of CPU times that were measured one after the other, since they feel alike
what else the machine does. The digests of all builds have to agree. The memory is that of the whole
command ``afl-sim run``, watched from outside.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

from builds import EARLIER, HERE, Build, command, compiled, tree_of
from measuring import median_ratio

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
NEW = "this build"


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


def head(names: list[str]) -> list[str]:
    """The titles of the columns, for builds of these names."""
    return [
        *("strategy", "clients", "in flight", "updates"),
        *(f"updates/s, {name}" for name in names),
        *(f"{name} to {EARLIER}" for name in names if name != EARLIER),
        *("bare timeouts/s", f"{NEW} to bare SimPy"),
        *(f"peak, MB, {name}" for name in names),
    ]


def measure(
    builds: dict[str, Build], case: tuple[str, int, int], updates: int, rounds: int
) -> list[str]:
    """The cells of one row."""
    asked = settings(*case, updates)
    seconds: dict[str, list[float]] = defaultdict(list)  # of processor time, for each update
    waits: list[float] = []  # for each timeout
    digests, done = set(), 0
    for _ in range(rounds):
        for name, build in builds.items():
            found = build.schedule(SCENARIO, *asked)
            done = found["updates"]
            seconds[name].append(found["cpu"] / done)
            digests.add(found["digest"])
        bare = builds[NEW].run("bare", processes=case[2], timeouts=LEGS * updates)
        waits.append(bare["cpu"] / bare["timeouts"])
    if len(digests) != 1:
        raise RuntimeError(f"{case}: the builds have different schedules")
    others = [name for name in builds if name != EARLIER]
    bare_updates = [LEGS * each for each in waits]
    return [
        case[0],
        *(f"{number:,}" for number in (*case[1:], done)),
        *(f"{1 / min(each):,.0f}" for each in seconds.values()),
        *(f"{median_ratio(seconds[EARLIER], seconds[name]):.2f}" for name in others),
        f"{1 / min(waits):,.0f}",
        f"{median_ratio(bare_updates, seconds[NEW]):.2f}",
        *(f"{peak_of(build, asked):,.0f}" for build in builds.values()),
    ]


def peak_of(build: Build, asked: list[str]) -> float:
    """The memory of the whole command, in MB."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word for each in asked for word in ("--set", each)]
        place = str(Path(folder) / "run")
        scenario = str(build.scenarios / SCENARIO)
        return command(build.tree, "run", scenario, "--timing-only", "--out", place, *words).peak


def table(titles: list[str], rows: list[list[str]]) -> str:
    """The measurements as Markdown."""
    rule = "|---" + "|--:" * (len(titles) - 1) + "|"
    lines = [f"| {' | '.join(row)} |" for row in (titles, *rows)]
    return "\n".join([lines[0], rule, *lines[1:]])


def main() -> None:
    """Measure every case, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100,000 updates a row, not 1,000,000")
    parser.add_argument("--updates", type=int, help="updates of a row, in place of these")
    parser.add_argument("--clients", type=int, help="only the rows of so many clients")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each build")
    parser.add_argument("--compiled", action="store_true", help="also with compiled schedules")
    parser.add_argument("--out", type=Path, help="also write the table here")
    options = parser.parse_args()
    updates = options.updates or (100_000 if options.quick else 1_000_000)
    rows = []
    with ExitStack() as held:
        trees = {NEW: HERE, EARLIER: held.enter_context(tree_of(EARLIER))}
        if options.compiled:
            trees["compiled"] = held.enter_context(compiled())
        builds = {name: held.enter_context(Build(tree)) for name, tree in trees.items()}
        titles = head(list(builds))
        for build in builds.values():  # imports, data and caches are not timed
            build.schedule(SCENARIO, *settings("fedbuff", 100, 20, 1000))
        for case in CASES:
            if options.clients not in (None, case[1]):
                continue
            rows.append(measure(builds, case, updates, options.rounds))
            print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    import simpy

    about = (
        f"`python {' '.join(['tests/benchmarks/scale.py', *sys.argv[1:]])}`, "
        f"Python {platform.python_version()}, SimPy {simpy.__version__}, {platform.machine()}. "
        f"Rates are of the shortest CPU time of {options.rounds} turns. Ratios are medians over "
        f"turns: to the build of {EARLIER}, and of bare SimPy's time for three timeouts an update "
        "to this build's. The peak is that of the whole command, its children included."
    )
    text = f"# Scale: the schedule alone\n\n{about}\n\n{table(titles, rows)}\n"
    print(text)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
