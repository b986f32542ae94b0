"""How every client trains."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.learning.training.augmentation import Spec
from afl_sim.learning.training.optimizers import OptimizerSpec
from afl_sim.scenario.sections.losses import Huber, Loss


@dataclass(frozen=True)
class LocalSettings:
    """How every client trains.

    Attributes:
        optimizer: the local optimizer; each task gets a new one.
        batch_size: samples per mini-batch; None for all of the client's data.
        loss: the scenario's ``training.loss``, of which `loss_of` makes a function.
        shuffle: visit the data in a new random order in each pass.
        drop_last: skip the last, smaller mini-batch of a pass.
        clip_norm: largest gradient norm, or None.
        proximal: mu of the proximal term ``mu/2 ||w - w_global||^2``.
        gradient: return -g at the starting point (the mean over the task's mini-batches, each
            sample counting once) instead of training.
        precision: of the forward passes, in evaluations too: float32 or bf16.
        device: where models are trained and evaluated: cpu or cuda.
        gradient_noise: standard deviation of the noise added to each entry of a step's gradient.
        batched: whether models are stacked, and trained by a `BatchedTrainer`.
        augment: the changes of mini-batches (`Augmentation`).
        portable: whether the arithmetic is portable, so that its bits are the same on every
            machine.
        shared_noise: whether all entries of a gradient get the same noise.
    """

    optimizer: OptimizerSpec
    batch_size: int | None = 32
    loss: str | Huber | Loss = "cross_entropy"
    shuffle: bool = True
    drop_last: bool = False
    clip_norm: float | None = None
    proximal: float = 0.0
    gradient: bool = False
    precision: str = "float32"
    device: str = "cpu"
    gradient_noise: float = 0.0
    batched: bool = False
    augment: tuple[Spec, ...] = ()
    portable: bool = False
    shared_noise: bool = False
