"""Checks scenario files before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afl_sim.analysis.steering import problems
from afl_sim.errors import InputError, ScenarioError
from afl_sim.global_model.null import NullLearner
from afl_sim.learning.data.form import form_of
from afl_sim.run.api import read_study
from afl_sim.run.attendance import missing_clients
from afl_sim.run.bits import check_bits, check_device
from afl_sim.run.building import world_of
from afl_sim.run.checks import check_attack, evaluation_problems
from afl_sim.run.kinds import corrects, settings_of, strategy_of
from afl_sim.run.memory import bounds_memory
from afl_sim.run.preparation import prepare
from afl_sim.run.rule_trials import rule_problems
from afl_sim.run.schedule_trial import standing_still
from afl_sim.scenario import Override, Scenario, Study
from afl_sim.scenario.joining import File, joined
from afl_sim.scenario.section import LONGEST_SECONDS
from afl_sim.scenario.sections.partition_base import Problem

_SHOWN = 100  # clients in a printed partition
_TRIED = 1000  # clients whose tasks are looked at


def check_study(
    source: Path | str | Mapping[str, Any],
    overrides: Sequence[str | Override] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    here: bool = False,
    base: Path | None = None,
) -> Study:
    """Read a scenario file, and try everything up to the start of each run.

    Args:
        source, overrides, seed, timing_only, base: as for `read_study`.
        here: also refuse runs on a device that this machine does not have.

    Returns:
        The study.

    Raises:
        ScenarioError: one line for each mistake.
    """
    inspect = inspector(timing_only=timing_only, here=here)
    return read_study(source, overrides, seed, timing_only=timing_only, inspect=inspect, base=base)


def inspector(
    *, timing_only: bool = False, here: bool = False
) -> Callable[[Scenario], list[Problem]]:
    """A function that tells what is wrong with scenarios, up to the start of their runs.

    Args:
        timing_only, here: as for `check_study`.

    Returns:
        The function: it gives (key path, message) for each mistake. What several scenarios have in
        common is tried only once.
    """
    found: dict[tuple[object, ...], _Tried] = {}
    endless: dict[tuple[object, ...], list[Problem]] = {}

    def inspect(scenario: Scenario) -> list[Problem]:
        # Most cases of a study have the same data and model, so these are tried only once.
        key = (
            scenario.seed,
            scenario.clients.count,
            scenario.clients.attack,
            str([(g.share, g.count, g.exactly, g.data) for g in scenario.clients.groups]),
            scenario.data,
            scenario.clients.model_dump_json()
            if scenario.data.partition.by_devices or bounds_memory(scenario)
            else None,
            scenario.model.model_dump_json(),
            scenario.evaluation.model_dump_json(),
            tuple(scenario.stop.by_metric),
            str(settings_of(scenario)),
            scenario.numerics.bits,
            corrects(strategy_of(scenario)),
        )
        wrong = [*_figure_problems(scenario), *rule_problems(scenario)]
        if wrong:
            return wrong
        if key not in found:
            found[key] = _try(scenario, here and not timing_only, not timing_only)
        tried = found[key]
        times = (
            key,
            scenario.clients.model_dump_json(),
            scenario.server.model_dump_json(),
            scenario.training.model_dump_json(exclude={"optimizer", "lr_schedule"}),
        )
        if times not in endless:
            endless[times] = list(_endless_tasks(scenario, tried))
        wrong = [*tried.problems, *endless[times]]
        if not wrong and tried.samples_of is not None:
            wrong = list(missing_clients(scenario, tried.samples_of))
        return wrong or list(standing_still(scenario))

    return inspect


@dataclass(frozen=True)
class Source:
    """A scenario file, and how it is read.

    Attributes:
        path: the file.
        base: the folder that its paths are relative to; None for its own.
        first: settings that go before all others.
    """

    path: Path
    base: Path | None = None
    first: tuple[str, ...] = ()


def check_studies(
    sources: Sequence[Source],
    overrides: Sequence[str | Override] = (),
    seed: int | None = None,
    *,
    timing_only: bool = False,
    here: bool = False,
) -> Study:
    """Check files as `check_study` does, and make one study of them if they are several.

    Raises:
        ScenarioError: one line for each mistake in any of them; or they are no study together.
    """
    files, wrong = [], []
    for source in sources:
        try:
            study = check_study(
                source.path,
                [*source.first, *overrides],
                seed,
                timing_only=timing_only,
                here=here,
                base=source.base,
            )
        except ScenarioError as error:
            wrong.append(str(error))
            continue
        base = source.base or source.path.resolve().parent
        files.append(File(str(source.path), study, base))
    if wrong:
        raise ScenarioError("\n".join(wrong))
    return files[0].study if len(files) == 1 else joined(files)


def _figure_problems(scenario: Scenario) -> Iterator[Problem]:
    for index, key, message in problems(scenario.figure):
        place = (str(index),) if len(scenario.figure) > 1 else ()
        yield ("figure", *place, key), message


@dataclass(frozen=True)
class _Tried:
    """What is known about a scenario's data and model once they are prepared.

    Attributes:
        problems: what is wrong with them.
        samples_of: gives the number of samples of a client; None if they could not be dealt out.
        sizes: number of parameters and number of buffers of the model.
    """

    problems: list[Problem]
    samples_of: Callable[[int], int] | None = None
    sizes: tuple[int, int] = (0, 0)


def _try(scenario: Scenario, here: bool, trains: bool) -> _Tried:
    """Look for mistakes that show only with the data, the model, the device and the processor."""
    try:
        if here:
            check_device(scenario.numerics.device)
        if trains:
            check_bits(scenario)
        prepared = prepare(scenario, timing_only=True)
        check_attack(scenario, prepared.samples, form_of(scenario.data), prepared.partition)
    except InputError as error:
        return _Tried(list(_located(error)))
    return _Tried(
        list(evaluation_problems(scenario, prepared.evaluation_samples)),
        prepared.partition.size,
        prepared.sent,
    )


def _located(error: InputError) -> Iterator[Problem]:
    """The lines of an error message, each split into its key path and the rest."""
    for line in str(error).splitlines():
        keys, _, message = line.partition(": ")
        path = tuple(keys.split("."))
        if path[0] in Scenario.model_fields:
            yield path, message
        else:
            yield ("data",), line


def _endless_tasks(scenario: Scenario, tried: _Tried) -> Iterator[Problem]:
    """Parts of tasks that usually last longer than the clock can count; one line for each."""
    if tried.samples_of is None:
        return
    world = world_of(scenario, tried.samples_of, tried.sizes, NullLearner(), lambda *row: None)
    found = set()
    for client in range(min(scenario.clients.count, _TRIED)):
        try:
            legs = world.usual_seconds(client)
        except InputError as error:
            yield from _located(error)
            return
        for key, seconds in legs.items():
            if not seconds <= LONGEST_SECONDS and key not in found:
                found.add(key)
                yield (
                    tuple(key.split(".")),
                    f"client {client}'s tasks usually spend {seconds:.3g} s here; expected at most "
                    f"{LONGEST_SECONDS:g}, the end of the clock",
                )
