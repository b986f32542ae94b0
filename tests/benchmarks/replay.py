"""How long a resumed run replays its schedule before it trains, against an earlier build."""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from builds import EARLIER, HERE, Build, compiled, tree_of
from measuring import Section, machine, median_ratio

_JOBS = Path(__file__).with_name("replay_job.py")
_BUFFER = 10
_STRATEGIES = {
    "fedbuff": f"{{kind: fedbuff, concurrency: 1000, buffer_size: {_BUFFER}}}",
    "fedasync": "{kind: fedasync, concurrency: 1000}",
}
_SETTINGS = ("clients.count=10000", "model=logistic", "evaluation={samples: 100}")


def measure(
    quick: bool,
    cases: Sequence[tuple[str, int]] = (("fedbuff", 50_000), ("fedasync", 50_000)),
    rounds: int = 3,
    with_compiled: bool = False,
) -> Section:
    """Interrupt runs after so many updates, and time how they are resumed.

    Args:
        quick: 2,000 updates and this build alone, which works without the history.
        cases: strategies and numbers of updates.
        rounds: turns of each build.
        with_compiled: measure the compiled build, too.
    """
    rows = []
    with ExitStack() as held:
        builds = {"this build": held.enter_context(Build(HERE, _JOBS))}
        if quick:
            cases, rounds = [(strategy, 2_000) for strategy in _STRATEGIES], 1
        else:
            earlier = held.enter_context(tree_of(EARLIER))
            builds[EARLIER] = held.enter_context(Build(earlier, _JOBS))
        if with_compiled:
            builds["compiled"] = held.enter_context(Build(held.enter_context(compiled()), _JOBS))
        for strategy, updates in cases:
            folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
            rows.append(_row(builds, strategy, updates, rounds, folder))
            print(" | ".join(rows[-1]), flush=True)
    others = [name for name in builds if name != EARLIER and EARLIER in builds]
    return Section(
        "Replay of a schedule",
        "python tests/benchmarks/replay.py",
        (
            "strategy",
            "updates",
            *(f"{name}, s" for name in builds),
            "schedule alone, s",
            *(f"{name} to {EARLIER}" for name in others),
        ),
        rows,
        (
            "Processor time from `resume` to the first task that is given to an executor, of runs "
            "with 1,000 of 10,000 clients in flight. Their checkpoint is that of a run of "
            "logistic regression whose clients do no step. Times are of the shortest of "
            f"{rounds} turns, ratios of times are medians over turns. The schedule alone is this "
            "build's timing-only run of as many updates.",
        ),
    )


def _row(
    builds: dict[str, Build], strategy: str, updates: int, rounds: int, folder: Path
) -> tuple[str, ...]:
    settings = (*_SETTINGS, f"strategy={_STRATEGIES[strategy]}")
    version = updates // _BUFFER if strategy == "fedbuff" else updates
    digests = set()
    for name, build in builds.items():
        done = build.run(
            "interrupted",
            scenario=str(build.scenarios / "million-clients.yaml"),
            settings=[*settings, f"stop.updates={2 * updates}"],
            folder=str(folder / name),
            version=version,
        )
        digests.add((done["digest"], done["version"], done["updates"]))
    if digests != {(done["digest"], version, updates)}:
        raise RuntimeError(f"{strategy}: the builds' runs differ, or are not of {updates} updates")
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for name, build in builds.items():
            seconds[name].append(build.run("resumed", folder=str(folder / name))["cpu"])
        alone = builds["this build"].schedule(
            "million-clients.yaml", *settings, f"stop.updates={updates}"
        )
        seconds["alone"].append(alone["cpu"])
    ratios = [
        median_ratio(seconds[name], seconds[EARLIER])
        for name in builds
        if name != EARLIER and EARLIER in builds
    ]
    return (
        strategy,
        f"{updates:,}",
        *(f"{min(each):.2f}" for each in seconds.values()),
        *(f"{ratio:.2f}" for ratio in ratios),
    )


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="2,000 updates; a rough figure")
    parser.add_argument("--strategy", choices=_STRATEGIES, help="one of them")
    parser.add_argument("--updates", type=int, default=50_000, help="before the interruption")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each build")
    parser.add_argument("--compiled", action="store_true", help="measure the compiled build, too")
    options = parser.parse_args()
    chosen = [options.strategy] if options.strategy else list(_STRATEGIES)
    cases = [(strategy, options.updates) for strategy in chosen]
    section = measure(options.quick, cases, options.rounds, options.compiled)
    print(f"{section.markdown()}\n\nOn: {machine()}")


if __name__ == "__main__":
    main()
