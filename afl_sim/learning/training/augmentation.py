"""Random changes of the images of a mini-batch, drawn from the task's own stream.

The built-in changes draw for all images of a batch at once, and only move numbers about, so their
bits are the same on every machine. Transforms of torchvision get one image at a time, because they
would change all images of a batch alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from afl_sim.errors import ScenarioError
from afl_sim.lazy import F, Tensor, torch
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.global_draws import one_thread_draws
from afl_sim.scenario.sections.augmentation import (
    BUILT_IN,
    HorizontalFlip,
    RandomCrop,
    Transform,
    VerticalFlip,
)
from afl_sim.scenario.wording import hint
from afl_sim.user_code import reason

Change = Callable[[Tensor, np.random.Generator], Tensor]
Spec = RandomCrop | HorizontalFlip | VerticalFlip | Transform
_TRIED = 3  # images in a trial
_BORDERS = {"constant": "constant", "edge": "replicate", "reflect": "reflect"}


class Augmentation:
    """Changes of mini-batches, one after another.

    Args:
        specs: the scenario's ``training.augment``.

    Raises:
        ScenarioError: there is no such transform, or it does not take its arguments.
    """

    def __init__(self, specs: Sequence[Spec]) -> None:
        self._changes = [_change(spec, index) for index, spec in enumerate(specs)]

    def __call__(self, images: Tensor, draws: np.random.Generator) -> Tensor:
        """A changed batch.

        Args:
            images: float32 (batch, channels, height, width); not changed.
            draws: the task's generator (purpose "augment").
        """
        for change in self._changes:
            images = change(images, draws)
        return images


def check_augmentation(specs: Sequence[Spec], form: SampleForm) -> None:
    """Refuse changes that do not suit the samples.

    Raises:
        ScenarioError: the samples are no images, or a change fails or gives images of another form.
    """
    if not specs:
        return
    if not form.is_image:
        raise ScenarioError(
            f"training.augment: only images can be changed, but the inputs are {form.inputs}"
        )
    tried = [(index, spec) for index, spec in enumerate(specs) if not _suits(spec, form)]
    if not tried:
        return
    images = torch.rand(_TRIED, *form.input_shape, generator=torch.Generator().manual_seed(0))
    for index, spec in tried:
        where = f"training.augment.{index}: {spec.kind}"
        change = _change(spec, index)
        try:
            changed = change(images, np.random.default_rng(0))
        except Exception as error:  # a transform may raise anything
            raise ScenarioError(f"{where} fails on {form.inputs}: {reason(error)}") from error
        if changed.shape != images.shape or changed.dtype != torch.float32:
            found = "x".join(map(str, changed.shape[1:]))
            raise ScenarioError(
                f"{where} makes {found} images of {changed.dtype} out of {form.inputs}; expected "
                "the same size, and float32"
            )


def _suits(spec: Spec, form: SampleForm) -> bool:
    """Whether a change is known to suit images of this form, so that PyTorch need not try it."""
    if isinstance(spec, RandomCrop):
        return spec.padding < min(form.input_shape[-2:])
    return not isinstance(spec, Transform)


def _change(spec: Spec, index: int) -> Change:
    if isinstance(spec, RandomCrop):
        return _Crop(spec.padding, _BORDERS[spec.border])
    if isinstance(spec, HorizontalFlip):
        return _Flip(spec.p, 3)
    if isinstance(spec, VerticalFlip):
        return _Flip(spec.p, 2)
    return _OneByOne(_transform(spec, f"training.augment.{index}"))


class _Crop:
    def __init__(self, padding: int, mode: str) -> None:
        self._padding = padding
        self._mode = mode

    def __call__(self, images: Tensor, draws: np.random.Generator) -> Tensor:
        count, _, height, width = images.shape
        wide = F.pad(images, (self._padding,) * 4, mode=self._mode)
        start = draws.integers(2 * self._padding + 1, size=(2, count))
        down, right = torch.from_numpy(start).to(images.device)
        rows = down[:, None] + torch.arange(height, device=images.device)
        columns = right[:, None] + torch.arange(width, device=images.device)
        which = torch.arange(count, device=images.device)[:, None, None]
        kept = wide[which, :, rows[:, :, None], columns[:, None, :]]
        return kept.permute(0, 3, 1, 2).contiguous()


class _Flip:
    def __init__(self, p: float, axis: int) -> None:
        self._p = p
        self._axis = axis

    def __call__(self, images: Tensor, draws: np.random.Generator) -> Tensor:
        mirrored = torch.from_numpy(draws.random(len(images)) < self._p).to(images.device)
        return torch.where(mirrored[:, None, None, None], images.flip(self._axis), images)


class _OneByOne:
    """A transform that draws from PyTorch's global generator, which is restored afterwards."""

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        self._transform = transform

    def __call__(self, images: Tensor, draws: np.random.Generator) -> Tensor:
        seed = int(draws.integers(2**63))
        with one_thread_draws, torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return torch.stack([self._transform(image) for image in images])


def _transform(spec: Transform, where: str) -> Callable[[Tensor], Tensor]:
    import torchvision.transforms.v2 as known

    kinds = [name for name, value in vars(known).items() if isinstance(value, type)]
    if spec.kind not in kinds:
        nearest = hint(spec.kind, [*BUILT_IN, *kinds])
        raise ScenarioError(
            f"{where}.kind: torchvision.transforms.v2 has no {spec.kind}; expected one of its "
            f"classes, or {', '.join(BUILT_IN)}{nearest}"
        )
    arguments: dict[str, Any] = dict(spec.model_extra or {})
    try:
        transform: Callable[[Tensor], Tensor] = getattr(known, spec.kind)(**arguments)
    except Exception as error:
        raise ScenarioError(
            f"{where}: {spec.kind} refuses its settings: {reason(error)}"
        ) from error
    return transform
