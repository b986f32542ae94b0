"""What a model keeps beside its vector does not go from one task to the next."""

from __future__ import annotations

import threading
from collections import deque
from types import SimpleNamespace
from typing import Any

import numpy as np
import own_models
import pytest
import torch
from small_training import linear, numbered, trainer
from torch import Tensor, nn

from afl_sim.learning.models.local_state import LocalState, runs_foreign_code
from afl_sim.learning.training.batched_training import BatchedTrainer, LocalTask


class Keeps(nn.Module):
    """Keeps one thing, and changes it in every call."""

    def __init__(self, kept: Any) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2)
        self.kept = kept


@pytest.mark.parametrize(
    ("make", "change"),
    [
        (lambda: 3, lambda m: setattr(m, "kept", m.kept + 1)),
        (lambda: None, lambda m: setattr(m, "kept", torch.ones(2))),
        (lambda: (1, 2), lambda m: setattr(m, "kept", (3,))),
        (lambda: [1, [2]], lambda m: m.kept[1].append(3)),
        (lambda: deque([1]), lambda m: m.kept.append(2)),
        (lambda: {"a": [1]}, lambda m: m.kept["a"].append(2)),
        (lambda: {1}, lambda m: m.kept.add(2)),
        (lambda: torch.zeros(2), lambda m: m.kept.add_(1)),
        (lambda: torch.zeros(2), lambda m: m.kept.data.add_(1)),
        (lambda: torch.zeros(2), lambda m: setattr(m, "kept", torch.ones(3))),
        (lambda: np.zeros(2), lambda m: m.kept.__iadd__(1)),
        (lambda: SimpleNamespace(h=[1]), lambda m: m.kept.h.append(2)),
        (lambda: np.random.default_rng(1), lambda m: m.kept.random()),
        (lambda: torch.Generator().manual_seed(1), lambda m: torch.rand(1, generator=m.kept)),
        (lambda: 3, lambda m: delattr(m, "kept")),
        (lambda: 3, lambda m: setattr(m, "another", 4)),
    ],
)
def test_an_attribute_is_what_it_was_and_its_change_is_named(make: Any, change: Any) -> None:
    model = nn.Sequential(Keeps(make()))
    before = model[0].kept
    state = LocalState(model)
    assert state.changed() == []
    for _ in range(2):  # it is put back as often as it is changed
        change(model[0])
        name = "another" if hasattr(model[0], "another") else "kept"
        assert state.changed() == [f"{name!r} of layer 0 (Keeps)"]
        state.put_back()
        assert state.changed() == []
        assert vars(model[0]).keys() == vars(Keeps(None)).keys()
        if isinstance(before, list | dict | set | deque | Tensor | np.ndarray):
            assert model[0].kept is before  # others may hold it, too


def test_what_belongs_to_the_model_is_never_copied() -> None:
    model = Keeps(None)
    view = model.out.weight.detach()[:1]
    model.kept = {"layers": [model.out], "bias": model.out.bias, "view": view}
    state = LocalState(model)
    model.kept["layers"].clear()
    state.put_back()
    with torch.no_grad():
        model.out.weight.fill_(7)
    assert model.kept["layers"][0] is model.out
    assert model.kept["bias"] is model.out.bias
    assert model.kept["view"].tolist() == [[7, 7]]


def test_what_cannot_be_copied_stays() -> None:
    lock, history = threading.Lock(), torch.ones(1, requires_grad=True) * 2
    model = Keeps([lock])
    model.more = history
    state = LocalState(model)
    state.put_back()
    assert model.kept == [lock]
    assert model.more is history


def test_a_hook_and_its_model_go_on_sharing_a_list() -> None:
    model, images = own_models.Taps(), torch.rand(3, 1, 28, 28)
    state = LocalState(model)
    before = model(images)
    state.put_back()
    assert torch.equal(model(images), before)


class Buffers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(1, 3)
        self.register_buffer("cache", torch.ones(3), persistent=False)
        self.register_buffer("wide", torch.ones(1).expand(3), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("later", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        self.cache += 1
        self.steps += 1
        self.wide = self.wide + 1
        self.later = self.steps * 2
        return self.out(x.flatten(1)) * self.cache * self.wide


def buffers_of(model: Any) -> list[Any]:
    return [model.cache.tolist(), model.wide.tolist(), int(model.steps), model.later]


def test_buffers_that_do_not_travel_begin_every_task_as_they_were_built() -> None:
    local = trainer(Buffers(), numbered(8), batch_size=2)
    start = local.initial
    assert local.layout.size == local.layout.num_parameters == 6

    def task(client: int) -> Tensor:
        return local.train(client, 0, 3, start, start, 1.0).vector

    first, _, again = task(0), task(1), task(0)
    assert torch.equal(first, again)
    local.load(start, "dropout")
    assert buffers_of(local.model) == [[1, 1, 1], [1, 1, 1], 0, None]


def test_a_group_of_tasks_begins_like_a_task() -> None:
    local = trainer(Buffers(), numbered(8), batch_size=2, batched=True)
    local.model(local.inputs[:2])
    task = LocalTask(0, 0, 1, local.initial, local.initial)
    BatchedTrainer(local).train([task], 1.0)
    assert int(local.model.steps) == 1  # type: ignore[arg-type]


def test_only_where_somebody_s_code_runs_are_attributes_looked_after() -> None:
    assert not runs_foreign_code(linear())
    assert runs_foreign_code(Keeps(None))
    watched = linear()
    watched[1].register_forward_hook(lambda *_: None)  # type: ignore[index]
    assert runs_foreign_code(watched)


def test_a_list_that_holds_itself_is_put_back() -> None:
    model = Keeps([1])
    model.kept.append(model.kept)
    state = LocalState(model)
    model.kept.append(2)
    state.put_back()
    assert len(model.kept) == 2
    assert model.kept[0] == 1
