"""Local training of many clients at once: their models are stacked and share one pass.

Every parameter has a leading axis with a row for each client, and `torch.func.vmap` maps the model
over it. Losses, gradients, clipping and proximal terms are separate for each row, and so is any
optimizer that treats each entry of a tensor by itself. Stacked products are summed in another order
than single ones. So the bits differ from those of exact training, and depend on the number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from afl_sim.learning.training.local_result import LocalResult
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.stack import Stack


@dataclass(frozen=True, eq=False)
class LocalTask:
    """One client's part of a group.

    Attributes:
        client, task: the address of the task's randomness.
        steps: mini-batches to process.
        start: shape (P + B,): where the client begins.
        anchor: shape (P,): the global model that the proximal term pulls towards.
        correction: shape (P,): added to every gradient, or None.
        proximal_factor: a factor on the weight of the proximal term.
    """

    client: int
    task: int
    steps: int
    start: Tensor
    anchor: Tensor
    correction: Tensor | None = None
    proximal_factor: float = 1.0


class BatchedTrainer:
    """Trains groups of tasks, with the data and settings of a `LocalTrainer`.

    In each step, smaller mini-batches are filled up to the largest with samples of weight 0. A
    client leaves the stack when its steps are done.
    """

    def __init__(self, trainer: LocalTrainer) -> None:
        self.layout = trainer.layout
        self.learning_rate = trainer.learning_rate
        self._trainer = trainer

    @property
    def alone(self) -> LocalTrainer:
        """The trainer of single tasks, whose data and settings these are."""
        return self._trainer

    def train(self, tasks: Sequence[LocalTask], lr_factor: float) -> list[LocalResult]:
        """Do tasks together; the results are in the order of the tasks.

        Args:
            tasks: what to do.
            lr_factor: a factor on the optimizer's learning rate, for all of them.
        """
        results: dict[LocalTask, LocalResult] = {}
        for task in tasks:
            if task.steps == 0:
                nothing = torch.zeros_like(task.anchor)
                results[task] = LocalResult(task.start, nothing, float("nan"))
        # The longest first, so that those that are done are at the end of the stack.
        running = sorted((task for task in tasks if task.steps), key=lambda task: -task.steps)
        if running:
            self._run(running, lr_factor, results)
        return [results[task] for task in tasks]

    def _run(
        self, running: list[LocalTask], lr_factor: float, results: dict[LocalTask, LocalResult]
    ) -> None:
        trainer = self._trainer
        trainer.forget()
        trainer.model.train()
        stack = Stack(trainer.model, self.layout, [task.start for task in running])
        work: Descent | MeanGradient
        if trainer.settings.gradient:
            work = MeanGradient(stack, trainer)
        else:
            work = Descent(stack, trainer, running, lr_factor)
        batches = [trainer.batch_indices(task.client, task.task, task.steps) for task in running]
        noisy = running if trainer.settings.gradient_noise else []
        noises = [trainer.noise(task.client, task.task) for task in noisy]
        total = torch.zeros(len(running), device=trainer.device)
        seen: list[float] = [0] * len(running)
        for done in range(1, running[0].steps + 1):
            visits = [next(batch) for batch in batches]
            sizes = torch.tensor([len(visit) for visit in visits])
            losses, amounts = self._losses(stack, visits, sizes)
            counts = amounts.to(trainer.device)
            work.step(losses, counts, [next(noise) for noise in noises])
            total += losses.detach() * counts
            seen = [before + now for before, now in zip(seen, amounts.tolist(), strict=True)]
            staying = sum(task.steps > done for task in running)
            if staying == len(running):
                continue
            for row in range(staying, len(running)):
                amount = seen[row] or 1  # none of its samples has a label
                end, delta = work.result(row, running[row], amount)
                results[running[row]] = LocalResult(end, delta, float(total[row]) / amount)
            work.keep(staying)
            running, batches = running[:staying], batches[:staying]
            noises = noises[:staying]
            total, seen = total[:staying], seen[:staying]

    def _losses(self, stack: Stack, visits: list[Tensor], sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Each row's mean loss over its mini-batch, and what it is taken over, both (rows,)."""
        # The client's own first sample fills up, because it is in its batch anyway.
        width = int(sizes.max())
        indices = torch.stack([F.pad(v, (0, width - len(v)), value=int(v[0])) for v in visits])
        filled = torch.arange(width) < sizes[:, None]
        trainer, rows = self._trainer, indices.flatten()
        inputs, labels = trainer.samples(rows)
        with trainer.arithmetic:
            outputs = stack.outputs(inputs.unflatten(0, indices.shape))
        losses = trainer.loss.sums(outputs.flatten(0, 1).float(), labels).view(indices.shape)
        weights, amounts = filled / sizes[:, None], sizes
        counting = trainer.weights_of(rows)
        if counting is not None or trainer.loss.parts is not None:
            shares = trainer.loss.shares(labels, counting).cpu().view(indices.shape) * filled
            amounts = shares.sum(1)
            factors = filled if counting is None else counting.cpu().view(indices.shape) * filled
            weights = factors / torch.where(amounts == 0, 1, amounts)[:, None]
        return (losses * weights.to(trainer.device)).sum(1), amounts


class Descent:
    """Steps of the optimizer, on all rows at once."""

    def __init__(
        self, stack: Stack, trainer: LocalTrainer, tasks: Sequence[LocalTask], lr_factor: float
    ) -> None:
        settings = trainer.settings
        self._stack = stack
        self._stepper = partial(settings.optimizer.stepper, lr_factor=lr_factor)
        self._optimizer: Any = self._stepper(stack.parameters)
        self._clip_norm = settings.clip_norm
        self._pull = settings.proximal
        self._anchors: Sequence[Tensor] = []
        self._shifts: Sequence[Tensor] = []
        # Shape (rows,); None if all are 1.
        self._factors: Tensor | None = None
        if any(task.proximal_factor != 1.0 for task in tasks):
            factors = [task.proximal_factor for task in tasks]
            self._factors = torch.tensor(factors, device=trainer.device)
        if self._pull:
            self._anchors = stack.like_parameters([task.anchor for task in tasks])
        if any(task.correction is not None for task in tasks):
            self._shifts = stack.like_parameters(
                [
                    torch.zeros_like(task.anchor) if task.correction is None else task.correction
                    for task in tasks
                ]
            )

    def step(self, losses: Tensor, sizes: Tensor, noise: Sequence[Tensor]) -> None:
        """Move every row's model along the gradient of its loss.

        Args:
            losses: shape (rows,): the mean loss over each row's mini-batch.
            sizes: shape (rows,): what that mean is taken over, such as samples.
            noise: for each row what is added to its gradient, shape (P,); or nothing.
        """
        parameters = self._stack.parameters
        # Two parameters may get the same gradient object, so nothing is changed in place.
        gradients = self._stack.gradients(losses.sum())
        if self._pull:
            gradients = [
                g if g is None else g.add(self._scaled(p.detach() - anchor), alpha=self._pull)
                for p, g, anchor in zip(parameters, gradients, self._anchors, strict=True)
            ]
        if noise:
            gradients = [
                g if g is None else g + part
                for g, part in zip(gradients, self._stack.like_parameters(noise), strict=True)
            ]
        if self._shifts:
            gradients = [
                (shift.clone() if g is None else g + shift) if p.requires_grad else None
                for p, g, shift in zip(parameters, gradients, self._shifts, strict=True)
            ]
        if self._clip_norm is not None:
            gradients = clipped(gradients, torch.full_like(losses, self._clip_norm))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()

    def _scaled(self, distances: Tensor) -> Tensor:
        """Every row's distance from its anchor, times its own factor."""
        if self._factors is None:
            return distances
        return distances * along_rows(self._factors, distances)

    def result(self, row: int, task: LocalTask, amount: float) -> tuple[Tensor, Tensor]:
        """The row's model (P + B,), and the change of its parameters (P,)."""
        end, count = self._stack.vector(row), len(task.anchor)
        return end, end[:count] - task.start[:count]

    def keep(self, rows: int) -> None:
        """Let go of all but the first rows."""
        before, optimizer = self._stack.parameters, self._optimizer
        self._stack.keep(rows)
        self._anchors = [anchor[:rows] for anchor in self._anchors]
        self._factors = None if self._factors is None else self._factors[:rows]
        self._shifts = [shift[:rows] for shift in self._shifts]
        self._optimizer = self._stepper(self._stack.parameters)
        if isinstance(optimizer, torch.optim.Optimizer):
            state: dict[Tensor, dict[str, Any]] = self._optimizer.state
            for old, new in zip(before, self._stack.parameters, strict=True):
                if old in optimizer.state:
                    state[new] = {
                        name: _first_rows(value, rows, old.shape)
                        for name, value in optimizer.state[old].items()
                    }


def _first_rows(value: Any, rows: int, shape: torch.Size) -> Any:
    """The part of an optimizer's state that belongs to the first rows of a parameter."""
    return value[:rows] if isinstance(value, Tensor) and value.shape == shape else value


class MeanGradient:
    """No step: gradients at the starting points, added up."""

    def __init__(self, stack: Stack, trainer: LocalTrainer) -> None:
        self._stack = stack
        self._clip_norm = trainer.settings.clip_norm
        self._sums = [torch.zeros_like(parameter) for parameter in stack.parameters]

    def step(self, losses: Tensor, sizes: Tensor, noise: Sequence[Tensor]) -> None:
        """Add each row's gradient, every part of it counting once; arguments as `Descent.step`."""
        gradients = self._stack.gradients((losses * sizes).sum())
        for total, gradient in zip(self._sums, gradients, strict=True):
            if gradient is not None:
                total.add_(gradient)
        if noise:
            parts = self._stack.like_parameters(noise)
            for total, gradient, part in zip(self._sums, gradients, parts, strict=True):
                if gradient is not None:
                    total.add_(part * along_rows(sizes, part))

    def result(self, row: int, task: LocalTask, amount: float) -> tuple[Tensor, Tensor]:
        """The model (P + B,) where the gradient was taken, and -g (P,)."""
        sums: list[Tensor | None] = [total[row : row + 1] for total in self._sums]
        if self._clip_norm is not None:
            limits = torch.tensor([self._clip_norm * amount], device=self._stack.device)
            sums = clipped(sums, limits)
        gradient = torch.cat([total.reshape(-1) for total in sums if total is not None]).cpu()
        count = len(gradient)
        end = torch.cat([task.start[:count], self._stack.vector(row)[count:]])
        delta = gradient / -amount
        return end, delta if task.correction is None else delta - task.correction

    def keep(self, rows: int) -> None:
        """Let go of all but the first rows."""
        self._sums = [total[:rows] for total in self._sums]
        self._stack.keep(rows)


def clipped(gradients: Sequence[Tensor | None], limits: Tensor) -> list[Tensor | None]:
    """Gradients whose rows are scaled to a norm of at most ``limits``, shape (rows,).

    `torch.nn.utils.clip_grad_norm_` does the same for one model.
    """
    norms = [
        torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients if g is not None
    ]
    norm = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factors = (limits / (norm + 1e-6)).clamp(max=1.0)
    return [g if g is None else g * along_rows(factors, g) for g in gradients]


def along_rows(values: Tensor, like: Tensor) -> Tensor:
    """Values of shape (rows,), reshaped so that each applies to one row of ``like``."""
    return values.view(-1, *[1] * (like.dim() - 1))
