"""Samples of random content in the form of a data set, to try models on."""

from __future__ import annotations

from afl_sim.lazy import Tensor, torch
from afl_sim.learning.data.conversion import scaling_of
from afl_sim.learning.data.form import IGNORED, SampleForm, form_of
from afl_sim.scenario.sections.data import DataSpec

_LEFT_OUT = 0.1  # share of the positions without a label


def made_up(spec: DataSpec, count: int) -> tuple[Tensor, Tensor]:
    """Samples in the form of a scenario's data; images are normalised as the data set is.

    Returns:
        Inputs and labels, ``count`` of each, the same for the same spec.
    """
    form, draws = form_of(spec), torch.Generator().manual_seed(0)
    if not form.is_image:
        return made_up_in(form, count, draws)
    pixels = torch.randint(256, (count, *form.input_shape), generator=draws, dtype=torch.uint8)
    return scaling_of(spec, pixels, pixels).of(pixels), _labels(form, count, draws)


def made_up_in(form: SampleForm, count: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
    """Samples in a form: tokens, or numbers of mean 0 and variance 1.

    Returns:
        Inputs: int64 (count, length) of tokens, or float32 (count, ...). Labels: as in
        `SampleForm`; about a tenth of the positions has none, but never the first.
    """
    shape = (count, *form.input_shape)
    if form.vocabulary is not None:
        inputs = torch.randint(form.vocabulary, shape, generator=draws)
    else:
        inputs = torch.randn(shape, generator=draws)
    return inputs, _labels(form, count, draws)


def _labels(form: SampleForm, count: int, draws: torch.Generator) -> Tensor:
    if form.target == "number":
        return torch.randn(count, form.outputs, generator=draws)
    if form.target == "several":
        return torch.randint(2, (count, form.outputs), generator=draws).float()
    shape = (count, *form.input_shape[:1]) if form.target == "tokens" else (count,)
    labels = torch.randint(form.outputs, shape, generator=draws)
    if form.target == "tokens":
        out = torch.rand(shape, generator=draws) < _LEFT_OUT
        out[:, 0] = False
        labels[out] = IGNORED
    return labels
