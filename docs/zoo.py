"""The zoo: every strategy on one fleet, its table in docs/strategies.md, and its grid search.

afl-sim run zoo --timing-only --out runs/zoo-timing
afl-sim run zoo --out runs/zoo
python docs/zoo.py runs/zoo-timing runs/zoo     keep their figures in docs/zoo.json
python docs/generate.py                         write the table

afl-sim run scenarios/zoo-grid.yaml --out runs/zoo-grid
python docs/zoo.py --grid runs/zoo-grid         keep its results in docs/zoo-grid.json
python docs/zoo.py --best                       which rate served each strategy best
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
ADAPTIVE = (0.01, 0.03, 0.1)
# Where the best of three rates was at the edge, the grid goes on there.
BEYOND: dict[str, tuple[float, ...]] = {}
FEWEST_VERSIONS = 5
GRID_SAMPLES = 40_000

HEAD = """\
## On one fleet

`scenarios/zoo.yaml` runs every strategy on the same 100 phones (lognormal speeds, a fifth of MNIST
dealt by Dirichlet 0.3) for a quarter of an hour of virtual time. The timing needs no training:
{timing}.
"""


def cases() -> dict[str, dict[str, Any]]:
    """The settings of each case of the zoo, by its label."""
    sweep = yaml.safe_load(ZOO.read_text(encoding="utf-8"))["sweep"]["cases"]
    return {case["label"]: case["set"] for case in sweep}


def rate_of(settings: dict[str, Any]) -> tuple[str, tuple[float, ...]]:
    """The rate that is searched for a case, as a dotted key, and where.

    The server's, where its steps are gradients or do not depend on how far clients move; else that
    of local training.
    """
    strategy = settings["strategy"]
    if "server_optimizer" in strategy:
        return "strategy.server_optimizer.lr", ADAPTIVE
    if strategy["kind"] == "fadas":
        return "strategy.server_lr", ADAPTIVE
    if "lr" in strategy:
        return "strategy.lr", OF_GRADIENTS
    return "training.optimizer.lr", LOCAL


def searched() -> Iterator[tuple[str, str, float]]:
    """(label, dotted key, rate) of every point of the grid.

    A case that makes fewer than `FEWEST_VERSIONS` versions in the zoo has none: there the rate is
    not what decides.
    """
    versions = {label: row["versions"] for label, row in figures().items()}
    for label, settings in cases().items():
        if versions.get(label, FEWEST_VERSIONS) >= FEWEST_VERSIONS:
            key, rates = rate_of(settings)
            for rate in sorted({*rates, *BEYOND.get(label, ())}):
                yield label, key, rate


def with_rate(settings: dict[str, Any], key: str, rate: float) -> dict[str, Any]:
    """A case's settings with another rate; what is of the strategy stands in its block."""
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
    """The grid search as a scenario: each case with some rates, judged by held-out samples."""
    zoo = yaml.safe_load(ZOO.read_text(encoding="utf-8"))
    settings = cases()
    points = []
    for label, key, rate in searched():
        points.append(
            {"label": f"{label}-lr{rate:g}", "set": with_rate(settings[label], key, rate)}
        )
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
    """What is known of each case, by its label."""
    found: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return found


def keep(studies: list[Path]) -> None:
    """Write the figures of studies of the zoo down, beside what is there already."""
    from afl_sim.recording import load_study

    kept = figures() if FIGURES.exists() else {}
    for study in studies:
        for run in load_study(study):
            row = kept.setdefault(run.path.name, {})
            row |= timing_of(run.summary)
            if run.summary["final"]["accuracy"] is not None:
                row["accuracy"] = run.summary["final"]["accuracy"]
                row["seconds_to"] = run.summary["time_to_accuracy"]
    known = {label: kept[label] for label in cases() if label in kept}
    FIGURES.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")


def keep_grid(study: Path) -> None:
    """Write down the accuracy at the end that each rate came to; null where the run diverged."""
    from afl_sim.recording import load_study

    found: dict[str, dict[str, float | None]] = {}
    for run in load_study(study):
        label, _, rate = run.path.name.rpartition("-lr")
        accuracy = run.summary["final"]["accuracy"] if run.status == "complete" else None
        found.setdefault(label, {})[rate] = accuracy
    GRID_RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def best() -> dict[str, str]:
    """The rate that served each case best, the smaller of two that served as well."""
    results = json.loads(GRID_RESULTS.read_text(encoding="utf-8"))
    return {label: max(row, key=lambda rate: row[rate] or 0.0) for label, row in results.items()}


def timing_of(summary: dict[str, Any]) -> dict[str, Any]:
    """What a run's schedule says."""
    return {
        "versions": summary["versions"],
        "updates": summary["updates"]["aggregated"],
        "samples": summary["samples_trained"],
        "staleness_mean": round(summary["staleness"]["mean"], 2),
        "staleness_max": summary["staleness"]["max"],
        "idle": round(summary["idle_fraction"], 3),
    }


def table() -> str:
    """The figures as Markdown."""
    kept = figures()
    learned = [label for label, row in kept.items() if "accuracy" in row]
    head = ["case", "versions", "updates", "samples", "mean staleness", "largest", "idle"]
    if learned:
        head += ["s to 90 %", "final accuracy"]
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
            reached = row.get("seconds_to", {}).get("0.9")
            cells.append("" if reached is None else f"{reached:,.0f}")
            cells.append(f"{row['accuracy']:.1%}" if "accuracy" in row else "")
        lines.append("| " + " | ".join(cells) + " |")
    commands = "`afl-sim run zoo --timing-only` takes seconds"
    total = sum(row["samples"] for row in kept.values())
    note = (
        f"\nTraining them all processes {total / 1e6:.1f} million samples of a 21,840-parameter "
        "network (`afl-sim run zoo`). A client's task is a pass over its data, or for "
        "the gradient methods the gradient over that pass. `idle` is the part of its clients' time "
        "for which a strategy had nothing for them to do, against the most it ever employed at once.\n"
    )
    if not learned:
        note += (
            "Accuracies are not in the table: the rates in `zoo.yaml` are not tuned. "
            "`scenarios/zoo-grid.yaml` is the search for them, and `docs/zoo.py` says how its "
            "results are used.\n"
        )
    return HEAD.format(timing=commands) + "\n" + "\n".join(lines) + "\n" + note


def main(arguments: list[str]) -> int:
    """Keep the figures of the studies named or a grid's results, or print the best of a grid."""
    if arguments[:1] == ["--grid"] and len(arguments) == 2:
        keep_grid(Path(arguments[1]))
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
