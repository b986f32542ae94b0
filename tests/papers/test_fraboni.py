"""Fraboni et al.: staleness against an event loop of its own, and what the analysis measures."""

from __future__ import annotations

import heapq
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from synthetic import run_of

from afl_sim.analysis.papers.fraboni import (
    LEVELS,
    METHODS,
    accuracy_by_client,
    draw,
    measure,
    method,
)
from afl_sim.papers.judging import judged
from afl_sim.papers.reproducing import Asked, reproduce
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.api import read_study, simulate

TARGET = find_target("fraboni")


def test_every_row_of_the_schedule_is_within_its_tolerance(tmp_path: Path) -> None:
    results, _ = reproduce(TARGET, Asked("small", tmp_path))
    rows = judged(TARGET, results)
    assert len(rows) == 16
    assert all(row.within for row in rows), [row for row in rows if not row.within]


def plain_staleness(task_us: list[int], until_us: int) -> dict[int, list[int]]:
    """Asynchronous updates, one after the other: ties in the order in which tasks began."""
    heap = [(time, client, client, 0) for client, time in enumerate(task_us)]
    heapq.heapify(heap)
    version, begun, found = 0, len(task_us), defaultdict(list)
    while heap[0][0] < until_us:
        now, _, client, base = heapq.heappop(heap)
        found[client].append(version - base)
        version += 1
        heapq.heappush(heap, (now + task_us[client], begun, client, version))
        begun += 1
    return found


def test_the_staleness_of_every_update_is_that_of_a_plain_event_loop() -> None:
    (case,) = [
        case for case in read_study(TARGET.file("staleness")).cases if case.label == "asynchronous"
    ]
    scenario = case.scenario
    compute = scenario.model_dump(mode="json")["clients"]["compute"]["seconds_per_task"]["values"]
    events = simulate(scenario, timing_only=True).events
    used = events[events.kind == "aggregated"]
    expected = plain_staleness([round(1e6 * value) for value in compute], 2_000_000_000)
    assert {c: list(rows) for c, rows in used.groupby("client").staleness} == expected


def made_up(name: str, level: float, seed: int, loss: float, classes: list[float]) -> Run:
    strategies: dict[str, dict[str, Any]] = {
        "weight": {"kind": "async_weighted", "weights": "unbiased"},
        "identical": {"kind": "async_weighted", "weights": "identical"},
        "FedFix-0.5": {"kind": "fedfix", "interval": 0.5},
        "FedBuff-5": {"kind": "fedbuff", "buffer_size": 5},
        "FedAvg": {"kind": "fedavg"},
    }
    scenario = {
        "seed": seed,
        "strategy": strategies[name],
        "data": {"partition": {"alpha": level}},
        "clients": {"compute": {"seconds_per_task": {"values": [2.0, 1.5, 1.0, 0.5]}}},
    }
    # Client 0, the slowest, holds class 2; 1 holds 3; 2 holds 0; 3, the fastest, holds class 1.
    counts = [[0, 0, 9, 0], [0, 0, 0, 9], [9, 0, 0, 0], [0, 9, 0, 0]]
    return run_of(
        scenario,
        [0.5] * 10,
        loss=[3.0] * 9 + [loss],
        class_accuracy=[[0.0] * 4] * 8 + [classes] * 2,
        label_counts=counts,
    )


def study(seed: int, identical_loss: float, fast_class: float) -> list[Run]:
    fair, unfair = [0.8, 0.8, 0.7, 0.7], [fast_class, fast_class, 0.5, 0.5]
    losses = {"weight": 0.4, "FedFix-0.5": 0.41, "FedAvg": 0.4}
    return [
        made_up(
            name,
            level,
            seed,
            losses.get(name, identical_loss if level < 1 else 0.401),
            unfair if name in ("identical", "FedBuff-5") else fair,
        )
        for level in LEVELS
        for name in METHODS
    ]


def test_a_clients_accuracy_is_that_of_the_class_it_holds() -> None:
    run = made_up("weight", 0, 1, 0.4, [0.1, 0.2, 0.3, 0.4])
    assert accuracy_by_client(run, 2).tolist() == [0.3, 0.4, 0.1, 0.2]
    assert accuracy_by_client(run, 4).tolist() == pytest.approx([0.15, 0.2, 0.05, 0.1])
    assert method(run) == "weight"


def test_bias_and_losses_are_compared_seed_by_seed() -> None:
    found = measure({"learning": [*study(2, 0.3, 0.5), *study(1, 0.6, 0.9)]})
    biases = found["bias"]
    assert isinstance(biases, dict)
    assert biases["identical"] == pytest.approx([0.4, 0.0])
    assert biases["weight"] == pytest.approx([0.1, 0.1])
    assert found["weight_fits"] == [True, False]
    assert found["identical_is_biased"] == [True, False]
    assert found["fedbuff_is_biased"] == [True, False]
    assert found["fedfix_fits"] == [True, False]
    assert found["alike_without_skew"] == [True, True]
    losses = found["loss"]
    assert isinstance(losses, dict)
    assert set(losses) == set(TARGET.tables["loss"].rows)


def test_every_client_of_the_learning_study_holds_one_class_of_its_own() -> None:
    from afl_sim.run.preparation import prepare

    case = read_study(TARGET.file("learning")).cases[0]
    prepared = prepare(case.scenario, timing_only=True)
    counts = prepared.partition.label_counts(prepared.samples.labels, 10)
    assert case.scenario.data.partition.model_dump()["alpha"] == 0
    assert sorted(counts.argmax(axis=1)) == list(range(10))
    assert ((counts > 0).sum(axis=1) == 1).all()


def test_the_figure_shows_every_level_and_the_clients(tmp_path: Path) -> None:
    cases = read_study(TARGET.file("staleness"), ["stop.virtual_seconds=20"]).cases
    staleness = [simulate(case.scenario, timing_only=True) for case in cases]
    runs = study(1, 0.6, 0.9)
    assert len(draw({"learning": runs, "staleness": staleness}, TARGET).axes) == 5
    assert len(draw({"staleness": staleness}, TARGET).axes) == 1
