"""Combinations of settings that cannot work, although each setting alone is valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from afl_sim.scenario.checks.adaptation import adaptation_findings
from afl_sim.scenario.checks.devices import device_problems
from afl_sim.scenario.checks.energy import energy_findings
from afl_sim.scenario.checks.extremes import beyond_all_bounds
from afl_sim.scenario.checks.fleet import group_problems, wrong_lengths, wrong_traces
from afl_sim.scenario.checks.numerics import numerics_findings
from afl_sim.scenario.checks.personalization import personalization_findings
from afl_sim.scenario.checks.refreshing import refreshing_findings
from afl_sim.scenario.checks.round_trips import times_without_a_mean
from afl_sim.scenario.checks.strategies import (
    beside_gradients,
    beside_public,
    biased_updates,
    compressed_beside_own,
    other_than_plain_sgd,
    queued_beside_own,
    tasks_cut_short,
    tasks_of_one_length,
    without_client_tests,
)
from afl_sim.scenario.checks.time_limits import limits_too_short
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.mistakes.partial import Partial, without_unknown
from afl_sim.scenario.section import LARGEST_FLOAT32, given, too_many
from afl_sim.scenario.sections.compute import SPEED_KEYS
from afl_sim.scenario.sections.training import LENGTHS
from afl_sim.scenario.wording import show


def impossible_combinations(
    sections: Mapping[str, Any], clients: int | None, *, cases: int = 1, timing_only: bool = False
) -> Iterator[Finding]:
    """The mistakes in the combination of these sections.

    Args:
        sections: a scenario's attributes, by name, as far as they are valid.
        clients: the number of clients, where it is known.
        cases: how many cases the study has.
        timing_only: whether nothing will be trained.
    """
    parts = sections
    sections = {name: part for name, part in parts.items() if not isinstance(part, Partial)}
    if clients is not None:
        yield from wrong_lengths(parts, clients)
    yield from without_unknown(group_problems(parts.get("clients"), parts.get("data"), clients))
    if clients is not None:
        yield from wrong_traces(parts.get("clients"), clients)
        yield from device_problems(parts.get("clients"), parts.get("data"), clients)
        yield from without_unknown(_wrong_attackers(parts, clients))
        yield from _own_checks(sections, clients)
    server = sections.get("server")
    if timing_only and server is not None and server.selection.reads_results:
        yield Finding(
            ("server", "selection"),
            f"{server.selection.kind} selects by training loss, but nothing is trained with "
            "--timing-only; expected another kind",
        )
    strategy = sections.get("strategy")
    if timing_only and strategy is not None and getattr(strategy, "reads_results", False):
        key = getattr(strategy, "results_key", "kind")
        yield Finding(
            ("strategy", key),
            f"got {show(getattr(strategy, key, None))}, with which {strategy.kind} reads training "
            "results, but nothing is trained with --timing-only; expected another setting or "
            "strategy",
        )
    yield from adaptation_findings(sections, clients)
    yield from beyond_all_bounds(sections)
    yield from without_unknown(times_without_a_mean(parts))
    data, evaluation = sections.get("data"), sections.get("evaluation")
    if (
        evaluation is not None
        and evaluation.every_versions is None
        and evaluation.seconds.constant != 0
    ):
        yield Finding(
            ("evaluation", "seconds"),
            "has no effect: only the evaluations of every_versions take the server time; "
            "expected evaluation.every_versions as well",
        )
    if data is not None and evaluation is not None:
        if evaluation.on == "validation" and data.validation == 0:
            yield Finding(
                ("evaluation", "on"),
                "got 'validation', but data.validation is 0; expected data.validation above 0",
            )
        if evaluation.on == "client_test" and data.client_test == 0:
            yield Finding(
                ("evaluation", "on"),
                "got 'client_test', but data.client_test is 0; expected data.client_test above 0",
            )
        if evaluation.per_client and data.client_test == 0:
            yield Finding(
                ("evaluation", "per_client"),
                "each client is tested on samples of its own, but data.client_test is 0; expected "
                "data.client_test above 0",
            )
        if evaluation.on == "client_train" and getattr(data.partition, "replacement", False):
            yield Finding(
                ("evaluation", "on"),
                "got 'client_train', but the clients draw their samples with replacement; expected "
                "a partition that gives each sample to one client",
            )
        if evaluation.on == "test" and data.pool == "train_and_test":
            yield Finding(
                ("data", "pool"),
                "train_and_test gives the test set to the clients, but evaluation.on: test needs "
                "it; expected evaluation.on: validation with data.validation above 0, or "
                "client_test with data.client_test above 0",
            )
    training = sections.get("training")
    if training is not None and strategy is not None and training.proximal > 0:
        own = getattr(strategy, "proximal", 0.0)
        if isinstance(own, int | float) and own > 0:
            yield Finding(
                ("training", "proximal"),
                f"the strategy has a proximal term of its own ({own:g}); expected one of the two",
            )
    if strategy is not None:
        own = getattr(strategy, "proximal", 0.0)
        if isinstance(own, int | float) and own > LARGEST_FLOAT32:
            yield Finding(
                ("strategy",),
                f"its proximal term has the weight {own:g}; expected a number of float32, whose "
                f"largest is {LARGEST_FLOAT32:.2g}",
            )
    yield from without_client_tests(evaluation, strategy)
    yield from beside_gradients(training, strategy)
    by_rule = server is not None and server.buffers == "rule"
    if by_rule and strategy is not None and not getattr(strategy, "buffers_by_rule", False):
        yield Finding(
            ("server", "buffers"),
            f"got 'rule', but the rule of {strategy.kind} is no mean that could be taken of "
            "buffers as well; expected mean",
        )
    runs = cases * sections.get("replications", 1)
    yield from numerics_findings(
        sections.get("numerics"), sections.get("execution"), sections.get("training"), runs
    )
    yield from personalization_findings(sections)
    yield from refreshing_findings(sections)
    yield from energy_findings(sections)
    yield from beside_public(sections)
    yield from compressed_beside_own(training, strategy)
    yield from biased_updates(training, strategy)
    yield from other_than_plain_sgd(training, strategy)
    yield from without_unknown(queued_beside_own(parts.get("clients"), training, strategy))
    yield from without_unknown(tasks_of_one_length(parts.get("clients"), strategy))
    yield from without_unknown(tasks_cut_short(parts.get("clients"), strategy))
    yield from limits_too_short(sections.get("clients"), strategy)
    stop = sections.get("stop")
    if stop is not None and stop.only_metrics:
        key = ("stop", "accuracy" if stop.accuracy is not None else "metrics")
        if timing_only:
            yield Finding(
                key,
                "nothing is trained with --timing-only, so this is never reached; expected "
                "another rule in addition, such as virtual_seconds or updates",
            )
        elif evaluation is not None and not evaluation.goes_on:
            yield Finding(
                key,
                "this is the only stop rule, and it is never reached, because the model is "
                "evaluated only at the start and the end; expected evaluation.every_seconds or "
                "evaluation.every_versions",
            )


def exclusive_keys(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Keys that exclude each other in a block. ``data`` need not be valid."""
    clients = data.get("clients")
    computes: list[tuple[KeyPath, Any]] = []
    if isinstance(clients, dict):
        groups = clients.get("groups")
        fleets: list[tuple[KeyPath, Any]] = [(("clients",), clients)]
        fleets += [
            (("clients", "groups", i), group)
            for i, group in enumerate(groups if isinstance(groups, list) else ())
            if isinstance(group, dict)
        ]
        computes = [((*path, "compute"), fleet.get("compute")) for path, fleet in fleets]
    for path, block, names in (
        (("training",), data.get("training"), LENGTHS),
        *((path, compute, SPEED_KEYS) for path, compute in computes),
    ):
        message = too_many(given(block, names), names)
        if message is not None:
            yield Finding(path, message)


def _wrong_attackers(sections: Mapping[str, Any], count: int) -> Iterator[Finding]:
    section = sections.get("clients")
    attack = None if section is None else section.attack
    for path, message in () if attack is None else attack.problems(count):
        yield Finding(("clients", "attack", *path), message)


def _own_checks(sections: Mapping[str, Any], clients: int) -> Iterator[Finding]:
    for name, method in (("data", "problems"), ("strategy", "check")):
        check = getattr(sections.get(name), method, None)
        if check is None:
            continue
        try:
            found = [((name, *path), str(message)) for path, message in check(clients)]
        except Exception as error:  # a strategy from elsewhere may raise anything
            found = [((name,), f"its own check failed: {error}")]
        for path, message in found:
            yield Finding(path, message)
