"""Schedules without training, against an earlier build and against nothing but SimPy's timeouts."""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from builds import EARLIER, HERE, Build, compiled, tree_of
from measuring import Section, machine, median_ratio

_SCENARIO = "million-clients.yaml"
_LEG = "{latency: 0.1, bandwidth: {dist: lognorm, s: 0.8, scale: 5.0e4}}"
_LEGS = 3  # download, computation, upload
_STRATEGIES = {
    "fedasync": "concurrency",
    "fedbuff": "concurrency",
    "fedavg": "clients_per_round",
}


def settings(strategy: str, clients: int, updates: int) -> tuple[str, ...]:
    """A run over ten times as many clients as are in flight, with random times for each leg."""
    return (
        f"clients.count={10 * clients}",
        f"clients.network={{download: {_LEG}, upload: {_LEG}}}",
        f"strategy={{kind: {strategy}, {_STRATEGIES[strategy]}: {clients}}}",
        f"stop.updates={updates}",
    )


def measure(
    quick: bool,
    strategies: Sequence[str] = tuple(_STRATEGIES),
    in_flight: Sequence[int] = (100, 1_000, 10_000),
    updates: int = 100_000,
    turns: int = 5,
    built: Path | None = None,
) -> Section:
    """Time the schedules of some strategies, at several numbers of clients in flight.

    ``quick`` is for a rough figure of this build alone; the other settings have no say then.
    ``built`` is where the compiled build is already.
    """
    if quick:
        in_flight, updates, turns = (100,), 2_000, 1
    rows = []
    with ExitStack() as held:
        builds = {"this build": held.enter_context(Build(HERE))}
        if not quick:  # which has to work without the history, too
            earlier = held.enter_context(tree_of(EARLIER))
            builds[EARLIER] = held.enter_context(Build(earlier))
            builds["compiled"] = held.enter_context(Build(held.enter_context(compiled(built))))
        for build in builds.values():  # imports, data and caches are not timed
            build.schedule(_SCENARIO, *settings("fedbuff", 20, 1_000))
        for clients in in_flight:
            for strategy in strategies:
                rows.append(_row(builds, strategy, clients, updates, turns))
                print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    compared = "" if quick else f" The build of {EARLIER} runs beside this one, turn by turn."
    return Section(
        "Schedules without training",
        "python tests/benchmarks/schedule.py",
        (
            "strategy",
            "clients in flight",
            *(f"updates a second, {name}" for name in builds),
            "bare SimPy, updates a second",
            "times as long as bare SimPy",
            *([] if quick else [f"times as fast as {EARLIER}", "the same, compiled"]),
        ),
        rows,
        (
            f"Runs of {updates:,} updates over ten times as many clients as are in flight, with "
            "random times for download, computation and upload, the folder written. Bare SimPy is "
            "a process a client that waits three times an update. Rates are of the shortest turn's "
            f"CPU time; ratios are medians over turns.{compared}",
        ),
    )


def _row(
    builds: dict[str, Build], strategy: str, clients: int, updates: int, rounds: int
) -> tuple[str, ...]:
    seconds: dict[str, list[float]] = defaultdict(list)
    digests = set()
    for _ in range(rounds):
        for name, build in builds.items():
            done = build.schedule(_SCENARIO, *settings(strategy, clients, updates))
            seconds[name].append(done["cpu"] / done["updates"])
            digests.add(done["digest"])
        bare = next(iter(builds.values())).run("bare", processes=clients, timeouts=_LEGS * updates)
        seconds["bare"].append(_LEGS * bare["cpu"] / bare["timeouts"])
    if len(digests) != 1:
        raise RuntimeError(f"{strategy} with {clients} clients: the builds' schedules differ")
    here = seconds["this build"]
    ratios = [f"{median_ratio(here, seconds['bare']):.1f}"]
    if EARLIER in seconds:
        ratios.append(f"{median_ratio(seconds[EARLIER], here):.2f}")
        ratios.append(f"{median_ratio(seconds[EARLIER], seconds['compiled']):.2f}")
    rates = [f"{1 / min(each):,.0f}" for each in seconds.values()]
    return (strategy, f"{clients:,}", *rates, *ratios)


def main() -> None:
    """Measure some rows, and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute; a rough figure")
    parser.add_argument("--strategy", choices=_STRATEGIES, help="only rows of this one")
    parser.add_argument(
        "--clients", type=int, nargs="+", help="only rows with so many clients in flight"
    )
    parser.add_argument("--updates", type=int, default=100_000, help="of each run")
    parser.add_argument("--turns", type=int, default=5, help="turns of each build")
    parser.add_argument("--built", type=Path, help="where the compiled wheel is unpacked already")
    asked = parser.parse_args()
    section = measure(
        asked.quick,
        [asked.strategy] if asked.strategy else tuple(_STRATEGIES),
        asked.clients or (100, 1_000, 10_000),
        asked.updates,
        asked.turns,
        asked.built,
    )
    print(f"{section.markdown()}\n\nOn: {machine()}")


if __name__ == "__main__":
    main()
