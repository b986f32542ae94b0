"""A run's numbers at the end of an aggregation: enough to resume the run, and no more.

A snapshot does not hold the schedule, which is computed again, without training, up to the same
event. Nor does it hold tasks that were in flight or not yet used, only the models from which they
start: tasks are pure, so they are trained again, to the same bits. In batched training the bits
depend on the group in which a task was trained, so if a group is partly used, the results of the
other tasks are saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from afl_sim.errors import StrategyError
from afl_sim.execution.tasks import Future, ended
from afl_sim.global_model.dispatched import Dispatched
from afl_sim.learning.training.judging import Scores
from afl_sim.learning.training.local_result import LocalResult
from afl_sim.strategies.base import State

Arrays = dict[str, npt.NDArray[Any]]
_RESULT = ("vector", "delta", "loss")


@dataclass
class Snapshot:
    """The learning side at one version.

    Attributes:
        version: the server's version.
        vector: shape (P + B,): the global model.
        state: the strategy's state.
        moments: the state of the server's optimizer, if there is one.
        bases: version -> the model from which tasks still start, or which they merge on their way,
            and the strategy's state at that version if the clients do not start at the model
            itself.
        own: client -> the model (P + B,) at the end of its last task that has arrived.
        latest: client -> the number of that task, unless its update was refused.
        before: (client, task) -> the model (P + B,) from which that unfinished task goes on.
        results: (client, task) -> the result of a task that is not used yet and that would not have
            the same bits if it were trained again.
        evaluation: the last evaluation and its version.
        rejected: updates that the server has refused.
        again: (client, task) of updates that were used and that the schedule may use again, since
            it still holds them.
        readings: the plain values that the schedule has read from results, in order.
    """

    version: int
    vector: Tensor
    state: State
    moments: Any = None
    bases: dict[int, tuple[Tensor, State]] = field(default_factory=dict)
    own: dict[int, Tensor] = field(default_factory=dict)
    latest: dict[int, int] = field(default_factory=dict)
    before: dict[tuple[int, int], Tensor] = field(default_factory=dict)
    results: dict[tuple[int, int], LocalResult] = field(default_factory=dict)
    evaluation: tuple[int, Scores] | None = None
    rejected: int = 0
    again: list[tuple[int, int]] = field(default_factory=list)
    readings: list[Any] = field(default_factory=list)

    def origin(self, dispatch: Dispatched) -> tuple[Tensor, State, Future[LocalResult] | None]:
        """What a task starts from: the model, the strategy's state, and the task before, if any."""
        base, state = self.bases[dispatch.base_version]
        before = self.before.get((dispatch.client, dispatch.task))
        return base, state, None if before is None else ended(before)

    def fresh(self, dispatch: Dispatched) -> Tensor | None:
        """The newer model that a task's client has asked for, shape (P + B,); None for none."""
        newer = dispatch.fresh_version
        return None if newer < 0 else self.bases[newer][0]

    def pack(self) -> tuple[dict[str, Any], Arrays]:
        """Plain values and named arrays, for a checkpoint on disk."""
        tensors: dict[str, Tensor] = {"vector": self.vector}
        names: dict[int, str] = {}
        facts: dict[str, Any] = {
            "version": self.version,
            "rejected": self.rejected,
            "state": to_plain(self.state, "state", tensors, names),
            "moments": to_plain(self.moments, "moments", tensors, names),
            "bases": {
                str(version): to_plain(state, f"base.{version}.state", tensors, names)
                for version, (_, state) in self.bases.items()
            },
        }
        tensors |= {f"base.{version}": base for version, (base, _) in self.bases.items()}
        tensors |= {f"own.{client}": vector for client, vector in self.own.items()}
        tensors |= {f"before.{c}.{task}": vector for (c, task), vector in self.before.items()}
        for (client, task), result in self.results.items():
            loss = torch.tensor([result.loss], dtype=torch.float64)
            for part, tensor in zip(_RESULT, (result.vector, result.delta, loss), strict=True):
                tensors[f"result.{client}.{task}.{part}"] = tensor
        facts["latest"] = list(self.latest.items())
        facts["again"] = self.again
        facts["readings"] = [to_plain(value, "readings", {}, {}) for value in self.readings]
        if self.evaluation is not None:
            version, evaluation = self.evaluation
            facts["evaluation"] = [
                version,
                evaluation.accuracy,
                evaluation.loss,
                list(evaluation.class_accuracy),
                evaluation.squared_gradient_norm,
                dict(evaluation.metrics),
                {name: list(values) for name, values in evaluation.clients.items()},
            ]
        return facts, {name: tensor.detach().numpy() for name, tensor in tensors.items()}

    @classmethod
    def unpack(cls, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Snapshot:
        """The snapshot that `pack` has packed."""
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        state = _from_plain(facts["state"], tensors)
        moments = _from_plain(facts["moments"], tensors)
        snapshot = cls(facts["version"], tensors["vector"], state, moments)
        snapshot.rejected = facts["rejected"]
        for version, state in facts["bases"].items():
            base = tensors[f"base.{version}"]
            snapshot.bases[int(version)] = (base, _from_plain(state, tensors))
        for name, tensor in tensors.items():
            kind, *address = name.split(".")
            if kind == "own":
                snapshot.own[int(address[0])] = tensor
            elif kind == "before":
                snapshot.before[int(address[0]), int(address[1])] = tensor
            elif kind == "result" and address[2] == _RESULT[0]:
                vector, delta, loss = (
                    tensors[f"result.{address[0]}.{address[1]}.{part}"] for part in _RESULT
                )
                result = LocalResult(vector, delta, float(loss))
                snapshot.results[int(address[0]), int(address[1])] = result
        snapshot.latest = dict(facts.get("latest", ()))
        snapshot.again = [(client, task) for client, task in facts["again"]]
        snapshot.readings = [_from_plain(value, {}) for value in facts["readings"]]
        if "evaluation" in facts:
            version, accuracy, loss, by_class, norm, metrics, clients = facts["evaluation"]
            of_each = {name: tuple(values) for name, values in clients.items()}
            scores = Scores(accuracy, loss, tuple(by_class), norm, metrics, of_each)
            snapshot.evaluation = (version, scores)
        return snapshot


def to_plain(value: Any, name: str, tensors: dict[str, Tensor], names: dict[int, str]) -> Any:
    """A state as JSON, with its tensors stored under names in ``tensors``.

    A tensor that is stored already keeps its first name, since the states of successive versions
    share most of their tensors.
    """
    if isinstance(value, Tensor):
        known = names.setdefault(id(value), name)
        tensors[known] = value
        return {"tensor": known}
    if isinstance(value, Mapping):
        pairs = [
            [key, to_plain(item, f"{name}.{i}", tensors, names)]
            for i, (key, item) in enumerate(value.items())
        ]
        return {"dict": pairs}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        items = [to_plain(item, f"{name}.{i}", tensors, names) for i, item in enumerate(value)]
        return {kind: items}
    if value is None or isinstance(value, bool | int | float | str):
        return {"plain": value}
    raise StrategyError(
        f"the strategy's state holds a {type(value).__name__}, which a checkpoint cannot hold; "
        "expected tensors, numbers and strings in dicts, lists and tuples"
    )


def _from_plain(value: dict[str, Any], tensors: Mapping[str, Tensor]) -> Any:
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _from_plain(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_from_plain(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
