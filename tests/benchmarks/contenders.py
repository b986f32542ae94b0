"""The contenders of the training benchmarks; each runs in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import perf_counter, process_time

import torch
from hand_written import asynchronous_run
from measuring import REFERENCE

from afl_sim import load_scenario, simulate
from afl_sim.learning.data.form import form_of
from afl_sim.learning.models.built_in import build_model
from afl_sim.run.api import Progress
from afl_sim.run.preparation import prepare
from afl_sim.scenario import Scenario

Work = Callable[[], Mapping[str, float]]

_GEMM = 2048  # rows and columns: large enough to reach the core's peak


def reference(*settings: str) -> Scenario:
    """The reference scenario with settings replaced."""
    return load_scenario(REFERENCE, settings)


def by_hand(model: str, updates: int, batch_size: int = 32) -> Work:
    """The hand-written loop, on the same data and the same architecture."""
    scenario = reference(f"model={model}")
    dataset = prepare(scenario).dataset
    assert dataset is not None
    images, labels = dataset.inputs.clone(), dataset.labels.clone()

    def work() -> Mapping[str, float]:
        net = build_model(scenario.model, form_of(scenario.data), seed=1)
        asynchronous_run(net, images, labels, updates=updates, batch_size=batch_size)
        return {}

    return work


def by_afl_sim(
    model: str, updates: int, workers: int = 0, batch_size: int = 32, bits: str = "portable"
) -> Work:
    """A run with its folder; with ``workers`` 0 this process trains.

    Its facts are the parts of the run's wall time, and the ``rate``: updates a second once all are
    busy.
    """
    kind = f"executor: processes, workers: {workers}" if workers else "executor: inline"
    scenario = reference(
        f"model={model}",
        f"training.batch_size={batch_size}",
        f"numerics.bits={bits}",
        f"stop.updates={updates}",
        f"execution={{{kind}}}",
    )
    begin = max(1, min(20, updates // 2))

    def work() -> Mapping[str, float]:
        reached: dict[int, float] = {}

        def note(progress: Progress) -> None:
            reached.setdefault(progress.updates, perf_counter())

        parts: Mapping[str, float] = simulate(scenario, progress=note).summary["wall_seconds"]
        rate = (updates - begin) / (reached[updates] - reached[begin])
        return {**parts, "updates": updates, "rate": rate}

    return work


def gemm() -> Work:
    """Large matrix products; its fact is GFLOP a second of processor time."""
    left, right = torch.randn(_GEMM, _GEMM), torch.randn(_GEMM, _GEMM)

    def work() -> Mapping[str, float]:
        best = min(_seconds_of(left, right) for _ in range(5))
        return {"gflops": 2 * _GEMM**3 / best / 1e9}

    return work


def _seconds_of(left: torch.Tensor, right: torch.Tensor) -> float:
    began = process_time()
    torch.mm(left, right)
    return process_time() - began
