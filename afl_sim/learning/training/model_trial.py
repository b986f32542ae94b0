"""A trial of a user's own model before a run: everything that the run will do with it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.batch_sizes import BatchSizes, sizes_to_try
from afl_sim.learning.models.global_draws import global_generators
from afl_sim.learning.models.local_state import LocalState
from afl_sim.learning.models.parameters import ParameterVector
from afl_sim.learning.training.full_gradient import FullGradient
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.streams import Streams
from afl_sim.user_code import reason, told

MOST_SAMPLES = 256  # in a batch that is tried; larger ones could only fail for lack of memory
_MODES = {False: "evaluation", True: "training"}


@dataclass(frozen=True)
class Demands:
    """What a run will do with a model.

    Attributes:
        settings: how clients train.
        holders: the sizes of their mini-batches, each with a client that has this size: its number
            and how many samples it holds. None if there are no clients.
        evaluated: sizes of the batches of evaluations.
        corrected: whether the strategy adds a correction to gradients.
        full_gradient: whether evaluations take the gradient over all samples.
    """

    settings: LocalSettings
    holders: Mapping[int, tuple[int, int] | None]
    evaluated: tuple[int, ...] = ()
    corrected: bool = False
    full_gradient: bool = False


def try_model(
    model: nn.Module, inputs: Tensor, labels: Tensor, classes: int, demands: Demands
) -> None:
    """Try a model on some samples.

    Args:
        model: it is restored afterwards.
        inputs: of N = `MOST_SAMPLES` samples, like those of the data set.
        labels: their labels, as `loss_of` takes them.
        classes: number of labels, or of outputs.
        demands: what the run will do with it.

    Raises:
        ScenarioError: it fails, it does not return a number for each sample and label, or its
            outputs depend on earlier calls.
    """
    with global_generators(0):
        trial = _Trial(model, inputs, labels, classes, demands)
        trial.check_batches()
        trial.check_memory(training=False)
        if demands.holders:
            trial.check_memory(training=True)
        trial.check_steps()
        trial.put_back()


class _Trial:
    def __init__(
        self, model: nn.Module, inputs: Tensor, labels: Tensor, classes: int, demands: Demands
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._labels = labels
        self._classes = classes
        self._of_classes = not labels.is_floating_point()
        self._demands = demands
        self._layout = ParameterVector(model)
        self._vector = self._layout.read(model)
        self._weights = dict(model.named_parameters())
        self._local_state = LocalState(model)
        self._trained = [size for size in demands.holders if size <= MOST_SAMPLES]
        if demands.holders and not self._trained:
            self._trained = [MOST_SAMPLES]  # a part of a batch

    def check_batches(self) -> None:
        """Try batches of two in evaluation mode, and the sizes of the run."""
        self._check_batch(2, False)
        for size in self._demands.evaluated:
            self._check_batch(size, False, ", as the last batch of an evaluation is")
        for size in sizes_to_try(self._trained, MOST_SAMPLES):
            holder, who = self._demands.holders.get(size), ""
            if holder is not None:
                who = f", as of client {holder[0]}, who holds {holder[1]} samples"
            self._check_batch(size, True, who)

    def _check_batch(self, size: int, training: bool, who: str = "") -> None:
        inputs, mode = self._inputs[:size], " in training mode" if training else ""
        outputs = self._call(inputs, training, anew=True, who=who)
        count = {1: "one input", 2: "two inputs"}.get(size, f"{size} inputs")
        wanted = self._wanted(size)
        expected = f"expected a tensor of {wanted}, a row for each"
        if not isinstance(outputs, Tensor):
            kind = type(outputs).__name__
            raise ScenarioError(f"model: it returns a {kind} for {count}{mode}; {expected}")
        found = tuple(outputs.shape)
        # Of classes, a model may have more outputs than the data has labels.
        enough = found[-1:] == wanted[-1:] or (self._of_classes and found[-1:] > wanted[-1:])
        if found[:-1] != wanted[:-1] or not enough:
            raise ScenarioError(
                f"model: it returns a tensor of {found} for {count}{mode}; {expected}"
            )

    def _wanted(self, size: int) -> tuple[int, ...]:
        """The shape of the outputs for a batch: of labels for positions, a row for each of them."""
        positions = self._labels.shape[1:] if self._of_classes else ()
        return (size, *positions, self._classes)

    def check_memory(self, training: bool) -> None:
        """Repeat a call, also after other calls, each from the initial state.

        The tasks that a process has done before depend on how the work is distributed.
        """
        inputs, others = self._inputs_for(training)
        alone = self._call(inputs, training, anew=True)
        drawn = _drawn()
        try:
            same = _same_bits(alone, self._call(inputs, training))
            if same:
                self._call(others, training, anew=True)
                self._call(self._inputs_for(not training)[1], not training)
                same = _same_bits(alone, self._call(inputs, training))
        except ScenarioError:  # what is kept does not even fit
            same = False
        if not same:
            raise ScenarioError(
                f"model: in {_MODES[training]} mode its outputs depend on earlier calls: "
                f"{self._what_is_kept(drawn)}"
            )

    def check_steps(self) -> None:
        """Two steps of local training, and what else takes gradients."""
        if not self._trained:
            return
        count, size = self._layout.num_parameters, self._trained[-1]
        settings = replace(
            self._demands.settings, device="cpu", batch_size=size, drop_last=False, batched=False
        )
        self.put_back()
        correction = torch.zeros(count) if self._demands.corrected else None
        anchor, shards = self._vector[:count], Everything(size)
        data = self._inputs[:size], self._labels[:size], shards, Streams(0)
        try:
            sizes = BatchSizes((size,), self._demands.evaluated)
            trainer = LocalTrainer(self._model, *data, settings, sizes)
            trainer.train(0, 0, 2, self._vector, anchor, 1.0, correction)
            if self._demands.full_gradient:
                FullGradient(trainer, shards, 1).squared_norm(self._vector)
        except Exception as error:
            raise ScenarioError(f"model: {self._why_no_step(error)}") from error

    def put_back(self) -> None:
        """Leave the model as it was."""
        self._local_state.put_back()
        self._layout.write(self._model, self._vector)
        self._model.zero_grad()

    def _why_no_step(self, error: Exception) -> str:
        settings = self._demands.settings
        for name, weight in self._weights.items():
            if weight.grad is not None and weight.grad.is_sparse:
                takers = {
                    f"training.optimizer {settings.optimizer.kind}": not settings.gradient,
                    "a strategy of gradients": settings.gradient,
                    "a proximal term": settings.proximal > 0,
                    "training.gradient_noise": settings.gradient_noise > 0,
                    "training.clip_norm": settings.clip_norm is not None,
                    "the strategy's correction": self._demands.corrected,
                    "evaluation.squared_gradient_norm": self._demands.full_gradient,
                }
                named = " or ".join(taker for taker, there in takers.items() if there)
                return (
                    f"parameter {name!r} has sparse gradients, which {named} cannot take "
                    f"({reason(error)}); expected sparse=False in its layer"
                )
        return f"a training step on {self._trained[-1]} inputs fails: {told(error)}"

    def _inputs_for(self, training: bool) -> tuple[Tensor, Tensor]:
        """Images for a batch in this mode, and equally many others."""
        size = min(self._trained[0], MOST_SAMPLES // 8) if training and self._trained else 2
        return self._inputs[:size], self._inputs[-size:]

    def _call(self, inputs: Tensor, training: bool, anew: bool = False, who: str = "") -> Any:
        """The outputs of the model for inputs, with its initial weights and buffers.

        Args:
            inputs: shape (N, C, H, W).
            training: whether the model is in training mode.
            anew: whether the attributes of its modules are restored, too.
            who: the owner of the batch, for the message.

        Raises:
            ScenarioError: the user's module raised something.
        """
        if anew:
            self._local_state.put_back()
        else:
            self._local_state.put_buffers_back()
        self._layout.write(self._model, self._vector)
        torch.manual_seed(0)
        try:
            with torch.set_grad_enabled(training):
                outputs = self._model.train(training)(inputs.clone())
        except Exception as error:  # it may be anything
            mode = " in training mode" if training else ""
            advice = "; expected another training.batch_size, or drop_last: true"
            raise ScenarioError(
                f"model: it fails{mode} on inputs of {tuple(inputs.shape)}{who}: {told(error)}"
                f"{advice if training and who else ''}"
            ) from error
        self._check_layout()
        return outputs

    def _check_layout(self) -> None:
        now = dict(self._model.named_parameters())
        for name in (*now, *self._weights):
            if now.get(name) is not self._weights.get(name):
                raise ScenarioError(
                    f"model: parameter {name!r} is made or replaced when the model is used, so "
                    "that it would never be trained; expected __init__ to make all parameters"
                )
        layout = ParameterVector(self._model)
        before = dict(zip(self._layout.names, self._layout.shapes, strict=True))
        after = dict(zip(layout.names, layout.shapes, strict=True))
        for name in (*after, *before):
            if after.get(name) != before.get(name):
                raise ScenarioError(
                    f"model: buffer {name!r} is made or gets another shape when the model is used, "
                    "so that it cannot be sent; expected one of a fixed shape, or persistent=False"
                )

    def _what_is_kept(self, drawn: object) -> str:
        changed = self._local_state.changed()
        if changed:
            return (
                f"{' and '.join(changed[:3])} {'have' if len(changed) > 1 else 'has'} changed; "
                "expected a registered buffer, or a model that keeps nothing"
            )
        if drawn != _drawn():
            return (
                "it draws from NumPy's or Python's global generator; expected PyTorch's, which is "
                "seeded for each task"
            )
        return "something outside its modules is kept; expected a model that keeps nothing"


class Everything:
    """A single client's samples."""

    def __init__(self, count: int) -> None:
        self._count = count

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return np.arange(self._count)


def _drawn() -> object:
    """The state of the global generators of NumPy and Python."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return kind, np.asarray(keys).tobytes(), rest, random.getstate()


def _same_bits(outputs: Tensor, others: Tensor) -> bool:
    alike = (outputs.shape, outputs.dtype) == (others.shape, others.dtype)
    first, second = (each.detach().contiguous().view(torch.uint8) for each in (outputs, others))
    return alike and torch.equal(first, second)
