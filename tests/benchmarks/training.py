"""One process against the hand-written loop: four models, in turns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from contenders import by_afl_sim, by_hand, gemm, reference
from measuring import Section, Turn, alternate, main, median_ratio
from torch.utils.flop_counter import FlopCounterMode

from afl_sim.learning.data.form import form_of
from afl_sim.learning.models.built_in import build_model


@dataclass(frozen=True)
class Case:
    """A model and how long it is timed.

    Attributes:
        model, batch_size: what is trained.
        updates: in a turn; short enough to meet the same state of the machine as the turn before.
        few: the same with ``--quick``.
        whole: of a run in which the beginning and the end weigh as little as in practice.
    """

    model: str
    batch_size: int
    updates: int
    few: int
    whole: int


_CASES = (
    Case("lenet", 32, 60, 8, 300),
    Case("cnn", 32, 8, 2, 40),
    Case("mlp", 10, 60, 8, 300),
    Case("logistic", 10, 120, 16, 600),
)


def measure(quick: bool) -> Section:
    """Time the models; ``quick`` takes fewer turns."""
    rows, peaks = [], []
    for case in _CASES:
        model, size = case.model, case.batch_size
        updates = case.few if quick else case.updates
        turns = alternate(
            {
                "hand": partial(by_hand, model, updates, size),
                "portable": partial(by_afl_sim, model, updates, 0, size),
                "native": partial(by_afl_sim, model, updates, 0, size, "native"),
                "gemm": gemm,
            },
            rounds=1 if quick else 9,
        )
        whole = updates if quick else case.whole
        (run,) = alternate({"run": partial(by_afl_sim, model, whole, 0, size)}, rounds=1)["run"]
        hand, ours, native = turns["hand"], turns["portable"], turns["native"]
        peak = max(turn.facts["gflops"] for turn in turns["gemm"])
        work = updates * gigaflops_of_an_update(model)
        rows.append(
            (
                f"{model}, {size}",
                _milliseconds(hand, updates),
                _milliseconds(ours, updates),
                f"{median_ratio([t.cpu for t in hand], [t.cpu for t in ours]):.2f}",
                f"{median_ratio([t.wall for t in hand], [t.wall for t in ours]):.2f}",
                f"{median_ratio([t.cpu for t in hand], [t.cpu for t in native]):.2f}",
                f"{100 * work / min(t.cpu for t in ours) / peak:.0f} %",
                f"{100 * _overhead(run):.1f} %",
            )
        )
        peaks.append(f"{model} {peak:.0f} GFLOP/s")
    whole_runs = ", ".join(f"{case.model} {case.whole}" for case in _CASES)
    return Section(
        "One process against a hand-written loop",
        "python tests/benchmarks/training.py",
        (
            "model, batch",
            "hand-written, ms an update",
            "portable, ms an update",
            "ratio (CPU time)",
            "ratio (wall time)",
            "ratio with native bits",
            "share of GEMM peak",
            "engine, log, aggregation",
        ),
        rows,
        (
            "An update is one pass over 600 samples. Times are the shortest turn's CPU time; "
            "ratios are medians over turns taken alternately, each contender in a process of its "
            "own; above 1 afl_sim is faster. The loop uses PyTorch's own layers and products. "
            f"The peak is torch.mm's in the same minutes ({', '.join(peaks)}), and the share "
            "counts the multiplications and additions of forward and backward alone. Engine, log "
            f"and aggregation are the rest of a run with portable bits (updates: {whole_runs}).",
        ),
    )


def gigaflops_of_an_update(model: str) -> float:
    """Multiplications and additions of a client's pass over 600 samples, in units of 1e9."""
    scenario = reference(f"model={model}")
    net = build_model(scenario.model, form_of(scenario.data), seed=1)
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(600, *form_of(scenario.data).input_shape)).sum().backward()
    return counter.get_total_flops() / 1e9


def _milliseconds(turns: list[Turn], updates: int) -> str:
    return f"{1e3 * min(turn.cpu for turn in turns) / updates:.1f}"


def _overhead(turn: Turn) -> float:
    facts = turn.facts
    return 1 - (facts["training"] + facts["evaluation"]) / facts["total"]


if __name__ == "__main__":
    main(measure, __doc__)
