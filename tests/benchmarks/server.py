"""What the server costs by size of the model: an aggregation, a checkpoint."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import torch
from contenders import reference
from measuring import Section, main
from torch import Tensor

from afl_sim.execution.numerics import deterministic
from afl_sim.global_model.snapshot import Snapshot
from afl_sim.recording import save_checkpoint
from afl_sim.strategies.base import Population, Update

_FEDASYNC = "{kind: fedasync}"
_FEDBUFF = "{kind: fedbuff, buffer_size: 10}"
_SIZES = {"logistic": 7_850, "lenet": 21_840, "2NN": 199_210, "cnn": 1_663_370}
_LARGE = {"ten million": 10_000_000}
_BASES = 20  # models of earlier versions that clients in flight started from


def measure(quick: bool) -> Section:
    """Time the parts alone, for models from logistic regression to ten million parameters."""
    sizes = _SIZES if quick else _SIZES | _LARGE
    rounds = 3 if quick else 15
    with deterministic(), tempfile.TemporaryDirectory() as folder:
        rows = [
            (
                name,
                f"{size:,}",
                f"{_median(_aggregation(_FEDASYNC, size, 1), rounds):.3f}",
                f"{_median(_aggregation(_FEDBUFF, size, 10), rounds):.3f}",
                f"{_median(_checkpoint(Path(folder) / name, size), rounds):.1f}",
            )
            for name, size in sizes.items()
        ]
    return Section(
        "The server by size of the model",
        "python tests/benchmarks/server.py",
        (
            "model",
            "parameters",
            "FedAsync, ms an update",
            "FedBuff of 10, ms a version",
            "checkpoint, ms",
        ),
        rows,
        (
            f"Medians of wall time. A checkpoint holds the model and {_BASES} earlier versions, "
            "with its digest, and is flushed to the disk of a temporary folder.",
        ),
    )


def _aggregation(strategy: str, size: int, count: int) -> Callable[[], None]:
    rule = reference(f"strategy={strategy}").strategy
    params = torch.randn(size)
    updates = [
        Update(client, 0, client, 600, 19, torch.randn(size), torch.randn(size), 1.0)
        for client in range(count)
    ]
    state = rule.initial_state(params, Population(count, lambda client: 600))

    def work() -> None:
        made, _ = rule.aggregate(params, state, updates, {})
        assert torch.isfinite(made).all()

    return work


def _checkpoint(folder: Path, size: int) -> Callable[[], None]:
    def model() -> Tensor:
        return torch.randn(size)

    snapshot = Snapshot(1, model(), None, {version: (model(), None) for version in range(_BASES)})
    number = iter(range(1_000_000))

    def work() -> None:
        facts, tensors = snapshot.pack()
        save_checkpoint(folder, next(number), facts, tensors)

    return work


def _median(work: Callable[[], None], rounds: int) -> float:
    """Milliseconds; the first round warms up and is not counted."""
    taken = []
    for _ in range(rounds + 1):
        began = perf_counter()
        work()
        taken.append(perf_counter() - began)
    return 1e3 * statistics.median(taken[1:])


if __name__ == "__main__":
    main(measure, __doc__)
