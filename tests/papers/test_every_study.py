"""Every target is measured and drawn from whichever of its studies were run."""

from __future__ import annotations

import importlib
import json
import re
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import run_of

from afl_sim.papers.results import checked
from afl_sim.papers.target import find_target, target_names
from afl_sim.recording import Run
from afl_sim.run.api import read_study

EVALUATIONS = 101
TASKS = 100


@cache
def runs_of(name: str, study: str) -> list[Run]:
    """Made-up runs of a study at full scale, of two seeds where it has more."""
    target = find_target(name)
    cases = read_study(target.file(study), target.settings_at("full", study)).cases
    timing_only = target.studies[study].timing_only
    return [
        made_up(case.label, case.scenario, timing_only)
        for case in cases
        if not re.search(r"(^|-)r([2-9]|\d\d+)$", case.label)
    ]


def made_up(label: str, scenario: Any, timing_only: bool) -> Run:
    """A run that learns all there is to learn, and whose tasks come back one after the other."""
    described = scenario.model_dump(mode="json", by_alias=True)
    accuracy = [] if timing_only else list(np.linspace(0.1, 0.999, EVALUATIONS))
    clients = min(scenario.clients.count, 20)
    curve = run_of(
        described,
        accuracy,
        loss=[1 - a for a in accuracy],
        class_accuracy=[[a] * 10 for a in accuracy],
        label_counts=(30 * np.eye(clients, 10, dtype=int)).tolist(),
    )
    metrics = curve.metrics
    metrics["updates"] = metrics["samples"] = metrics["version"]
    metrics["squared_gradient_norm"] = metrics["loss"]
    run = Run(curve.path / label, curve.name, label, described, summary(accuracy), {})
    vars(run).update(metrics=metrics, label_counts=curve.label_counts, events=events(clients))
    if not timing_only:
        vars(run).update(model=lambda: {"weight": np.zeros((2, 784)), "bias": np.ones(2)})
    return run


def summary(accuracy: list[float]) -> dict[str, Any]:
    last = accuracy[-1] if accuracy else None
    return {
        "status": "complete",
        "versions": TASKS,
        "virtual_seconds": float(8 * TASKS),
        "final": {"accuracy": last, "loss": last},
        "staleness": {"mean": 1.0, "p50": 1, "p95": 2, "max": 3},
        "time_to_accuracy": {str(goal): 50.0 for goal in (0.8, 0.9, 0.95)},
    }


def events(clients: int) -> pd.DataFrame:
    """Each client in turn is sent the model, and its update is aggregated by itself."""
    rows = [
        (8_000_000 * task + late, kind, task % clients, task // clients, version, task, steps)
        for task in range(TASKS)
        for late, kind, version, steps in (
            (0, "dispatched", task, None),
            (1_000_000, "arrived", task, 1 + task % 3),
            (1_000_000, "aggregated", task + 1, 1 + task % 3),
        )
    ]
    names = ["time_us", "kind", "client", "task", "version", "base_version", "steps"]
    frame = pd.DataFrame(rows, columns=names)
    frame["kind"] = frame["kind"].astype("category")
    frame["staleness"] = (frame["kind"] == "aggregated").map({True: 0, False: None}).astype("Int64")
    frame["steps"] = frame["steps"].astype("Int64")
    frame["samples"] = 30
    frame["context"] = json.dumps({"active": clients, "going_on": []})
    return frame


@pytest.mark.parametrize("name", target_names())
def test_any_study_may_be_there_alone_or_be_the_only_one_missing(name: str) -> None:
    target = find_target(name)
    module = importlib.import_module(target.analysis)
    every = {study: runs_of(name, study) for study in target.studies_at("full")}
    alone = [{study: runs} for study, runs in every.items()]
    others = [{s: runs for s, runs in every.items() if s != study} for study in every]
    for studies in (every, *alone, *others):
        if studies:
            tables, claims = checked(target, "full", module.measure(studies))
            if studies is every:
                assert set(tables) | set(claims) == set(target.tables) | set(target.claims)
    for studies in (every, *alone):
        module.draw(studies, target)
