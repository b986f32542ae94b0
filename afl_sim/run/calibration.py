"""Measures how long this machine takes to train a sample.

This is the only place where wall time becomes virtual time.
"""

from __future__ import annotations

import csv
import io
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from afl_sim.errors import InputError
from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.batch_sizes import BatchSizes
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.factories import resolve_model
from afl_sim.learning.models.model_checks import check_parameters, check_tensors
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.model_trial import MOST_SAMPLES, Demands, try_model
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.scenario.sections.data import DATASETS
from afl_sim.scenario.wording import hint
from afl_sim.streams import Streams

_ENOUGH = 0.05  # seconds: a shorter repeat would be too short for the clock's resolution


@dataclass(frozen=True)
class Calibration:
    """Measured times of one model.

    Attributes:
        model: its kind.
        batch_size: samples in a local step.
        seconds_per_sample: the median of the repeats.
        fastest, slowest: the fastest and the slowest repeat, in seconds per sample.
        repeats: number of repeats.
    """

    model: str
    batch_size: int
    seconds_per_sample: float
    fastest: float
    slowest: float
    repeats: int


@dataclass(frozen=True)
class _One:
    """The samples of a single client."""

    count: int

    def indices(self, client: int) -> npt.NDArray[np.int64]:
        return np.arange(self.count)


def calibrate(
    model: str, dataset: str = "mnist", batch_size: int = 32, repeats: int = 9
) -> Calibration:
    """Measure the local training of a model in one thread, on random samples.

    Args:
        model: its kind, with default settings, or ``package.module:factory``.
        dataset: the samples have its shape and its number of classes.
        batch_size: samples in a local step.
        repeats: number of measurements, after a first one that is not counted.

    Raises:
        InputError: there is no such model or data set, or the model cannot be trained on it.
    """
    _check(model, dataset, batch_size, repeats)
    info = DATASETS[dataset]
    form = SampleForm(info.input_shape, info.classes)
    spec = _spec(model)
    network = build_model(spec, form, 0)
    check_parameters(network.named_parameters())
    check_tensors(network)
    settings = LocalSettings(OPTIMIZERS["SGD"].model_validate({"lr": 0.01}), batch_size)
    generator = torch.Generator().manual_seed(0)
    samples = 4 * batch_size
    inputs = torch.randn(samples, *info.input_shape, generator=generator)
    labels = torch.randint(info.classes, (samples,), generator=generator)
    with deterministic():
        if spec.tried:
            tried = inputs[:MOST_SAMPLES], labels[:MOST_SAMPLES]
            try_model(network, *tried, form, Demands(settings, {batch_size: None}))
        data = inputs, labels, _One(samples)
        sizes = BatchSizes((batch_size,))
        trainer = LocalTrainer(network, *data, Streams(0), settings, sizes)
        start = trainer.layout.read(network)
        anchor = start[: trainer.layout.num_parameters]

        def seconds(steps: int) -> float:
            began = perf_counter()
            trainer.train(0, 0, steps, start, anchor, 1.0)
            return perf_counter() - began

        steps = 4
        while (took := seconds(steps)) < _ENOUGH:
            steps = max(2 * steps, int(steps * _ENOUGH / max(took, 1e-6)))
        each = sorted(seconds(steps) / (steps * batch_size) for _ in range(repeats))
    return Calibration(model, batch_size, statistics.median(each), each[0], each[-1], repeats)


def trace_of(found: Sequence[Calibration]) -> str:
    """The measurements as a device trace in CSV, with a row for each model."""
    device = platform.machine() or "this machine"
    text = io.StringIO()
    columns = ("model", "batch_size", "seconds_per_sample", "fastest", "slowest", "repeats")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("device", *columns))
    for row in found:
        numbers: list[Any] = [getattr(row, name) for name in columns]
        writer.writerow([device, *(f"{n:.6g}" if isinstance(n, float) else n for n in numbers)])
    return text.getvalue()


def _spec(model: str) -> ModelSpec:
    kind = MODELS.get(model) or resolve_model(model)
    try:
        return kind.model_validate({"kind": model})
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"{why}; expected a model that needs no settings") from error


def _check(model: str, dataset: str, batch_size: int, repeats: int) -> None:
    if model not in MODELS and ":" not in model:
        raise InputError(
            f"there is no model {model!r}; expected one of {', '.join(MODELS)}, or "
            f"package.module:factory{hint(model, MODELS)}"
        )
    if dataset not in DATASETS:
        raise InputError(
            f"--dataset: there is no data set {dataset!r}; expected one of "
            f"{', '.join(DATASETS)}{hint(dataset, DATASETS)}"
        )
    for name, value in (("--batch-size", batch_size), ("--repeats", repeats)):
        if value < 1:
            raise InputError(f"{name}: got {value}; expected 1 or more")
