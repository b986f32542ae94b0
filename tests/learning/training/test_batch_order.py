"""Which samples a task uses, and in which order."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from small_training import SAMPLES, Held, Remembers, addressed_batches, numbered, train, trainer

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Distribution
from afl_sim.streams import Streams
from afl_sim.world.tasks.workload import Workload

pytestmark = pytest.mark.usefixtures("as_in_a_run")


def seen(
    steps: int, samples: int = SAMPLES, shards: Any = None, **settings: Any
) -> list[list[int]]:
    model = Remembers()
    local = trainer(model, numbered(samples), shards, **settings)
    train(local, steps, client=1, task=4)
    return model.seen


def test_steps_go_on_into_the_next_epoch_in_a_new_order() -> None:
    batches = seen(9, batch_size=5)
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3, 5, 5, 5, 5]
    first = [i for batch in batches[:5] for i in batch]
    second = [i for batch in batches[5:] for i in batch]
    assert sorted(first) == list(range(SAMPLES))
    assert len(set(second)) == 20
    assert first[:20] != second
    named = addressed_batches(np.arange(SAMPLES), client=1, task=4, size=5, steps=9)
    assert batches == [batch.tolist() for batch in named]


def test_without_shuffling_every_epoch_is_in_the_order_held() -> None:
    held = [7, 3, 20, 4]
    assert seen(4, shards=Held([], held), shuffle=False, batch_size=3) == [[7, 3, 20], [4]] * 2


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.filterwarnings("error")
def test_indices_that_may_not_be_written_to_raise_no_warning(shuffle: bool) -> None:
    torch.set_warn_always(True)  # else torch warns once in a process, perhaps long before this
    try:
        seen(2, shuffle=shuffle, batch_size=5)
    finally:
        torch.set_warn_always(False)


def test_drop_last_leaves_out_the_smaller_batch() -> None:
    batches = seen(8, batch_size=5, drop_last=True)
    assert [len(batch) for batch in batches] == [5] * 8
    assert len({i for batch in batches[:4] for i in batch}) == 20


def test_drop_last_keeps_the_only_batch() -> None:
    assert [len(batch) for batch in seen(2, samples=4, batch_size=5, drop_last=True)] == [4, 4]


def test_a_full_batch_is_everything_the_client_holds() -> None:
    held = [1, 5, 9]
    batches = seen(3, shards=Held([0], held), batch_size=None)
    assert [sorted(batch) for batch in batches] == [held] * 3


def test_another_task_and_another_client_see_other_orders() -> None:
    def order(client: int, task: int, seed: int = 1) -> list[int]:
        model = Remembers()
        train(trainer(model, numbered(), seed=seed, batch_size=None), 1, client=client, task=task)
        return model.seen[0]

    orders = [order(0, 0), order(0, 1), order(1, 0), order(0, 0, seed=2)]
    assert len({tuple(o) for o in orders}) == 4
    assert order(0, 0) == orders[0]


@pytest.mark.parametrize("samples", [1, 4, 5, 6, 23])
@pytest.mark.parametrize("size", [1, 5, 30, None])
@pytest.mark.parametrize("drop_last", [False, True])
def test_training_processes_as_many_samples_as_virtual_time_counts(
    samples: int, size: int | None, drop_last: bool
) -> None:
    one = Distribution(1)
    workload = Workload(lambda client: samples, size, one, None, drop_last, Streams(0))
    for steps in (1, 2, 7, 11):
        batches = seen(steps, samples=samples, batch_size=size, drop_last=drop_last)
        assert len(batches) == steps
        assert sum(map(len, batches)) == workload.samples(1, steps)
    epoch = seen(workload.task_steps(1, 0), samples=samples, batch_size=size, drop_last=drop_last)
    visited = [sample for batch in epoch for sample in batch]
    assert len(set(visited)) == len(visited)  # one epoch repeats nothing


@pytest.mark.parametrize(("key", "steps"), [("steps", "1e+18"), ("epochs", "4e+18")])
def test_a_draw_of_more_work_than_can_be_counted_names_its_key(key: str, steps: str) -> None:
    law = Distribution({"sequence": [1, 1e18]})
    amounts = {"epochs": None, "steps": None, key: law}
    workload = Workload(
        lambda client: 40, 10, amounts["epochs"], amounts["steps"], False, Streams(0)
    )
    assert workload.task_steps(3, 0) in (1, 4)
    told = f"training.{key}: client 3's task 1 has {steps} local steps; expected at most"
    with pytest.raises(ScenarioError, match=f"^{re.escape(told)}"):
        workload.task_steps(3, 1)
