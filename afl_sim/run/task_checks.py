"""Checks of what the labels of the data decide: the loss, the metrics, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np

from afl_sim.errors import AflSimError, NotPortable, ScenarioError, TaskError
from afl_sim.lazy import torch
from afl_sim.learning.data.form import IGNORED, SampleForm
from afl_sim.learning.data.sample_form import LABELS
from afl_sim.learning.metrics.chosen import Own, chosen_metrics
from afl_sim.learning.metrics.tally import Array
from afl_sim.portable.block import arithmetic_of
from afl_sim.run.kinds import measures_personal
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.losses import FITS, Loss, loss_name
from afl_sim.scenario.sections.metrics import (
    METRICS,
    PERSONAL,
    Better,
    Metric,
    better_of,
    metric_name,
    personal_metrics,
)
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.wording import hint, show
from afl_sim.user_code import place_of, reason, told

_OWN: Final = "or package.module:name for your own"
_UNEQUAL: Final = "gives different results for equal calls; expected a function of its arguments"
_FEWEST, _MOST = 64, 4096  # samples that own code is tried on


def check_task(scenario: Scenario, form: SampleForm) -> None:
    """Refuse a loss, metrics, targets or stop rules that do not suit the labels.

    Args:
        scenario: the run's.
        form: of its samples.

    Raises:
        ScenarioError: one line for each mistake.
    """
    problems = list(_problems(scenario, form)) or list(_failures(scenario, form))
    if problems:
        raise ScenarioError("\n".join(f"{'.'.join(path)}: {message}" for path, message in problems))


def measured_by(scenario: Scenario, form: SampleForm) -> dict[str, Better]:
    """The metrics of a run's evaluations, the main one first, and which of two values is better."""
    chosen = chosen_metrics(scenario.evaluation, form)
    metrics = {metric_name(metric): better_of(metric) for metric in chosen}
    return metrics | (personal_metrics(metrics) if measures_personal(scenario) else {})


def own_code(scenario: Scenario) -> list[Loss | Metric]:
    """The loss and the metrics of the user's own."""
    used = (scenario.training.loss, *(scenario.evaluation.metrics or ()))
    return [rule for rule in used if isinstance(rule, Loss | Metric)]


def task_obstacle(scenario: Scenario, form: SampleForm) -> str | None:
    """What in the user's loss or metrics has no portable arithmetic, in words; else None.

    Another error than a lack of portable arithmetic is no obstacle; it shows when the run is
    prepared.
    """
    with arithmetic_of(portable=True):
        for path, rule, call in _trials(scenario, form):
            try:
                call()
            except NotPortable as error:
                return f"{'.'.join(path)}: {rule.kind} uses {error}"
            except Exception:
                return None
    return None


def _problems(scenario: Scenario, form: SampleForm) -> Iterator[Problem]:
    loss, evaluation = scenario.training.loss, scenario.evaluation
    name = loss_name(loss)
    if not isinstance(loss, Loss) and form.target not in FITS[name]:
        fitting = [each for each, forms in FITS.items() if form.target in forms]
        yield (
            ("training", "loss"),
            f"{name} is for {_words(FITS[name])}, but the labels are {form.labels}; "
            f"expected {_listed(fitting)}, {_OWN}",
        )
    suitable = [each for each, info in METRICS.items() if form.target in info.fits]
    for metric in evaluation.metrics or ():
        if isinstance(metric, Metric):
            continue
        if metric not in suitable:
            yield (
                ("evaluation", "metrics"),
                f"{metric} is for {_words(METRICS[metric].fits)}, but the labels are "
                f"{form.labels}; expected one of {', '.join(suitable)}, {_OWN}",
            )
        elif metric == "top5" and form.outputs <= 5:
            yield (
                ("evaluation", "metrics"),
                f"top5 is always 1 with {form.outputs} classes; expected another metric",
            )
    for metric in evaluation.metrics or ():
        if measures_personal(scenario) and metric_name(metric).startswith(PERSONAL):
            yield (
                ("evaluation", "metrics"),
                f"one of your own cannot be called {metric_name(metric)} where the clients' "
                "personalised models are measured; expected another `name`",
            )
    yield from _unmeasured(scenario, form)


def _unmeasured(scenario: Scenario, form: SampleForm) -> Iterator[Problem]:
    """Targets and stop rules that ask for metrics which no evaluation measures."""
    evaluation, stop = scenario.evaluation, scenario.stop
    measured = list(measured_by(scenario, form))
    first = measured[0]
    lacking = f"the labels are {form.labels}, and accuracy is not measured; expected"
    if evaluation.has_own_targets:
        for name in evaluation.targets_by_metric:
            if name in measured:
                continue
            message = _not_measured(name, measured)
            if not isinstance(evaluation.targets, dict):
                message = f"{lacking} targets by metric, as in {{{first}: [...]}}"
            yield ("evaluation", "targets"), message
    if stop.accuracy is not None and "accuracy" not in measured:
        yield ("stop", "accuracy"), f"{lacking} stop.metrics, as in {{{first}: ...}}"
    for name in stop.metrics or ():
        if name not in measured:
            yield ("stop", "metrics"), _not_measured(name, measured)


def _not_measured(name: str, measured: list[str]) -> str:
    known = name in METRICS
    add = f", or {name} among evaluation.metrics" if known else ""
    near = "" if known else hint(name, measured)
    what = "no evaluation measures" if known else "unknown metric"
    return f"{what} {show(name)}; expected {_listed(measured)}{add}{near}"


def _failures(scenario: Scenario, form: SampleForm) -> Iterator[Problem]:
    """What goes wrong with a loss or metrics of the user's own on made-up outputs and labels."""
    for path, rule, call in _trials(scenario, form):
        try:
            if call() != call():
                yield path, f"{rule.kind} {_UNEQUAL}{place_of(type(rule).__call__)}"
        except AflSimError as error:
            yield path, reason(error).removeprefix(f"{'.'.join(path)}: ")
        except Exception as error:  # the user's code may raise anything
            yield path, f"{rule.kind} fails on made-up outputs and labels: {told(error)}"


Trial = tuple[tuple[str, str], Loss | Metric, Callable[[], bytes]]


def _trials(scenario: Scenario, form: SampleForm) -> Iterator[Trial]:
    """The calls that try the user's loss and metrics, with the key of each."""
    one = scenario.evaluation.per_client  # a client may have a single sample
    for rule in own_code(scenario):
        keys = ("training", "loss") if isinstance(rule, Loss) else ("evaluation", "metrics")
        for call in trials_of(rule, form, one):
            yield keys, rule, call


def trials_of(rule: Loss | Metric, form: SampleForm, one: bool) -> Iterator[Callable[[], bytes]]:
    """Calls that try a loss or a metric of the user's on made-up outputs and labels.

    Args:
        rule: the loss or the metric.
        form: of the samples.
        one: whether a metric is also tried on a single sample.

    Yields:
        A function that gives the bytes of the answer. It raises whatever the rule raises, and
        TaskError if the answer cannot be used.
    """
    count = min(max(_FEWEST, 3 * form.outputs), _MOST)
    if isinstance(rule, Loss):
        yield partial(_lose, rule, *_made_up(form, 4 if form.target == "tokens" else count))
        return
    outputs, labels = _made_up(form, count, by_position=True)
    for samples in (count, 1) if one else (count,):
        yield partial(_measure, rule, outputs[:samples], labels[:samples])


def _lose(loss: Loss, outputs: Array, labels: Array) -> bytes:
    from afl_sim.learning.training.losses import try_loss  # a function in it needs PyTorch

    given = torch.from_numpy(labels.copy())
    value, gradient = try_loss(loss, torch.from_numpy(outputs), given)
    if not np.array_equal(given.numpy(), labels):
        raise TaskError(
            f"training.loss: {loss.kind} changes the labels that it is given; expected a function "
            f"that changes nothing{place_of(type(loss).__call__)}"
        )
    return value.numpy().tobytes() + gradient.numpy().tobytes()


def _measure(metric: Metric, outputs: Array, labels: Array) -> bytes:
    tally = Own(metric)
    tally.add(outputs, labels)
    return np.float64(tally.value()).tobytes()


def _made_up(form: SampleForm, count: int, by_position: bool = False) -> tuple[Array, Array]:
    """Outputs and labels like those of samples, the same for the same form.

    Args:
        form: of the samples.
        count: number of samples, or of positions.
        by_position: whether positions are given as samples.
    """
    shape: tuple[int, ...] = (count,)
    if form.target == "tokens" and not by_position:
        shape = (count, *form.input_shape[:1])
    outputs = np.sin(np.arange(np.prod(shape) * form.outputs, dtype=np.float64) ** 1.5)
    outputs = outputs.astype(np.float32).reshape(*shape, form.outputs)
    if form.target == "number":
        return outputs, np.ascontiguousarray(outputs[::-1])
    if form.target == "several":
        return outputs, (np.roll(outputs, 1) > 0).astype(np.float32)
    labels = np.arange(np.prod(shape), dtype=np.int64).reshape(shape) % form.outputs
    if labels.ndim == 2:
        labels[0, -1] = IGNORED
    return outputs, labels


def _words(forms: tuple[str, ...]) -> str:
    return " or ".join(LABELS[form] for form in forms)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"one of {', '.join(names)}"
