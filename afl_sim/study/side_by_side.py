"""Runs the cases of a study side by side, with one pool of workers.

Each run has a thread that turns its clock, and the workers train for all runs. In three cases a
worker does a whole run instead: if nothing is trained; if the workers are a cluster and there is a
run for each of them; and if the run trains its tasks in batches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.recording.study_folder import check_study_there
from afl_sim.run.api import Progress
from afl_sim.run.bits import effective_numerics
from afl_sim.run.workers import worker_pool
from afl_sim.scenario import Case
from afl_sim.study import whole_runs
from afl_sim.study.case import Options, Outcome, ProgressOf, outcome_of, run_case
from afl_sim.study.whole_runs import run_whole_away, run_whole_here


def run_side_by_side(
    cases: Sequence[Case],
    folder: Path,
    options: Options,
    progress_of: ProgressOf,
    tell: Callable[[Outcome], None],
) -> dict[str, Outcome]:
    """Run cases, as many at once as there are workers; if one fails, the others go on.

    Args:
        cases: the cases; they `can_share` workers.
        folder: the folder of the study.
        options, progress_of, tell: as for `afl_sim.study.study.run_cases`.

    Returns:
        The outcome of each case, by label.

    Raises:
        KeyboardInterrupt: `Options.stop_wanted` asked for it, and every run in progress has
            written its checkpoint; or it came from outside, and the runs were broken off.
    """
    execution = cases[0].scenario.execution
    if options.timing_only:
        workers = min(execution.workers, len(cases))
        execution = execution.model_copy(update={"workers": workers})
    # A schedule is the same in all numerics, so its workers may be on any machines.
    asked = () if options.timing_only else (effective_numerics(case.scenario) for case in cases)
    numerics = tuple(dict.fromkeys(asked))
    outcomes: dict[str, Outcome] = {}
    with (
        _settings(options),
        worker_pool(execution, numerics, [whole_runs.__name__], options.stop_wanted) as pool,
        ThreadPoolExecutor(min(pool.workers, len(cases)), "run") as threads,
    ):
        away = execution.executor == "ray"
        all_whole = options.timing_only or (away and len(cases) >= pool.workers)
        whole = {case.label for case in cases if all_whole or _is_batched(case)}
        if whole:
            pool.ahead = 1

        def one(case: Case) -> Outcome | None:
            if _stopping(options):
                return None
            check_study_there(folder)
            place, report = folder / case.label, progress_of(case)
            run = _run_shared
            if case.label in whole:
                run = run_whole_away if away else run_whole_here
            try:
                return outcome_of(
                    case.label, place, partial(run, pool, case, place, options, report)
                )
            except KeyboardInterrupt:
                return None

        futures = [
            threads.submit(one, _by_itself(case) if _is_batched(case) else case) for case in cases
        ]
        try:
            for future in as_completed(futures):
                outcome = future.result()
                if outcome is not None:
                    outcomes[outcome.label] = outcome
                    tell(outcome)
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            pool.abort()
            raise
    if len(outcomes) < len(cases):
        raise KeyboardInterrupt
    return outcomes


def _settings(options: Options) -> AbstractContextManager[None]:
    """PyTorch's settings; without training it is not imported."""
    if options.timing_only:
        return nullcontext()
    from afl_sim.execution.numerics import deterministic  # the door to PyTorch

    return deterministic()


def _is_batched(case: Case) -> bool:
    return case.scenario.numerics.mode == "batched"


def _by_itself(case: Case) -> Case:
    """The case with an executor in one process, so that it can be resumed alone."""
    execution = case.scenario.execution.model_copy(update={"executor": "inline", "workers": 1})
    return replace(case, scenario=case.scenario.model_copy(update={"execution": execution}))


def _run_shared(
    pool: WorkerPool,
    case: Case,
    place: Path,
    options: Options,
    report: Callable[[Progress], None] | None,
) -> Outcome:
    """Turn the clock here, while the workers train."""
    from afl_sim.run.executors import pooled  # the door to PyTorch

    return run_case(case, place, options, report, pooled(pool))


def _stopping(options: Options) -> bool:
    return options.stop_wanted is not None and options.stop_wanted()
