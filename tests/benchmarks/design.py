"""Compare a design with the grid that it replaces: the point found, the samples and the time.

python tests/benchmarks/design.py THEME ... --out FOLDER    one line of results for each theme
python tests/benchmarks/design.py which-server --sample 60 --out FOLDER

For each theme every point of the grid is run with every seed to its end (the target, or the end of
virtual time). Then a design of the same space gets a fifth of the samples that the grid has taken.
Its winner is compared with the best point of the grid on the same seeds. With ``--sample N`` only N
runs of the grid, drawn at random, are done, and their time is extrapolated to all of them; the best
point of the grid is then unknown. Times are of the processor, since the machine may be shared.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import time
from pathlib import Path
from typing import Any

from afl_sim.analysis.statistics import student_interval
from afl_sim.design.problem import Problem, read_problem
from afl_sim.design.solving import Options, solve
from afl_sim.design.training import advance
from afl_sim.recording import load_head, load_run
from afl_sim.scenario.bundled import find_scenario

SHARE = 0.2
SEEDS = 5

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


def problem_of(theme: str, settings: list[str]) -> Problem:
    """The design of a theme."""
    if theme in THEMES:
        return read_problem({**_BASE, "name": theme, "clients": THEMES[theme]}, settings)
    return read_problem(find_scenario(theme), settings)


def grid(problem: Problem, folder: Path, sample: int | None) -> dict[str, Any]:
    """Run the grid, or a random sample of its runs; what is done already is kept."""
    goal = problem.design.minimize
    points = list(problem.space.points())
    every = [(number, index) for number in range(len(points)) for index in range(SEEDS)]
    chosen = every if sample is None else sorted(random.Random(1).sample(every, sample))
    file = folder / "grid.json"
    done: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for number, index in chosen:
        key = f"{number}-{index}"
        if key in done:
            continue
        candidate = problem.candidate(number, points[number])
        assert not isinstance(candidate, str), candidate
        place = folder / "run"
        began = time.process_time()
        advance(candidate.run(index), place, None)
        spent = time.process_time() - began
        run = load_run(place)
        reached = run.metrics[run.metrics[goal.metric] >= goal.target]
        done[key] = {
            "seconds": float(reached["time_us"].iloc[0]) / 1e6 if len(reached) else None,
            "samples": load_head(place).summary["samples_trained"],
            "cpu": spent,
        }
        file.write_text(json.dumps(done))
        shutil.rmtree(place)
    found = [done[f"{number}-{index}"] for number, index in chosen]
    factor = len(every) / len(found)
    times = {
        number: [done[f"{number}-{index}"]["seconds"] for index in range(SEEDS)]
        for number in range(len(points))
        if all(f"{number}-{index}" in done for index in range(SEEDS))
    }
    return {
        "points": len(points),
        "runs": len(every),
        "done": len(found),
        "samples": round(factor * sum(each["samples"] for each in found)),
        "cpu": factor * sum(each["cpu"] for each in found),
        "times": times,
    }


def compare(theme: str, folder: Path, sample: int | None) -> dict[str, Any]:
    """A row of the results for a theme."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = problem_of(theme, [])
    whole = grid(plain, folder, sample)
    budget = math.floor(SHARE * whole["samples"])
    problem = problem_of(theme, [f"design.budget={{samples: {budget}}}"])
    began = time.process_time()
    found = solve(
        problem, Options(folder / "design", force=True), {"settings": [], "seed": None}
    ).index
    cpu = time.process_time() - began
    winner = found["ranking"][0]
    row: dict[str, Any] = {
        "theme": theme,
        "points": whole["points"],
        "runs of the grid": whole["runs"],
        "of these done": whole["done"],
        "samples of the grid": whole["samples"],
        "samples of the design": found["spent"]["samples"],
        "share of samples": round(found["spent"]["samples"] / whole["samples"], 4),
        "cpu seconds of the grid": round(whole["cpu"], 1),
        "cpu seconds of the design": round(cpu, 1),
        "share of time": round(cpu / whole["cpu"], 4),
        "found": winner["title"],
        "found mean": winner["mean"],
    }
    if sample is None:
        means = {
            number: sum(times) / SEEDS
            for number, times in whole["times"].items()
            if None not in times
        }
        best = min(means, key=lambda number: means[number])
        ours = whole["times"][winner["candidate"]]
        titles = {each["number"]: each["title"] for each in found["candidates"]}
        row |= {"best": titles[best], "best mean": means[best]}
        if None not in ours:
            ratio = sum(ours) / SEEDS / means[best]
            gap = student_interval(
                [math.log(a / b) for a, b in zip(ours, whole["times"][best], strict=True)]
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
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--results", type=Path)
    asked = parser.parse_args()
    for theme in asked.themes:
        row = compare(theme, asked.out / theme, asked.sample)
        print(json.dumps(row, indent=1), flush=True)
        if asked.results is not None:
            rows = json.loads(asked.results.read_text()) if asked.results.exists() else []
            rows = [each for each in rows if each["theme"] != theme] + [row]
            asked.results.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
