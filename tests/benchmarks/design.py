"""Compare a design with the grid that it replaces: the point found, the samples and the time.

python tests/benchmarks/design.py THEME ... --out FOLDER    one row of results for each theme
python tests/benchmarks/design.py which-server --sample 60 --own-budget --out FOLDER

For each theme every point of the grid is run with every seed to its end (the target, or the end of
virtual time). Then ``afl-sim design`` searches the same space with a fifth of the samples that the
grid has taken, or with ``--own-budget`` as its file says. Its winner is compared with the best
point of the grid on the same seeds.

With ``--sample N`` only N runs of the grid, drawn at random, are done: half of them before the
design and half after it, so that a machine that becomes slower or faster meanwhile favours neither.
Their mean, with its 95 % interval, is extrapolated to the grid; the best point of the grid is then
unknown. Shares of time are of the processor's time, since the machine may be shared. The wall time
beside it is of the same runs.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from afl_sim.analysis.statistics import student_interval
from afl_sim.cli import app
from afl_sim.design.problem import Problem
from afl_sim.design.ranking import geometric_mean
from afl_sim.design.reading import read_problem
from afl_sim.design.results import read_index
from afl_sim.design.training import advance
from afl_sim.recording import load_head, load_run
from afl_sim.scenario.bundled import find_scenario

SHARE = 0.2
SEEDS = 5

Key = tuple[int, int]
"""A run of the grid: the number of its point, and of its seed."""

_SPACE: dict[str, Any] = {
    "strategy": [
        {"kind": "fedavg", "clients_per_round": {"choices": [5, 10]}},
        {"kind": "fedavg", "clients_per_round": 10, "over_selection": 0.3, "label": "first of 13"},
        {"kind": "fedasync", "concurrency": {"choices": [5, 10, 20]}},
        {
            "kind": "fedbuff",
            "concurrency": {"choices": [10, 20]},
            "buffer_size": {"choices": [2, 5]},
        },
    ],
    "training.epochs": [1, 2],
    "training.optimizer.lr": [0.02, 0.1],
}
_BASE: dict[str, Any] = {
    "seed": 1,
    "data": {"partition": {"kind": "dirichlet", "alpha": 0.3, "samples": 100}},
    "model": "logistic",
    "training": {"epochs": 1, "batch_size": 20, "optimizer": {"kind": "SGD", "lr": 0.1}},
    "strategy": {"kind": "fedbuff", "concurrency": 10, "buffer_size": 5},
    "evaluation": {"every_seconds": 5, "samples": 2000},
    "stop": {"virtual_seconds": 300},
    "design": {"vary": _SPACE, "minimize": {"time_to_accuracy": 0.75}, "seeds": SEEDS},
}
_JITTER = {"dist": "gamma", "a": 20, "scale": 0.05}

THEMES: dict[str, dict[str, Any]] = {
    "stragglers": {
        "count": 100,
        "compute": {
            "seconds_per_sample": {"dist": "lognorm", "s": 1.4, "scale": 0.1},
            "jitter": _JITTER,
        },
    },
    "bimodal-devices": {
        "count": 100,
        "compute": {
            "seconds_per_sample": {
                "mixture": [{"weight": 0.8, "dist": 0.05}, {"weight": 0.2, "dist": 0.5}]
            },
            "jitter": _JITTER,
        },
    },
    "thin-uplink": {
        "count": 100,
        "compute": {"seconds_per_sample": 0.05, "jitter": _JITTER},
        "network": {
            "upload": {
                "latency": 0.05,
                "bandwidth": {"dist": "lognorm", "s": 1.0, "scale": 10_000},
            }
        },
    },
}
"""The fleets of these themes, with logistic regression, so that a grid takes minutes."""


def file_of(theme: str, folder: Path) -> Path:
    """The scenario file of a theme."""
    if theme not in THEMES:
        return find_scenario(theme)
    file = folder / "scenario.yaml"
    file.write_text(json.dumps({**_BASE, "name": theme, "clients": THEMES[theme]}))
    return file


class Grid:
    """The runs of a grid, each to its end; what is done already is kept.

    Args:
        problem: the design that replaces it.
        folder: for the results.
    """

    def __init__(self, problem: Problem, folder: Path) -> None:
        self._problem = problem
        self._folder = folder
        self._file = folder / "grid.json"
        self._points = list(problem.space.points())
        seeds = range(problem.design.seeds)
        self.points = len(self._points)
        self.every: list[Key] = [(i, j) for i in range(self.points) for j in seeds]
        self.done: dict[Key, dict[str, Any]] = {}

    def run(self, chosen: Sequence[Key]) -> None:
        """Do some of the runs."""
        kept: dict[str, Any] = json.loads(self._file.read_text()) if self._file.exists() else {}
        for number, index in chosen:
            key = f"{number}-{index}"
            if key not in kept:
                kept[key] = self._measured(number, index)
                self._file.write_text(json.dumps(kept))
            self.done[number, index] = kept[key]

    def _measured(self, number: int, index: int) -> dict[str, Any]:
        goal = self._problem.design.minimize
        candidate = self._problem.candidate(number, self._points[number])
        assert not isinstance(candidate, str), candidate
        place = self._folder / "run"
        shutil.rmtree(place, ignore_errors=True)
        cpu, wall = time.process_time(), time.perf_counter()
        advance(candidate.run(index), place, None)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        run = load_run(place)
        reached = run.metrics[run.metrics[goal.metric] >= goal.target]
        seconds = float(reached["time_us"].iloc[0]) / 1e6 if len(reached) else None
        samples = load_head(place).summary["samples_trained"]
        return {"seconds": seconds, "samples": samples, "cpu": cpu, "wall": wall}

    def total(self, name: str) -> float:
        """The samples, or the time, of the whole grid."""
        return len(self.every) * sum(each[name] for each in self.done.values()) / len(self.done)

    def times(self) -> dict[int, list[float | None]]:
        """By point, of which all seeds were run: the virtual seconds to the target."""
        seeds = range(self._problem.design.seeds)
        return {
            number: [self.done[number, index]["seconds"] for index in seeds]
            for number in range(self.points)
            if all((number, index) in self.done for index in seeds)
        }


def compare(theme: str, folder: Path, sample: int | None, own_budget: bool) -> dict[str, Any]:
    """A row of the results for a theme."""
    folder.mkdir(parents=True, exist_ok=True)
    file = file_of(theme, folder)
    whole = Grid(read_problem(file), folder)
    drawn = whole.every if sample is None else random.Random(1).sample(whole.every, sample)
    before = len(drawn) if sample is None else math.ceil(sample / 2)
    whole.run(drawn[:before])
    options = ["--out", str(folder / "design"), "--force"]
    if not own_budget:
        budget = math.floor(SHARE * whole.total("samples"))
        options += ["--set", f"design.budget={{samples: {budget}}}"]
    cpu, wall = time.process_time(), time.perf_counter()
    app(["design", str(file), *options], standalone_mode=False)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    whole.run(drawn[before:])
    found = read_index(folder / "design")
    assert found is not None
    winner = found["ranking"][0]
    row: dict[str, Any] = {
        "theme": theme,
        "points": whole.points,
        "runs of the grid": len(whole.every),
        "of these done": len(whole.done),
        "samples of the grid": round(whole.total("samples")),
        "samples of the design": found["spent"]["samples"],
        "share of samples": round(found["spent"]["samples"] / whole.total("samples"), 4),
        "cpu seconds of the grid": round(whole.total("cpu"), 1),
        "cpu seconds of the design": round(cpu, 1),
        "share of time": round(cpu / whole.total("cpu"), 4),
        "wall seconds of the grid": round(whole.total("wall"), 1),
        "wall seconds of the design": round(wall, 1),
        "found": winner["title"],
        "found mean": winner["mean"],
    }
    if sample is not None:
        mean = student_interval([each["cpu"] for each in whole.done.values()])
        row["95 % of the share of time"] = [
            round(cpu / (len(whole.every) * end), 4) for end in (mean.high, mean.low)
        ]
    if sample is None:
        reached = whole.times()
        means = {
            number: mean
            for number, times in reached.items()
            if (mean := geometric_mean(times)) is not None
        }
        best = min(means, key=lambda number: means[number])
        ours = reached[winner["candidate"]]
        titles = {each["number"]: each["title"] for each in found["candidates"]}
        row |= {"best": titles[best], "best mean": means[best]}
        if winner["candidate"] in means:
            ratio = means[winner["candidate"]] / means[best]
            gap = student_interval(
                [math.log(a / b) for a, b in zip(ours, reached[best], strict=True)]
            )
            row |= {
                "times the best": round(ratio, 4),
                "low": round(math.exp(gap.low), 4),
                "high": round(math.exp(gap.high), 4),
                "holds": ratio <= 1.03 or gap.low <= 0 <= gap.high,
            }
    return row


def main() -> None:
    """Compare themes, and add the rows to a file of results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("themes", nargs="+")
    parser.add_argument("--sample", type=int)
    parser.add_argument("--own-budget", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    asked = parser.parse_args()
    for theme in asked.themes:
        row = compare(theme, asked.out / theme, asked.sample, asked.own_budget)
        print(json.dumps(row, indent=1), flush=True)
        if asked.results is not None:
            rows = json.loads(asked.results.read_text()) if asked.results.exists() else []
            rows = [each for each in rows if each["theme"] != theme] + [row]
            asked.results.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
