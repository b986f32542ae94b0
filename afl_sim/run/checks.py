"""Checks of a scenario that the scenario file alone does not allow.

Some need this machine: its devices and packages. Others need the data: who holds which samples, and
how many there are to evaluate on.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from afl_sim.errors import InputError, OwnRuleError, ScenarioError
from afl_sim.lazy import nn, torch
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.personal import TUNED, PersonalParts, parts_named
from afl_sim.learning.partition import Partition
from afl_sim.learning.training.attackers import attackers_of, poisoned
from afl_sim.machine import rounds_to_nearest
from afl_sim.recording.sinks import check_sinks
from afl_sim.run.bits import check_bits, check_device
from afl_sim.run.kinds import strategy_of
from afl_sim.run.memory import batches_that_fit
from afl_sim.run.rule_trials import check_rules
from afl_sim.scenario import Evaluation, Execution, Scenario, Training
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.scenario.sections.personalization import FedRep
from afl_sim.streams import Streams


def check_mode(scenario: Scenario, timing_only: bool) -> None:
    """Refuse what cannot run without training, without a GPU, or with other rounding.

    Raises:
        InputError: this thread does not round to nearest.
        ScenarioError: without training: the strategy or the selection of clients reads training
            results, or only metrics would stop the run. With training: the device is missing, or
            the run cannot have the portable bits that it asks for.
    """
    if not rounds_to_nearest():
        raise InputError(
            "floating-point numbers are not rounded to nearest in this thread, so that results "
            "would differ; expected the usual rounding, fesetround(FE_TONEAREST) of the C library"
        )
    if not timing_only:
        check_device(scenario.numerics.device)
        check_bits(scenario)
        return
    strategy = strategy_of(scenario)
    if scenario.server.selection.reads_results:
        raise ScenarioError(
            f"server.selection: {scenario.server.selection.kind} reads training results to choose "
            "clients; it cannot run with --timing-only"
        )
    if strategy.reads_results:
        raise ScenarioError(
            f"strategy: {strategy.kind} reads training results to decide its schedule; "
            "it cannot run with --timing-only"
        )
    if scenario.stop.only_metrics:
        names = " and ".join(scenario.stop.by_metric)
        raise ScenarioError(
            f"stop: {names} is the only rule, and a run with --timing-only never reaches it; "
            "expected virtual_seconds, versions, updates or samples as well"
        )


def check_before_data(scenario: Scenario, timing_only: bool) -> None:
    """Refuse what cannot run here, before any data is read.

    Raises:
        ScenarioError: as `check_mode`, or a rule of the user's own fails its trial.
        InputError: a package that ``execution.sinks`` names is not installed.
    """
    check_mode(scenario, timing_only)
    check_rules(scenario)
    check_sinks(scenario.execution.sinks)


def check_executor(execution: Execution) -> None:
    """Refuse an executor whose package is not installed.

    Raises:
        InputError: it is not installed.
    """
    if execution.executor == "ray":
        from afl_sim.execution.workers.ray import import_ray

        import_ray()


def check_batches(scenario: Scenario, partition: Partition) -> None:
    """Refuse ``drop_last`` where it would drop the only batch of a client.

    Raises:
        ScenarioError: the batch size is larger than the samples of some client.
    """
    training = scenario.training
    batch = training.samples_per_step
    if not training.drop_last or batch is None:
        return
    sizes, most = partition.sizes, batches_that_fit(scenario)
    if most is not None:  # what does not fit is smaller already
        sizes = sizes[most > sizes]
    smallest = int(np.min(sizes, initial=batch))
    if batch > smallest:
        raise ScenarioError(
            f"training.drop_last: a client with {smallest} samples has no whole batch of "
            f"{batch}; expected training.batch_size of at most {smallest}, or "
            "drop_last: false"
        )


def check_attack(
    scenario: Scenario, samples: Annotations, form: SampleForm, partition: Partition
) -> None:
    """Refuse an attack on labels that cannot be made.

    Args:
        scenario: the run's.
        samples: the training set, with its true labels.
        form: what one sample looks like.
        partition: who trains on which samples.

    Raises:
        ScenarioError: the labels are no classes; an attacker shares a sample with an honest client;
            or the attack gave other things than labels.
    """
    attack, clients = scenario.clients.attack, scenario.clients.count
    if attack is None or not type(attack).poisons():
        return
    if form.target != "class":
        raise ScenarioError(
            f"clients.attack: {attack.kind} changes classes, but the labels are {form.labels}"
        )
    members = attackers_of(attack, clients, Streams(scenario.seed))
    true = torch.from_numpy(samples.labels)
    try:
        poisoned(attack, members, true, samples.classes, partition.indices, clients)
    except OwnRuleError as error:
        raise ScenarioError(f"clients.attack: {error}") from error


def check_alternation(training: Training, parts: PersonalParts | None) -> None:
    """Refuse FedRep where none of the personal parts is trained.

    Raises:
        ScenarioError: that is so.
    """
    if isinstance(training.personalization, FedRep) and parts and not any(parts.personal.trained):
        raise ScenarioError(
            "training.personalization: fedrep trains the parts that model.personal names, but none "
            "of them is a parameter that is trained; expected other patterns"
        )


def check_fine_tuning(evaluation: Evaluation, model: nn.Module | None, layout: Layout) -> None:
    """Refuse patterns of what fine-tuning changes that match nothing.

    Raises:
        ScenarioError: one does.
    """
    tuning = evaluation.fine_tuning
    if tuning is not None and tuning.parameters is not None:
        parts_named(model, layout, tuning.parameters, TUNED)


def evaluation_problems(scenario: Scenario, available: int | None) -> Iterator[Problem]:
    """What is wrong with the set that models are evaluated on, as (key path, message).

    Args:
        scenario: whose.
        available: how many samples that set has; None if that is not known yet.
    """
    settings = scenario.evaluation
    if available is None:
        return
    if not available and settings.on == "validation":
        yield (
            ("data", "validation"),
            f"a share of {scenario.data.validation} gives no sample, but evaluation.on: "
            "validation needs some; expected a larger share",
        )
    elif not available:
        yield ("evaluation", "on"), f"the {settings.on} set has no samples; expected another set"
    elif settings.samples is not None and settings.samples > available:
        yield (
            ("evaluation", "samples"),
            f"{settings.samples} is more than the {settings.on} set has; expected at most "
            f"{available}",
        )


def check_public(scenario: Scenario, form: SampleForm, held_out: int | None) -> None:
    """Refuse a batch that server and clients cannot have in common.

    Args:
        scenario: whose strategy may have such a batch.
        form: of its samples.
        held_out: how many samples ``data.validation`` holds out; None if that is not known yet.

    Raises:
        ScenarioError: noise is no such sample, or fewer samples are held out.
    """
    public = strategy_of(scenario).public_batch
    if public is None:
        return
    plain = form.vocabulary is None and form.target in ("class", "number")
    if public.source == "noise" and not plain:
        raise ScenarioError(
            f"strategy: its common batch is noise, which cannot stand for {form.inputs} with "
            f"{form.labels}; expected samples of data.validation"
        )
    if public.source == "validation" and held_out is not None and held_out < public.samples:
        raise ScenarioError(
            f"strategy: its common batch has {public.samples} samples of data.validation, which "
            f"holds out {held_out}; expected at most {held_out}, or a larger share"
        )
