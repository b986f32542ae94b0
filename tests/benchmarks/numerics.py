"""The numerics classes against native exact float32 on the CPU, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

from contenders import reference
from measuring import Section, alternate, main, median_ratio

from afl_sim.execution.numerics import deterministic
from afl_sim.learning.training.batched_training import BatchedTrainer, LocalTask
from afl_sim.run.preparation import prepare
from afl_sim.run.recipe import build_runner, recipe_of

_TASKS = 16
# Steps of each task in a turn.
_STEPS = {"lenet": 3, "cnn": 1, "mlp": 5, "logistic": 30}
_CLASSES = {
    "exact float32": ("float32", 0),
    "portable": ("float32", 0),
    "exact bf16": ("bf16", 0),
    "batched float32, 4": ("float32", 4),
    "batched float32, 16": ("float32", 16),
    "batched bf16, 16": ("bf16", 16),
}


def measure(quick: bool) -> Section:
    """Time the classes; ``quick`` takes fewer turns."""
    rows = []
    for model, steps in _STEPS.items():
        turns = alternate(
            {
                name: partial(local_training, model, steps, precision, group, _bits(name))
                for name, (precision, group) in _CLASSES.items()
            },
            rounds=1 if quick else 7,
        )
        seconds = {name: [turn.cpu for turn in taken] for name, taken in turns.items()}
        exact = seconds["exact float32"]
        step = 1000 * statistics.median(exact) / (_TASKS * steps)
        others = [f"{median_ratio(exact, seconds[name]):.2f}" for name in list(_CLASSES)[1:]]
        rows.append((model, f"{step:.2f}", *others))
    return Section(
        "Numerics classes against exact float32 with native bits",
        "python tests/benchmarks/numerics.py",
        ("model", "exact float32, ms a step", *list(_CLASSES)[1:]),
        rows,
        (
            f"Training of {_TASKS} clients with one thread, batches of 32. The first number is the "
            "median CPU time of a client's step; the others say how many times faster a class is "
            "(above 1) or slower, as medians over turns taken alternately, each class in a process "
            "of its own. The number behind batched is the group's size.",
        ),
    )


def _bits(name: str) -> str:
    return "portable" if name == "portable" else "native"


def local_training(
    model: str, steps: int, precision: str, group: int, bits: str
) -> Callable[[], Mapping[str, float]]:
    """The same tasks, one by one (``group`` 0) or in groups."""
    mode = "batched" if group else "exact"
    kind = f"{{mode: {mode}, precision: {precision}, bits: {bits}}}"
    scenario = reference(f"model={model}", f"numerics={kind}")
    ExitStack().enter_context(deterministic())  # for as long as the process lives
    prepared = prepare(scenario)
    assert prepared.dataset is not None
    trainer, *_ = build_runner(recipe_of(scenario), prepared.dataset, prepared.partition)
    start = prepared.initial
    anchor = start[: prepared.layout.num_parameters]
    tasks = [LocalTask(client, 0, steps, start, anchor) for client in range(_TASKS)]

    def work() -> Mapping[str, float]:
        if group:
            batched = BatchedTrainer(trainer)
            for first in range(0, _TASKS, group):
                batched.train(tasks[first : first + group], 1.0)
        else:
            for task in tasks:
                trainer.train(task.client, task.task, steps, start, anchor, 1.0)
        return {}

    return work


if __name__ == "__main__":
    main(measure, __doc__)
