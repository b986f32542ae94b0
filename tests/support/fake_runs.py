"""Run folders with plausible contents, made through the recording API by a toy event loop."""

import hashlib
import heapq
import math
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from afl_sim.recording import (
    EventLog,
    MetricsLog,
    RunFolder,
    build_manifest,
    load_run,
    write_partition,
)
from afl_sim.recording.recorded_run import Run
from afl_sim.world.event_kinds import (
    AGGREGATED,
    ARRIVED,
    CANCELLED,
    COMPUTED,
    DISCARDED,
    DISPATCHED,
    DOWNLOADED,
    EVALUATED,
    FAILED,
)

MODEL_BYTES = 87_360
SECOND = 1_000_000


def fake_log(
    log: EventLog,
    *,
    strategy: str = "fedbuff",
    clients: int = 40,
    concurrency: int = 10,
    buffer: int = 5,
    updates: int = 300,
    seed: int = 1,
    spread: float = 1.0,
) -> dict[str, Any]:
    """Fill a log as a server would: buffers of ``buffer`` updates, or rounds (``fedavg``).

    One task in 40 fails and one in 40 is cancelled, both half-way through computing.
    """
    rng = np.random.default_rng(seed)
    speed = np.random.default_rng(99).lognormal(math.log(6.0), spread, clients)
    uplink = np.random.default_rng(98).lognormal(math.log(0.6), 0.8, clients)
    tasks = [0] * clients
    queue: list[tuple[int, int, int, tuple[Any, ...]]] = []
    busy: set[int] = set()
    count = dict.fromkeys(("dispatched", "arrived", "aggregated", "failed", "cancelled"), 0)
    state = {"version": 0, "order": 0, "busy_us": 0}
    stale: list[int] = []

    def push(at: int, kind: int, *rest: Any) -> None:
        state["order"] += 1
        heapq.heappush(queue, (at, state["order"], kind, rest))

    def dispatch(now: int, client: int) -> None:
        task, version = tasks[client], state["version"]
        tasks[client] += 1
        busy.add(client)
        count["dispatched"] += 1
        log.append(now, DISPATCHED, client, task, version, version)
        down = now + int(0.3 * uplink[client] * SECOND)
        computed = down + int(speed[client] * rng.gamma(20, 0.05) * SECOND)
        end = computed + int(uplink[client] * SECOND)
        push(down, DOWNLOADED, client, task, version, now)
        luck = rng.random()
        if luck < 0.05:
            push(
                (down + computed) // 2,
                FAILED if luck < 0.025 else CANCELLED,
                client,
                task,
                version,
                now,
            )
        else:
            push(computed, COMPUTED, client, task, version, now)
            push(end, ARRIVED, client, task, version, now)

    def dispatch_next(now: int, wanted: int) -> None:
        idle = [client for client in range(clients) if client not in busy]
        for client in rng.permutation(idle)[:wanted].tolist():
            dispatch(now, client)

    def aggregate(now: int, pending: list[tuple[int, int, int]]) -> None:
        state["version"] += 1
        for client, task, base in pending:
            stale.append(state["version"] - 1 - base)
            log.append(now, AGGREGATED, client, task, state["version"], base, stale[-1])
            count["aggregated"] += 1
        pending.clear()

    pending: list[tuple[int, int, int]] = []
    dispatch_next(0, concurrency)
    now = 0
    while count["aggregated"] < updates:
        now, _, kind, (client, task, base, began) = heapq.heappop(queue)
        work = {"steps": 19, "samples": 600} if kind in {COMPUTED, ARRIVED} else {}
        size = MODEL_BYTES if kind in {DOWNLOADED, ARRIVED} else 0
        log.append(now, kind, client, task, state["version"], base, bytes=size, **work)
        if kind in {DOWNLOADED, COMPUTED}:
            continue
        busy.discard(client)
        state["busy_us"] += now - began
        count[{ARRIVED: "arrived", FAILED: "failed", CANCELLED: "cancelled"}[kind]] += 1
        if kind == ARRIVED:
            pending.append((client, task, base))
        if strategy == "fedavg":
            if not busy:
                aggregate(now, pending)
                dispatch_next(now, concurrency)
        else:
            if len(pending) >= buffer:
                aggregate(now, pending)
            dispatch_next(now, 1)
    for client, task, base in pending:
        log.append(now, DISCARDED, client, task, state["version"], base)
    count["discarded"], count["buffered"] = len(pending), 0
    count["in_flight"] = len(busy)
    peak = concurrency * now
    return {
        "now": now,
        "versions": state["version"],
        "updates": count,
        "staleness": {
            "mean": float(np.mean(stale)),
            "p50": float(np.median(stale)),
            "p95": float(np.quantile(stale, 0.95)),
            "max": max(stale),
        },
        "idle_fraction": 1 - min(1.0, state["busy_us"] / peak),
    }


FURTHER = {"ece": lambda accuracy: 0.1 * (1 - accuracy)}
"""Metrics besides accuracy, as functions of it."""


def fake_run(
    path: Path,
    *,
    name: str | None = None,
    label: str | None = None,
    strategy: str = "fedbuff",
    training: bool = True,
    targets: tuple[float, ...] = (0.9, 0.95),
    tau: float = 40.0,
    evaluations: int = 20,
    seed: int = 1,
    weight: float = 0.0,
    **settings: Any,
) -> Run:
    """Write a run folder and load it.

    ``tau`` (seconds) sets how fast accuracy rises towards 0.97, ``weight`` what the model holds.
    """
    name = name or f"fake-{strategy}"
    scenario = {
        "name": name,
        "seed": seed,
        "clients": {"count": settings.get("clients", 40)},
        "strategy": {"kind": strategy},
        "evaluation": {"targets": list(targets)},
    }
    clients = settings.get("clients", 40)
    manifest = build_manifest(numerics={"class": "exact-float32-cpu"})
    if label:
        manifest["label"] = label
    folder = RunFolder.create(path, yaml.safe_dump(scenario), manifest)
    shares = np.random.default_rng(97).dirichlet(np.full(10, 0.5), settings.get("clients", 40))
    write_partition(folder.partition_path, (600 * shares).astype(np.int64))
    with MetricsLog(folder.metrics_path) as metrics, EventLog(folder.events_path) as log:
        facts = fake_log(log, strategy=strategy, seed=seed, **settings)
        reached: dict[str, float | None] = {str(target): None for target in targets}
        noise = np.random.default_rng(seed)
        accuracy = loss = None
        if training:
            for step in range(evaluations + 1):
                at = facts["now"] * step // evaluations
                accuracy = 0.97 - 0.87 * math.exp(-at / SECOND / tau) + 0.008 * noise.normal()
                accuracy = min(accuracy, 0.999)
                loss = -math.log(accuracy)
                metrics.append(
                    at,
                    facts["versions"] * step // evaluations,
                    facts["updates"]["aggregated"] * step // evaluations,
                    600 * facts["updates"]["aggregated"] * step // evaluations,
                    accuracy,
                    loss,
                    [accuracy] * 10,
                    loss**2,
                    metrics={name: value(accuracy) for name, value in FURTHER.items()},
                    clients={"accuracy": [accuracy * (1 - n / 100) for n in range(clients)]},
                )
                for target in targets:
                    if reached[str(target)] is None and accuracy >= target:
                        reached[str(target)] = at / SECOND
        log.append(facts["now"], EVALUATED, -1, -1, facts["versions"])
    summary = {
        "name": name,
        "status": "complete",
        "virtual_seconds": facts["now"] / SECOND,
        "versions": facts["versions"],
        "updates": facts["updates"],
        "samples_trained": 600 * facts["updates"]["aggregated"],
        "final": {"accuracy": accuracy, "loss": loss}
        | ({name: value(accuracy) for name, value in FURTHER.items()} if training else {}),
        "metrics": {"accuracy": "higher", "ece": "lower"} if training else {},
        "time_to_accuracy": reached,
        "staleness": facts["staleness"],
        "idle_fraction": facts["idle_fraction"],
        "schedule_digest": log.schedule_digest,
        "model_digest": None,
        "wall_seconds": {"total": 1.0, "training": 0.5, "evaluation": 0.2, "waiting": 0.0},
        "numerics": {"class": "exact-float32-cpu"},
    }
    if training:
        weights = np.full(4, weight, dtype=np.float32)
        folder.write_model({"weight": weights})
        summary["model_digest"] = hashlib.sha256(weights.tobytes()).hexdigest()
    folder.write_summary(summary)
    return load_run(path)
