"""The zoo: every strategy on one fleet, its table in docs/strategies.md, and its grid search.

afl-sim run zoo --timing-only --out runs/zoo-timing
afl-sim run zoo --out runs/zoo
python docs/zoo.py runs/zoo-timing runs/zoo     store their measurements in docs/zoo.json
python docs/zoo_figure.py                       draw them
python docs/generate.py                         write the table

afl-sim run scenarios/zoo-grid.yaml --out runs/zoo-grid
python docs/zoo.py --grid runs/zoo-grid         store its results in docs/zoo-grid.json
python docs/zoo.py --best                       print the best rate of each case
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
ZOO = ROOT / "scenarios" / "zoo.yaml"
GRID = ROOT / "scenarios" / "zoo-grid.yaml"
FIGURES = ROOT / "docs" / "zoo.json"
GRID_RESULTS = ROOT / "docs" / "zoo-grid.json"

LOCAL = (0.03, 0.1, 0.3)
OF_GRADIENTS = (0.1, 0.3, 1.0)
OF_TABLES = (0.003, 0.01, 0.03)  # of gradients of all clients, some of them old
ADAPTIVE = (0.01, 0.03, 0.1)
SMALL = (0.0003, 0.001, 0.003)
# If the best of three rates was at the edge, the grid is extended there.
BEYOND: dict[str, tuple[float, ...]] = {
    "fadas": (0.003,),
    "port": (0.003, 0.01),
    "async-weighted": (0.0001, 0.0003, 0.001, 0.003, 0.01),
    "asyncsgd": (0.01, 0.03),
    "delay-adaptive": (0.01, 0.03),
    "generalized-asyncsgd": (0.01, 0.03),
    "optimized-asyncsgd": (0.001, 0.003, 0.01, 0.03),
    "ringmaster": (0.01, 0.03),
    "ringleader": (0.01, 0.03),
    "ia2sgd": (0.001, 0.003, 0.01, 0.03),
    "aced": (0.0003, 0.001),
    "dude-asgd": (0.1, 0.3),
    "rescaled-asgd": (0.001, 0.003, 0.01, 0.03),
    "fedstaleweight": (0.003, 0.01),
    "fedqueue": (1.0,),
    "momentum-approximation": (0.003, 0.01),
    "mindflayer": (0.03,),
    "ata": (0.01, 0.03),
    "rennala-mvr": (0.03,),
}
FEWEST_VERSIONS = 5
GRID_SAMPLES = 100_000
# The first version of four of them needs a gradient from every client, and the last one uses five
# times the samples of others in the zoo, so they get more samples.
LONGER = dict.fromkeys(("ringleader", "ia2sgd", "aced", "dude-asgd", "optimized-asyncsgd"), 500_000)

HEAD = """\
## On one fleet

`scenarios/zoo.yaml` runs every strategy on the same 100 phones for a quarter of an hour of virtual time.
Speeds are lognormal, half of MNIST is distributed over the phones by Dirichlet 0.3, and the model is a
perceptron with 25,450 parameters. `afl-sim run zoo --timing-only` gives the first columns in seconds.
"""
NOTE = """\
A client's task is one pass over its data; for the gradient methods it is the gradient over that pass, for
`shadowheart` so many mini-batches as it gives to the client. `idle` is the share of its clients' time in which
a strategy left them without work, relative to the largest number of clients that it used at once.
`afl-sim run zoo` trains on {total:.1f} million samples, which takes some minutes on one core.
{learned}"""
LEARNED = """
An empty cell means that the accuracy was not reached. There is one seed, so a difference of a point or two may
be due to chance.

![Time to an accuracy and accuracy at the end, by strategy](images/zoo.png)

`rate` is the best rate of a grid search for each case. It is the server's learning rate if the server's step
is a gradient step or adaptive, otherwise the rate of local training. `scenarios/zoo-grid.yaml` has three rates
for each case, and more if the best of them was at the edge. The rates are compared on the half of the training
set that nobody trains on, at the end of the zoo's time or after 100,000 samples (500,000 for `ringleader`,
`ia2sgd`, `aced` and `dude-asgd`, which need a gradient from every client to begin, and for `optimized-asyncsgd`,
which uses as many in the zoo). `docs/zoo-grid.json` holds the results. Cases with fewer than five versions, `mifa` and
`malenia`, are not searched.
{edge}
The zoo has [portable bits](numerics.md#portable-and-native-bits): its digits are the same on every x86-64
machine with AVX2, and its digests are published. It took seven minutes beside other work. The grid search was
done with native bits, so its accuracies depend on the processor and on the version of PyTorch. It trains on 21.3
million samples; 13.8 million of them took ten minutes beside other work. These commands repeat both:

```console
$ afl-sim run scenarios/zoo-grid.yaml --out runs/zoo-grid
$ python docs/zoo.py --grid runs/zoo-grid
$ afl-sim run zoo --out runs/zoo
$ python docs/zoo.py runs/zoo
$ python docs/zoo_figure.py
```
"""


def cases() -> dict[str, dict[str, Any]]:
    """The settings of each case of the zoo, by its label."""
    sweep = yaml.safe_load(ZOO.read_text(encoding="utf-8"))["sweep"]["cases"]
    return {case["label"]: case["set"] for case in sweep}


def rate_of(settings: dict[str, Any]) -> tuple[str, tuple[float, ...]]:
    """The rate that is searched for a case, as a dotted key, and its values.

    It is the server's rate if the server's steps are gradient steps, or do not depend on how far
    clients move; otherwise it is the rate of local training.
    """
    strategy = settings["strategy"]
    if "server_optimizer" in strategy:
        return "strategy.server_optimizer.lr", ADAPTIVE
    if strategy["kind"] == "fedac":
        return "strategy.server_lr", SMALL
    if strategy["kind"] == "fadas":
        return "strategy.server_lr", ADAPTIVE
    if strategy["kind"] in ("aced", "dude_asgd"):
        return "strategy.lr", OF_TABLES
    if "lr" in strategy:
        return "strategy.lr", OF_GRADIENTS
    return "training.optimizer.lr", LOCAL


def searched() -> Iterator[tuple[str, str, float]]:
    """(label, dotted key, rate) of every point of the grid.

    A case that makes fewer than `FEWEST_VERSIONS` versions in the zoo has none, because its result
    hardly depends on the rate.
    """
    versions = {label: row["versions"] for label, row in figures().items()}
    for label, settings in cases().items():
        if versions.get(label, FEWEST_VERSIONS) >= FEWEST_VERSIONS:
            key, rates = rate_of(settings)
            for rate in sorted({*rates, *BEYOND.get(label, ())}):
                yield label, key, rate


def with_rate(settings: dict[str, Any], key: str, rate: float) -> dict[str, Any]:
    """A case's settings with another rate; rates of the strategy are in its block."""
    changed = copy.deepcopy(settings)
    *sections, name = key.split(".")
    if sections[0] != "strategy":
        return {**changed, key: rate}
    block = changed
    for section in sections:
        block = block[section]
    block[name] = rate
    return changed


def grid() -> str:
    """The grid search as a scenario: each case with some rates, compared on held-out samples."""
    zoo = yaml.safe_load(ZOO.read_text(encoding="utf-8"))
    settings = cases()
    points = []
    for label, key, rate in searched():
        changed = with_rate(settings[label], key, rate)
        if label in LONGER:
            changed["stop.samples"] = LONGER[label]
        points.append({"label": f"{label}-lr{rate:g}", "set": changed})
    zoo["name"] = "zoo-grid"
    zoo["description"] = (
        "The zoo with some rates for each strategy, judged by the part of the training set that is "
        "held out; a run ends with the zoo's time, or when it has used so many samples."
    )
    zoo["evaluation"] = {"every_seconds": 450, "samples": 5000, "on": "validation"}
    zoo["stop"]["samples"] = GRID_SAMPLES
    zoo["sweep"] = {"cases": points}
    head = "# yaml-language-server: $schema=./scenario.schema.json\n# Made of zoo.yaml by docs/generate.py.\n"
    return head + yaml.safe_dump(zoo, sort_keys=False, default_flow_style=None, width=100)


def figures() -> dict[str, dict[str, Any]]:
    """The stored measurements of each case, by its label."""
    found: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def keep(folders: list[Path]) -> None:
    """Store the measurements of runs and studies of the zoo, beside those stored before."""
    from afl_sim import load_runs

    kept = figures() if FIGURES.exists() else {}
    for run in load_runs(folders):
        row = kept.setdefault(run.path.name, {})
        row |= timing_of(run.summary)
        if run.summary["final"]["accuracy"] is not None:
            row["accuracy"] = run.summary["final"]["accuracy"]
            row["seconds_to"] = run.summary["time_to_accuracy"]
    known = {label: kept[label] for label in cases() if label in kept}
    FIGURES.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def keep_grid(studies: list[Path]) -> None:
    """Store the final accuracy of each rate; null if the run diverged.

    Runs that used up their samples before they made `FEWEST_VERSIONS` versions are left out.
    """
    from afl_sim import load_study

    found: dict[str, dict[str, float | None]] = {}
    for run in [run for study in studies for run in load_study(study)]:
        label, _, rate = run.path.name.rpartition("-lr")
        accuracy = run.summary["final"]["accuracy"] if run.status == "complete" else None
        if run.status != "complete" or run.summary["versions"] >= FEWEST_VERSIONS:
            found.setdefault(label, {})[rate] = accuracy
    found = {
        label: dict(sorted(row.items(), key=lambda point: float(point[0])))
        for label, row in found.items()
    }
    GRID_RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def best() -> dict[str, str]:
    """The best rate of each case; of two equally good ones the smaller."""
    results = json.loads(GRID_RESULTS.read_text(encoding="utf-8"))
    return {label: max(row, key=lambda rate: row[rate] or 0.0) for label, row in results.items()}


def at_the_edge() -> list[str]:
    """The cases whose best rate is the smallest or the largest of the grid."""
    results = json.loads(GRID_RESULTS.read_text(encoding="utf-8"))
    return [
        label
        for label, rate in best().items()
        if rate in (min(results[label], key=float), max(results[label], key=float))
    ]


def timing_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The measurements that depend on the schedule alone."""
    return {
        "versions": summary["versions"],
        "updates": summary["updates"]["aggregated"],
        "samples": summary["samples_trained"],
        "staleness_mean": round(summary["staleness"]["mean"], 2),
        "staleness_max": summary["staleness"]["max"],
        "idle": round(summary["idle_fraction"], 3),
    }


def rate_used(settings: dict[str, Any]) -> float:
    """The rate that a case of the zoo uses, of the kind that is searched."""
    key, _ = rate_of(settings)
    *sections, name = key.split(".")
    if sections[0] != "strategy":
        return float(settings.get(key, LOCAL[1]))
    block = settings
    for section in sections:
        block = block[section]
    return float(block[name])


def table() -> str:
    """The figures as Markdown."""
    kept, settings = figures(), cases()
    learned = any("accuracy" in row for row in kept.values())
    head = ["case", "versions", "updates", "samples", "mean staleness", "largest", "idle"]
    if learned:
        head += ["rate", "s to 80 %", "s to 90 %", "accuracy"]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for label, row in kept.items():
        cells = [
            label,
            f"{row['versions']:,}",
            f"{row['updates']:,}",
            f"{row['samples']:,}",
            f"{row['staleness_mean']:.1f}",
            f"{row['staleness_max']:,}",
            f"{row['idle']:.0%}",
        ]
        if learned:
            cells.append(f"{rate_used(settings[label]):g}")
            times = row.get("seconds_to", {})
            cells += [f"{times[t]:,.0f}" if times.get(t) else "" for t in ("0.8", "0.9")]
            cells.append(f"{row['accuracy']:.1%}" if "accuracy" in row else "")
        lines.append("| " + " | ".join(cells) + " |")
    total = sum(row["samples"] for row in kept.values())
    edge = ", ".join(f"`{label}`" for label in at_the_edge())
    edge = (
        f"The best rate is at the edge of the grid, so that others may be better, for {edge}.\n"
        if edge
        else ""
    )
    note = NOTE.format(total=total / 1e6, learned=LEARNED.format(edge=edge) if learned else "")
    return HEAD + "\n" + "\n".join(lines) + "\n\n" + note


def main(arguments: list[str]) -> int:
    """Store the measurements of studies or the results of a grid, or print its best rates."""
    if arguments[:1] == ["--grid"] and arguments[1:]:
        keep_grid([Path(argument) for argument in arguments[1:]])
    elif arguments == ["--best"]:
        for label, rate in best().items():
            print(f"{label:<20} {rate}")
    elif arguments and not arguments[0].startswith("-"):
        keep([Path(argument) for argument in arguments])
    else:
        print(__doc__)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
