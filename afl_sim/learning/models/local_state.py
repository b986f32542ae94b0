"""The state of a model that is never sent, and so must not survive from task to task."""

from __future__ import annotations

import copy
import pickle
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from afl_sim.learning.models.few_channels import is_watched
from afl_sim.learning.models.parameters import travels

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))
_ABSENT = object()


class LocalState:
    """Everything in a model except its vector, as it was when the model was built.

    These are integer and non-persistent buffers, and the Python attributes of modules. A process
    uses one model object for all tasks that it gets. If the model kept something from a task, the
    results would depend on which tasks the process had done before.

    An attribute that cannot be copied is left alone.
    """

    def __init__(self, model: nn.Module) -> None:
        self._buffers = [
            (module._buffers, name, None if buffer is None else buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is None or not travels(module, name, buffer)
        ]
        self._modules: list[_Attributes] = []
        self._model_itself: dict[int, Any] = {}  # is never copied
        if runs_foreign_code(model):  # PyTorch's own layers keep nothing
            self._model_itself = {id(part): part for part in _parts(model)}
            memo = {**self._model_itself}
            named = model.named_modules()
            self._modules = [_Attributes(name, module, memo) for name, module in named]

    def put_back(self) -> None:
        """Restore the initial state, also where the model has replaced tensors by others."""
        self.put_buffers_back()
        memo = {**self._model_itself}
        for attributes in self._modules:
            attributes.put_back(memo)

    def put_buffers_back(self) -> None:
        """Like `put_back`, but leave attributes as they are."""
        for buffers, name, fresh in self._buffers:
            now = buffers.get(name)
            if now is not None and fresh is not None and _refilled(now, fresh):
                continue
            buffers[name] = None if fresh is None else fresh.clone()

    def changed(self) -> list[str]:
        """The attributes that have changed, each with its layer."""
        return [
            f"{attribute!r} of {module.who}"
            for module in self._modules
            for attribute in module.changed()
        ]


def tensors_in(value: Any, around: frozenset[int] = frozenset()) -> Iterator[Tensor]:
    """The tensors in an attribute, or in lists, tuples and dicts of one.

    Args:
        value: the attribute's value.
        around: identities of the containers around it, so that cycles end.
    """
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple) and id(value) not in around:
        for part in value.values() if isinstance(value, dict) else value:
            yield from tensors_in(part, around | {id(value)})


def _parts(model: nn.Module) -> Iterator[nn.Module | Tensor]:
    """Modules, parameters and buffers, and attributes that are views of these."""
    tensors = (*model.parameters(), *model.buffers())
    yield from model.modules()
    yield from tensors
    places = {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}
    for module in model.modules():
        for tensor in tensors_in(vars(module)):
            if tensor.numel() and tensor.untyped_storage().data_ptr() in places:
                yield tensor


def runs_foreign_code(model: nn.Module) -> bool:
    """Whether a pass through the model runs any code other than PyTorch's and ours."""
    return any(
        not type(module).__module__.startswith(("torch.", "afl_sim.")) or is_watched(module)
        for module in model.modules()
    )


@dataclass(frozen=True, slots=True)
class _Kept:
    """An attribute's value, with a copy of its content if the value can be changed in place."""

    value: Any
    content: Any = _ABSENT


class _Attributes:
    """The attributes of a module that PyTorch does not manage."""

    def __init__(self, name: str, module: nn.Module, memo: dict[int, Any]) -> None:
        kind = type(module).__name__
        self.who = f"layer {name} ({kind})" if name else f"the model ({kind})"
        self._now = vars(module)
        self._kept: dict[str, _Kept] = {}
        for attribute in self._own():
            value = self._now[attribute]
            try:
                content = copy.deepcopy(value, memo)
            except Exception:  # a lock, an open file, a tensor with a history
                content = value
            whole = content is not value and type(content) is type(value)
            self._kept[attribute] = _Kept(value, content) if whole else _Kept(value)

    def put_back(self, memo: dict[int, Any]) -> None:
        for attribute in [name for name in self._own() if name not in self._kept]:
            del self._now[attribute]
        for attribute, kept in self._kept.items():
            value = kept.value
            if kept.content is not _ABSENT:
                fresh = copy.deepcopy(kept.content, memo)
                # In place, since a hook or another module may hold it too.
                value = value if _refilled(value, fresh) else fresh
            if self._now.get(attribute, _ABSENT) is not value:
                self._now[attribute] = value

    def changed(self) -> Iterator[str]:
        """Attributes that are new, missing, or have another value."""
        for attribute in self._own():
            if attribute not in self._kept:
                yield attribute
        for attribute, kept in self._kept.items():
            now = self._now.get(attribute, _ABSENT)
            before = kept.value if kept.content is _ABSENT else kept.content
            with suppress(RecursionError):  # a value that contains itself counts as unchanged
                if now is not before and not _equal(now, before):
                    yield attribute

    def _own(self) -> list[str]:
        return [name for name in self._now if name not in _OF_EVERY_MODULE]


def _refilled(value: Any, fresh: Any) -> bool:
    """Whether the content of ``fresh`` could be put into ``value``."""
    if isinstance(value, Tensor):
        if (value.shape, value.dtype) != (fresh.shape, fresh.dtype):
            return False
        try:
            with torch.no_grad():
                value.copy_(fresh)
        except RuntimeError:  # an expanded view cannot be written to
            return False
    elif isinstance(value, np.ndarray):
        if (value.shape, value.dtype) != (fresh.shape, fresh.dtype) or not value.flags.writeable:
            return False
        value[...] = fresh
    elif isinstance(value, list | deque):
        value.clear()
        value.extend(fresh)
    elif isinstance(value, dict | set):
        value.clear()
        value.update(fresh)
    elif type(value).__module__ != "builtins" and hasattr(value, "__dict__"):
        vars(value).clear()
        vars(value).update(vars(fresh))
    else:
        return False
    return True


def _equal(value: Any, other: Any) -> bool:
    """Whether two values are equal, as far as this can be known."""
    if type(value) is not type(other):
        return False
    if isinstance(value, Tensor):
        alike = (value.shape, value.dtype) == (other.shape, other.dtype)
        return alike and torch.equal(value, other)
    if isinstance(value, torch.Generator):
        return torch.equal(value.get_state(), other.get_state())
    if isinstance(value, np.ndarray):
        return bool(np.array_equal(value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_equal(value[k], other[k]) for k in value)
    if isinstance(value, list | tuple | deque):
        return len(value) == len(other) and all(map(_equal, value, other))
    if hasattr(value, "__dict__") and not callable(value):
        return _equal(vars(value), vars(other))
    try:
        if "__eq__" not in {
            name for base in type(value).__mro__[:-1] for name in vars(base)
        }:  # NumPy's generators, for one
            return value is other or pickle.dumps(value) == pickle.dumps(other)
        return bool(value == other)
    except Exception:  # equality cannot be known
        return True
