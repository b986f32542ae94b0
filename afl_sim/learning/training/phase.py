"""How a part of a task's training differs from the ordinary training of a task."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import OptimizerSpec


@dataclass(frozen=True, eq=False)
class Fresh:
    """A newer global model, which a client merges into its own during a task.

    Attributes:
        after: the local steps that it has done by then, at least one.
        model: its first P entries are the model's parameters; its buffers are not used.
        weight: b: the client's parameters w become (1 - b) w + b ``model``.
    """

    after: int
    model: Tensor
    weight: float


@dataclass(frozen=True)
class Phase:
    """What differs from the ordinary training of a task.

    Attributes:
        purpose: names the streams of its random draws; empty for those of a task.
        trained: for each parameter, whether it is trained; the others keep their values, and their
            gradients do not count in ``clip_norm``. None: all are trained.
        pulled: for each parameter, whether the proximal term pulls it. None: it pulls all.
        proximal: the weight of the proximal term; None: that of the settings.
        proximal_factor: a factor on the weight of the settings.
        optimizer: None: that of the settings.
        fresh: merged into the model on the way; None: nothing is.
    """

    purpose: str = ""
    trained: tuple[bool, ...] | None = None
    pulled: tuple[bool, ...] | None = None
    proximal: float | None = None
    proximal_factor: float = 1.0
    optimizer: OptimizerSpec | None = None
    fresh: Fresh | None = None

    def pull(self, proximal: float) -> float:
        """The weight of the proximal term, where ``proximal`` is that of the settings."""
        return proximal * self.proximal_factor if self.proximal is None else self.proximal

    def stream(self, name: str) -> str:
        """The stream of the phase for what is ``name`` in a task."""
        return f"{self.purpose}.{name}" if self.purpose else name


ORDINARY = Phase()
