"""Finds what in a model, or in its training, has no portable arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from afl_sim.learning.data.batch_sizes import BatchSizes
from afl_sim.learning.models.global_draws import global_generators
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.losses import loss_of
from afl_sim.learning.training.model_trial import Demands, Everything
from afl_sim.portable.block import arithmetic_of
from afl_sim.portable.mode import NotPortable
from afl_sim.scenario.sections.losses import Huber, Loss
from afl_sim.streams import Streams


def first_obstacle(
    build: Callable[[], nn.Module], inputs: Tensor, labels: Tensor, classes: int, demands: Demands
) -> str | None:
    """What of a model is not portable, in words: its first layer, or what trains it; else None.

    The model is built, does two steps of training and is evaluated. Another error than a lack of
    portable arithmetic is no obstacle; it shows when the run is prepared.

    Args:
        build: makes the model.
        inputs: shape (N, C, H, W); labels: shape (N,): a batch.
        classes: number of labels.
        demands: what the run does with the model; sizes of batches do not count.
    """
    with global_generators(0), arithmetic_of(portable=True):
        try:
            model = build()
        except NotPortable as error:
            return f"its initialisation uses {error}"
        except Exception:
            return None
        layers: _Layers | None = None
        try:
            layers = _Layers(model)
            _pass(model, inputs, labels, demands.settings.loss)
        except NotPortable as error:
            assert layers is not None
            place = layers.entered() or layers.first_in_backward()
            return f"{place or type(model).__qualname__} uses {error}"
        except Exception:
            return None
        finally:
            if layers is not None:
                layers.leave()
        try:
            _train(model, inputs, labels, classes, demands)
        except NotPortable as error:
            return f"its training with {demands.settings.optimizer.kind} uses {error}"
        except Exception:
            return None
    return None


def _pass(model: nn.Module, inputs: Tensor, labels: Tensor, loss: str | Huber | Loss) -> None:
    """Forward in both modes, and backward."""
    with torch.no_grad():
        model.eval()(inputs.clone())
    loss_of(loss, labels)(model.train()(inputs.clone()).float(), labels).backward()


def _train(
    model: nn.Module, inputs: Tensor, labels: Tensor, classes: int, demands: Demands
) -> None:
    size = len(labels)
    settings = replace(demands.settings, batch_size=size, drop_last=False, portable=True)
    layout = ParameterVector(model)
    vector, count = layout.read(model), layout.num_parameters
    correction = torch.zeros(count) if demands.corrected else None
    shards = Everything(size)
    trainer = LocalTrainer(
        model, inputs, labels, shards, Streams(0), settings, BatchSizes((size,), (size,))
    )
    trainer.train(0, 0, 2, vector, vector[:count], 1.0, correction)
    gradient = FullGradient(trainer, shards, 1) if demands.full_gradient else None
    Evaluator(trainer, inputs, labels, classes, settings.loss, gradient).evaluate(vector)


class _Layers:
    """Notes which module of a model is at work, and what each module was given.

    Args:
        model: gets hooks, until `leave`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._inside: list[str] = []
        self._given: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {}
        self._hooks = []
        for name, module in model.named_modules():
            if not name:
                continue
            words = f"layer {name!r} ({type(module).__name__})"
            enter, leave = self._enter(words), self._leave
            self._hooks.append(module.register_forward_pre_hook(enter))
            self._hooks.append(module.register_forward_hook(leave))

    def entered(self) -> str | None:
        """The innermost module that was entered and not left."""
        return self._inside[-1] if self._inside else None

    def first_in_backward(self) -> str | None:
        """The first layer, in the order of the forward pass, whose backward pass fails alone."""
        self.leave()
        for words, (module, given) in self._given.items():
            if next(module.children(), None) is not None:
                continue
            inputs = [
                part.detach().requires_grad_(part.is_floating_point())
                if isinstance(part, Tensor)
                else part
                for part in given
            ]
            try:
                out = module(*inputs)
                _first_tensor(out).sum().backward()
            except NotPortable:
                return words
            except Exception:
                continue
        return None

    def leave(self) -> None:
        """Remove the hooks."""
        while self._hooks:
            self._hooks.pop().remove()

    def _enter(self, words: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def enter(module: nn.Module, given: tuple[Any, ...]) -> None:
            self._inside.append(words)
            self._given[words] = (module, given)

        return enter

    def _leave(self, module: nn.Module, given: tuple[Any, ...], out: Any) -> None:
        self._inside.pop()


def _first_tensor(out: Any) -> Tensor:
    while not isinstance(out, Tensor):
        out = out[0]
    return out
