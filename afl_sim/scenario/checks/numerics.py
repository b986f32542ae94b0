"""What does not go together with a run's numerics."""

from __future__ import annotations

from collections.abc import Iterator

from afl_sim.scenario.mistakes.explain import Finding
from afl_sim.scenario.sections.augmentation import BUILT_IN, Transform
from afl_sim.scenario.sections.settings import Execution, Numerics
from afl_sim.scenario.sections.training import Training


def numerics_findings(
    numerics: Numerics | None, execution: Execution | None, training: Training | None, runs: int
) -> Iterator[Finding]:
    """What is wrong with the section ``numerics``, alone and together with other sections.

    Args:
        numerics, execution, training: the sections; None where one has mistakes of its own.
        runs: number of runs of the file.
    """
    yield from _idle_workers(numerics, execution, runs)
    if numerics is not None and training is not None:
        yield from _portable_bits(numerics, training)
        if numerics.mode == "batched" and training.augment:
            yield Finding(
                ("training", "augment"),
                "tasks that are trained together cannot change their images; expected "
                "numerics.mode: exact",
            )


def _idle_workers(
    numerics: Numerics | None, execution: Execution | None, runs: int
) -> Iterator[Finding]:
    if numerics is None or execution is None or execution.executor == "inline":
        return
    reason = one_process(numerics, runs)
    if reason is not None:
        yield Finding(
            ("execution", "executor"),
            f"got {execution.executor!r}, but {reason}; expected inline, without --workers",
        )


def _portable_bits(numerics: Numerics, training: Training) -> Iterator[Finding]:
    if numerics.bits != "portable":
        return
    found = only_native(numerics, training)
    if found is not None:
        key, other = found
        yield Finding(
            ("numerics", "bits"),
            f"got 'portable', but {key} has no portable arithmetic; expected native or auto, or "
            f"{other}",
        )


def only_native(numerics: Numerics, training: Training) -> tuple[str, str] | None:
    """The setting that rules portable bits out, and the one that allows them; None if none does."""
    if numerics.device != "cpu":
        return f"numerics.device: {numerics.device}", "numerics.device: cpu"
    if numerics.mode != "exact":
        return f"numerics.mode: {numerics.mode}", "numerics.mode: exact"
    if numerics.precision != "float32":
        return f"numerics.precision: {numerics.precision}", "numerics.precision: float32"
    for change in training.augment:
        if isinstance(change, Transform):
            return f"training.augment: {change.kind}", f"only {', '.join(BUILT_IN)}"
    return None


def one_process(numerics: Numerics, runs: int) -> str | None:
    """Why so many runs with these numerics cannot use worker processes; None if they can."""
    if numerics.device == "cuda":
        return "numerics.device: cuda trains in the one process that has the GPU"
    if numerics.mode == "batched" and runs == 1:  # a worker can do one of several
        return "numerics.mode: batched trains a run in one process"
    return None
