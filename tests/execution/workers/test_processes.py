"""Worker processes: the same bits as one process, whatever happens to a worker."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import ROOT, SMALLEST
from sessions import session, wait_for

from afl_sim.errors import AflSimError, InputError, TaskError
from afl_sim.execution.numerics import fingerprint
from afl_sim.execution.tasks import TrainingTask
from afl_sim.execution.workers import forkserver
from afl_sim.execution.workers.pool import WorkerPool
from afl_sim.execution.workers.pooled import PooledExecutor
from afl_sim.execution.workers.processes import ProcessSeat
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.executors import pooled, worker_pool
from afl_sim.run.preparation import prepare
from afl_sim.run.recipe import build_runner, recipe_of
from afl_sim.scenario import Execution, Numerics

SETTINGS = ["stop.updates=16", "evaluation.samples=200", "evaluation.every_versions=2"]
PROCESSES = ["execution.executor=processes", "execution.workers=2"]


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with worker_pool(Execution(executor="processes", workers=2), [Numerics()]) as pool:
        yield pool


@pytest.fixture
def executor(pool: WorkerPool) -> Iterator[PooledExecutor]:
    scenario = load_scenario(SMALLEST, SETTINGS)
    executor: Any = pooled(pool)(scenario, prepare(scenario))
    yield executor
    executor.close()


def tasks(n: int) -> list[TrainingTask]:
    scenario = load_scenario(SMALLEST, SETTINGS)
    vector = prepare(scenario).initial
    return [TrainingTask(client % 10, client // 10, 10, vector, 1.0) for client in range(n)]


def inline(task: TrainingTask) -> Any:
    scenario = load_scenario(SMALLEST, SETTINGS)
    prepared = prepare(scenario)
    assert prepared.dataset is not None
    trainer, *_ = build_runner(recipe_of(scenario), prepared.dataset, prepared.partition)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with arithmetic_of(trainer.settings.portable):
            return trainer.train(
                task.client, task.task, task.steps, task.base, task.base, task.lr_factor
            )
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    ("strategy", "model"),
    [
        ("{kind: fedavg, clients_per_round: 4, deadline: 1.5, partial: keep}", "logistic"),
        (
            "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}",
            "logistic",
        ),
        ("{kind: ringmaster, delay_threshold: 4}", "logistic"),
        ("{kind: fedat, tiers: 2, clients_per_round: 3}", "logistic"),
        ("{kind: fedasync, concurrency: 4}", "lenet"),
    ],
)
def test_two_workers_make_the_bits_of_one_process(strategy: str, model: str) -> None:
    settings = [*SETTINGS, f"strategy={strategy}", f"model={model}"]
    alone = simulate(load_scenario(SMALLEST, settings))
    spread = simulate(load_scenario(SMALLEST, [*settings, *PROCESSES]))
    for key in ("schedule_digest", "model_digest", "final", "time_to_accuracy"):
        assert spread.summary[key] == alone.summary[key], key
    assert spread.metrics.equals(alone.metrics)
    assert spread.summary["wall_seconds"]["waiting"] > 0


def test_held_out_samples_are_held_out_in_the_workers_too() -> None:
    settings = [*SETTINGS, "data.validation=0.1", "evaluation.on=validation", "stop.updates=5"]
    alone = simulate(load_scenario(SMALLEST, settings))
    spread = simulate(load_scenario(SMALLEST, [*settings, *PROCESSES]))
    assert spread.summary["model_digest"] == alone.summary["model_digest"]
    assert spread.metrics.equals(alone.metrics)


def test_results_are_those_of_this_process_in_whatever_order_they_are_wanted(
    executor: PooledExecutor,
) -> None:
    given = tasks(6)
    futures = [executor.submit(task, due_us=100 - i) for i, task in enumerate(given)]
    for i in (3, 0, 5):
        assert torch.equal(futures[i].result().vector, inline(given[i]).vector)


def test_a_client_goes_on_from_its_own_model_across_workers(executor: PooledExecutor) -> None:
    scenario = load_scenario(
        SMALLEST, ["strategy={kind: quafl, clients_per_round: 1, local_steps: 4}"]
    )
    strategy: Any = scenario.strategy
    first, second = tasks(2)
    before = executor.submit(first, 5)
    after = TrainingTask(
        first.client, 1, 0, second.base, 1.0, origin=(strategy, None), after=before
    )
    follower = executor.submit(after, 1)  # due earlier, and yet it must wait
    expected = first.base / 2 + before.result().vector / 2
    assert torch.allclose(follower.result().vector, expected)


def test_what_was_cancelled_can_still_be_asked_for(executor: PooledExecutor) -> None:
    futures = [executor.submit(task, i) for i, task in enumerate(tasks(12))]
    for future in futures:
        executor.cancel(future)
    assert futures[-1].result().loss > 0


def test_a_worker_that_is_killed_loses_nothing(pool: WorkerPool, executor: PooledExecutor) -> None:
    given = tasks(20)
    futures = [executor.submit(task, i) for i, task in enumerate(given)]
    futures[0].result()
    before = pids(pool)
    os.kill(before[0], signal.SIGKILL)
    for task, future in zip(given[::5], futures[::5], strict=True):
        assert torch.equal(future.result().vector, inline(task).vector)
    wait_for(lambda: len(pids(pool)) == 2, 60)
    assert len(set(pids(pool)) & set(before)) == 1  # the other one went on


def test_a_temporary_folder_that_no_socket_fits_in_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "d" * 120)
    monkeypatch.setattr(forkserver, "_SHORT_FOLDERS", ("/no such folder",))
    with pytest.raises(InputError, match=r"TMPDIR: /d+ is too long .* at most 5\d bytes"):
        forkserver.start(multiprocessing.get_context("forkserver"), [])
    assert tempfile.gettempdir() == "/" + "d" * 120


_STARTS_A_SERVER = """
import multiprocessing, os, signal, sys
from afl_sim.execution.workers import forkserver
if sys.argv[1] == "killed":
    forkserver.forkserver.ensure_running = lambda: os.kill(os.getpid(), signal.SIGKILL)
forkserver.start(multiprocessing.get_context("forkserver"), [])
print(*os.listdir(os.environ["TMPDIR"]))
"""


@pytest.mark.parametrize("end", ["killed", "regular"])
def test_the_fork_server_s_folder_goes_with_the_process_that_made_it(
    end: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Killed where nothing else of it runs yet: the folder is there, and the server is not.
    folder = tmp_path_factory.mktemp("t")
    ended = subprocess.run(
        [sys.executable, "-c", _STARTS_A_SERVER, end],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stderr == ""
    if end == "killed":
        assert ended.returncode == -signal.SIGKILL
        wait_for(lambda: not list(folder.iterdir()), 20)
    else:
        assert len(ended.stdout.split()) == 1
        assert not list(folder.iterdir())


def test_a_worker_process_that_cannot_be_started_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(context: Any, modules: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(forkserver, "start", fails)
    with (
        worker_pool(Execution(executor="processes", workers=2), [Numerics()]) as pool,
        pytest.raises(AflSimError, match="a worker process cannot be started: BlockingIOError"),
    ):
        pool.wait_for_worker(20)


def pids(pool: WorkerPool) -> list[int]:
    seats: list[Any] = [station.seat for station in pool._stations if station.ready]
    return [seat.process.pid for seat in seats]


def test_an_error_in_a_task_is_raised_where_its_result_is_wanted(executor: PooledExecutor) -> None:
    (task,) = tasks(1)
    bad = TrainingTask(10_000, 0, 1, task.base, 1.0)
    with pytest.raises(TaskError, match=r"client 10000's task 0 failed: IndexError: .*py:\d+\)"):
        executor.submit(bad, 0).result()
    assert executor.submit(task, 0).result().loss > 0


def dies() -> Any:
    os._exit(3)


def test_a_task_over_which_workers_keep_dying_fails_its_run_alone(
    pool: WorkerPool, executor: PooledExecutor
) -> None:
    deadly = pool.executor(dies)
    (task,) = tasks(1)
    with pytest.raises(AflSimError, match=r"worker processes died .* fewer --workers"):
        deadly.submit(task, 0).result()
    deadly.close()
    assert executor.submit(task, 0).result().loss > 0


class Unreadable(Exception):
    """An exception that cannot be read in another process."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)


def fails() -> Any:
    raise Unreadable("no ", "runner")


def test_an_error_that_cannot_be_sent_is_told_all_the_same(pool: WorkerPool) -> None:
    executor = pool.executor(fails)
    with pytest.raises(RuntimeError, match="Unreadable: no runner"):
        executor.submit(tasks(1)[0], 0).result()
    executor.close()


def test_a_state_that_cannot_be_sent_fails_its_task_alone(executor: PooledExecutor) -> None:
    (task,) = tasks(1)
    strategy: Any = load_scenario(SMALLEST, SETTINGS).strategy
    state = {"weights": lambda version: 1.0}
    bad = TrainingTask(0, 0, 1, task.base, 1.0, origin=(strategy, state))
    with pytest.raises((AttributeError, TypeError, pickle.PicklingError), match="lambda"):
        executor.submit(bad, 0).result()
    assert executor.submit(task, 0).result().loss > 0


def test_a_call_takes_and_gives_arrays_of_any_size_and_order(pool: WorkerPool) -> None:
    given = [np.arange(12.0).reshape(3, 4).T, np.zeros((0, 5)), np.arange(1_000_000), "word"]
    for sent, back in zip(given, pool.call(returns, given), strict=True):
        assert np.array_equal(sent, back)


def returns(given: Any, line: Any) -> Any:
    return given


def reaches(number: int, line: Any) -> int:
    """Count until told to stop."""
    while not line.stop_wanted():
        line.tell(number)
        number += 1
        time.sleep(0.01)
    return number


def test_a_call_tells_how_far_it_is_and_can_be_stopped(pool: WorkerPool) -> None:
    told: list[int] = []
    reached = pool.call(reaches, 5, on_message=told.append, stop_wanted=lambda: len(told) > 1)
    assert 5 <= told[0] < told[1] <= reached
    told.clear()  # the worker was told to stop that call, not its next
    reached = pool.call(reaches, 0, on_message=told.append, stop_wanted=lambda: len(told) > 1)
    assert 0 < told[1] <= reached


def dies_once(path: Path, last_words: bytes, line: Any) -> str:
    if not path.exists():
        path.write_text("died")
        os.write(line._pipe.fileno(), last_words)
        os._exit(1)
    return path.read_text()


@pytest.mark.parametrize("last_words", [b"", b"\0\0", b"\0\0\0\x7f half of an answer"])
def test_a_call_whose_worker_dies_begins_again(
    pool: WorkerPool, tmp_path: Path, last_words: bytes
) -> None:
    assert pool.call(dies_once, tmp_path / "file", last_words) == "died"


def test_waiting_ends_when_the_pool_is_aborted() -> None:
    with worker_pool(Execution(executor="processes", workers=1), [Numerics()]) as pool:
        executor = pool.executor(dies)
        pending = executor.submit(tasks(1)[0], 0)
        pool.abort()
        with pytest.raises(KeyboardInterrupt):
            pending.result()


def test_workers_with_other_numerics_are_refused() -> None:
    mine = {**fingerprint(Numerics()), "torch": "1.0"}
    pool = WorkerPool(partial(ProcessSeat, [Numerics()]), 1, [mine])
    try:
        with pytest.raises(AflSimError, match=r"numerics differ.* \(torch: 2\S+, here 1\.0\)"):
            pool.executor(dies).submit(tasks(1)[0], 0).result()
    finally:
        pool.close()


def test_killed_parents_leave_no_worker_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "afl_sim", "run", str(SMALLEST), "--out", "run"]
    settings = ["stop.updates=100000", *PROCESSES]
    child = subprocess.Popen(
        [*command, *(part for setting in settings for part in ("--set", setting))],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: len(session(child.pid)) >= 4, 60)  # it, the fork server, two workers
    finally:
        child.kill()
        child.wait()
    wait_for(lambda: not session(child.pid), 20)
