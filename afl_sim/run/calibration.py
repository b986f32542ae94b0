"""Measures how long this machine takes to train a sample.

This is the only place where wall time becomes virtual time.
"""

from __future__ import annotations

import csv
import io
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError

from afl_sim.errors import InputError, ScenarioError
from afl_sim.execution.numerics import deterministic
from afl_sim.learning.data.batch_sizes import BatchSizes
from afl_sim.learning.data.form import SampleForm, form_of
from afl_sim.learning.data.made_up import made_up, made_up_in
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.factories import resolve_model
from afl_sim.learning.models.model_checks import check_parameters, check_tensors
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.learning.training.local_settings import LocalSettings
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.learning.training.model_trial import MOST_SAMPLES, Demands, try_model
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.run.kinds import settings_of
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.data import DATASETS
from afl_sim.scenario.sections.losses import FITS
from afl_sim.scenario.wording import hint, show
from afl_sim.scenario.yaml.nodes import Unreadable, compose, plain
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
    model: str | Mapping[str, Any] | None = None,
    dataset: str = "mnist",
    batch_size: int | None = None,
    repeats: int = 9,
    scenario: Scenario | None = None,
) -> Calibration:
    """Measure the local training of a model in one thread, on random samples.

    Args:
        model: its kind, with default settings; ``package.module:factory``; or a block, as a
            scenario has it. None: the model of ``scenario``.
        dataset: the samples have its shape and its number of classes.
        batch_size: samples in a local step. None: that of ``scenario``, or 32 without one.
        repeats: number of measurements, after a first one that is not counted.
        scenario: the samples are like those of its data, in place of ``dataset``; loss, optimizer
            and all other settings of local training are its own.

    Raises:
        InputError: there is no such model or data set, or the model cannot be trained on it.
    """
    _check(dataset, batch_size, repeats)
    if model is None:
        if scenario is None:
            raise InputError("there is no model; expected one, or a scenario that has one")
        model = scenario.model.model_dump(by_alias=True, exclude_unset=True)
    form, settings = _given(dataset, scenario)
    batch_size = batch_size or settings.batch_size
    if batch_size is None:
        raise InputError("--batch-size: missing; the scenario trains on full batches")
    settings = replace(settings, batch_size=batch_size)
    name = name_of(model)
    spec = _spec({"kind": model} if isinstance(model, str) else dict(model))
    try:
        network = build_model(spec, form, 0)
    except ScenarioError as error:
        if scenario is not None or form.vocabulary is not None:
            raise
        other = f"{error}; expected --scenario with one that has suitable data"
        raise ScenarioError(other) from error
    check_parameters(network.named_parameters())
    check_tensors(network)
    samples = 4 * batch_size
    if scenario is not None:
        inputs, labels = made_up(scenario.data, samples)
    else:
        inputs, labels = made_up_in(form, samples, torch.Generator().manual_seed(0))
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
    return Calibration(name, batch_size, statistics.median(each), each[0], each[-1], repeats)


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


def name_of(model: str | Mapping[str, Any]) -> str:
    """What a trace calls a model: its kind, and its settings if it has any."""
    if isinstance(model, str):
        return model
    settings = [f"{key}={value}" for key, value in model.items() if key != "kind"]
    return f"{model.get('kind')}({', '.join(settings)})" if settings else str(model.get("kind"))


def model_in(text: str) -> str | Mapping[str, Any]:
    """The model that a command line names: a kind, or a block such as ``{kind: lstm, layers: 2}``.

    Raises:
        InputError: it is a block and no valid YAML.
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        node, wrong = compose(text, show(text), numbered=False)
    except Unreadable as error:
        node, wrong = None, list(error.misreadings)
    if wrong or node is None:
        raise InputError("\n".join(f"{each.where}: {each.message}" for each in wrong))
    block: Mapping[str, Any] = plain(node)
    return block


def _given(dataset: str, scenario: Scenario | None) -> tuple[SampleForm, LocalSettings]:
    """The form of the samples, and how a client trains on them."""
    if scenario is not None:
        settings = settings_of(scenario)
        return form_of(scenario.data), replace(settings, device="cpu", batched=False)
    info = DATASETS[dataset]
    form = SampleForm(info.input_shape, info.classes, info.target)
    loss = next(name for name, fits in FITS.items() if form.target in fits)
    return form, LocalSettings(OPTIMIZERS["SGD"].model_validate({"lr": 0.01}), loss=loss)


def _spec(block: dict[str, Any]) -> ModelSpec:
    kind = block.get("kind")
    if not isinstance(kind, str):
        raise InputError(f"a model has the kind {show(kind)}; expected its name")
    if kind not in MODELS and ":" not in kind:
        raise InputError(
            f"there is no model {kind!r}; expected one of {', '.join(MODELS)}, or "
            f"package.module:factory{hint(kind, MODELS)}"
        )
    found = MODELS.get(kind) or resolve_model(kind)
    try:
        return found.model_validate(block)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        why = first["msg"].removeprefix("Value error, ")
        expected = f"expected a block with its settings, as in '{{kind: {kind}, ...}}'"
        raise InputError(f"{kind}: {f'{key}: ' if key else ''}{why}; {expected}") from error


def _check(dataset: str, batch_size: int | None, repeats: int) -> None:
    if dataset not in DATASETS:
        raise InputError(
            f"--dataset: there is no data set {dataset!r}; expected one of "
            f"{', '.join(DATASETS)}{hint(dataset, DATASETS)}"
        )
    for name, value in (("--batch-size", batch_size), ("--repeats", repeats)):
        if value is not None and value < 1:
            raise InputError(f"{name}: got {value}; expected 1 or more")
