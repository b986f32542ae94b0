"""One process against the hand-written loop: lenet and cnn, in turns."""

from __future__ import annotations

from functools import partial

import torch
from contenders import by_afl_sim, by_hand, gemm, reference
from measuring import Section, Turn, alternate, main, median_ratio
from torch.utils.flop_counter import FlopCounterMode

from afl_sim.learning.models.built_in import build_model

# Updates in a turn: short enough to meet the same state of the machine as the turn before.
_UPDATES = {"lenet": 60, "cnn": 8}
_FEW = {"lenet": 8, "cnn": 2}
# A whole run, in which the beginning and the end of one weigh as little as they do in practice.
_WHOLE = {"lenet": 300, "cnn": 40}


def measure(quick: bool) -> Section:
    """Time the models; ``quick`` takes fewer turns."""
    rows, peaks = [], []
    for model, updates in (_FEW if quick else _UPDATES).items():
        turns = alternate(
            {
                "hand": partial(by_hand, model, updates),
                "ours": partial(by_afl_sim, model, updates),
                "gemm": gemm,
            },
            rounds=1 if quick else 9,
        )
        whole = updates if quick else _WHOLE[model]
        (run,) = alternate({"run": partial(by_afl_sim, model, whole)}, rounds=1)["run"]
        hand, ours = turns["hand"], turns["ours"]
        peak = max(turn.facts["gflops"] for turn in turns["gemm"])
        work = updates * gigaflops_of_an_update(model)
        rows.append(
            (
                model,
                _milliseconds(hand, updates),
                _milliseconds(ours, updates),
                f"{median_ratio([t.cpu for t in hand], [t.cpu for t in ours]):.2f}",
                f"{median_ratio([t.wall for t in hand], [t.wall for t in ours]):.2f}",
                f"{100 * work / min(t.cpu for t in ours) / peak:.0f} %",
                f"{100 * _overhead(run):.1f} %",
            )
        )
        peaks.append(f"{model} {peak:.0f} GFLOP/s")
    return Section(
        "One process against a hand-written loop",
        "python tests/benchmarks/training.py",
        (
            "model",
            "hand-written, ms an update",
            "afl_sim, ms an update",
            "ratio (CPU time)",
            "ratio (wall time)",
            "share of GEMM peak",
            "engine, log, aggregation",
        ),
        rows,
        (
            "An update is 19 steps on 600 samples. Times are the shortest turn's CPU time; ratios "
            "are medians over turns taken alternately, each contender in a process of its own. "
            f"The peak is torch.mm's in the same minutes ({', '.join(peaks)}), and the share "
            "counts the multiplications and additions of forward and backward alone. Engine, log "
            f"and aggregation are the rest of a run of {_WHOLE['lenet']} updates "
            f"(cnn: {_WHOLE['cnn']}).",
        ),
    )


def gigaflops_of_an_update(model: str) -> float:
    """Multiplications and additions of a client's pass over 600 samples, in units of 1e9."""
    scenario = reference(f"model={model}")
    info = scenario.data.info
    net = build_model(scenario.model, info.input_shape, info.classes, seed=1)
    with FlopCounterMode(display=False) as counter:
        net(torch.zeros(600, *info.input_shape)).sum().backward()
    return counter.get_total_flops() / 1e9


def _milliseconds(turns: list[Turn], updates: int) -> str:
    return f"{1e3 * min(turn.cpu for turn in turns) / updates:.1f}"


def _overhead(turn: Turn) -> float:
    facts = turn.facts
    return 1 - (facts["training"] + facts["evaluation"]) / facts["total"]


if __name__ == "__main__":
    main(measure, __doc__)
