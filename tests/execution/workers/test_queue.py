"""The order in which workers take up the tasks of several runs."""

from __future__ import annotations

from afl_sim.execution.workers.queue import FairQueue


def filled(*tasks: tuple[int, int]) -> FairQueue[str]:
    """A queue with these tasks as (run, due); each is called "run:due"."""
    queue: FairQueue[str] = FairQueue()
    for n, (run, due) in enumerate(tasks):
        queue.push(run, (due, n), f"{run}:{due}")
    return queue


def taken(queue: FairQueue[str], n: int) -> list[str | None]:
    return [queue.pop() for _ in range(n)]


def test_within_a_run_what_is_due_first_comes_first_and_ties_in_order_of_submission() -> None:
    queue = filled((0, 30), (0, 10), (0, 20))
    queue.push(0, (10, 9), "later")
    assert taken(queue, 5) == ["0:10", "later", "0:20", "0:30", None]


def test_workers_are_spread_over_runs_before_tasks() -> None:
    # The first run's tasks are all more urgent; the clocks of two runs cannot be compared.
    queue = filled((0, 1), (0, 2), (0, 3), (1, 100), (1, 200), (2, 50))
    assert taken(queue, 6) == ["0:1", "1:100", "2:50", "0:2", "1:200", "0:3"]


def test_the_run_with_the_least_in_hand_is_served_next() -> None:
    queue = filled((0, 1), (0, 2), (1, 1), (1, 2), (1, 3))
    assert taken(queue, 2) == ["0:1", "1:1"]
    queue.release(1)
    assert taken(queue, 3) == ["1:2", "0:2", "1:3"]


def test_with_one_worker_runs_take_turns() -> None:
    queue = filled(*((run, due) for run in (0, 1, 2) for due in (1, 2)))
    order = []
    for _ in range(6):
        task = queue.pop()
        assert task is not None
        order.append(task)
        queue.release(int(task[0]))
    assert order == ["0:1", "1:1", "2:1", "0:2", "1:2", "2:2"]


def test_a_run_that_comes_later_is_served_at_once() -> None:
    queue = filled((0, 1), (0, 2), (0, 3))
    assert taken(queue, 2) == ["0:1", "0:2"]
    queue.push(1, (999, 9), "new")
    assert queue.pop() == "new"


def test_what_a_run_leaves_behind_is_forgotten() -> None:
    queue = filled((0, 1), (1, 1), (1, 2))
    queue.forget(1)
    assert len(queue) == 1
    assert taken(queue, 2) == ["0:1", None]


def test_a_task_put_back_is_as_urgent_as_before() -> None:
    queue = filled((0, 1), (0, 2))
    assert queue.pop() == "0:1"
    queue.release(0)
    queue.push(0, (1, 0), "0:1")
    assert queue.pop() == "0:1"
