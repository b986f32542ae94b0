"""Settings that are allowed but are seldom meant: one line each, before a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from afl_sim.scenario.checks.energy_doubts import energy_doubts
from afl_sim.scenario.checks.fleet import distributions_in
from afl_sim.scenario.checks.parts import Doubt, parts_of, usual
from afl_sim.scenario.dumping import scenario_id
from afl_sim.scenario.mistakes.explain import Finding, KeyPath
from afl_sim.scenario.mistakes.report import locate
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.study import Case, Study
from afl_sim.scenario.traces.bandwidth_trace import BandwidthTrace
from afl_sim.scenario.units import OPERATIONS, RATE
from afl_sim.scenario.yaml.nodes import Node, compose

SLOWEST, FASTEST = 1e3, 1e11
"""Bytes per second: a bandwidth outside is more likely in another unit than meant."""


class Limits(NamedTuple):
    """Between what a measured number of a device is believed.

    Attributes:
        least, most: in the base unit.
        told: the same as text.
        base: the base unit.
        example: of text with a unit.
    """

    least: float
    most: float
    told: tuple[str, str]
    base: str
    example: str


DEVICE_LIMITS: Final = {
    "flops_per_second": (
        "compute",
        Limits(1e5, 1e16, ("100 kFLOP/s", "10 PFLOP/s"), OPERATIONS.base, OPERATIONS.example),
    ),
    "bytes_per_second": (
        "compute",
        Limits(1e5, 1e14, ("100 kB/s", "100 TB/s"), RATE.base, "2 GB/s"),
    ),
}
"""By key: its block, and what is believed of a device, from a microcontroller to a server."""
MOST_EVALUATIONS: Final = 100_000
"""By the clock in a run; more are seldom meant."""
_TASKS = 10  # a run has more, one after the other
_MOST_PAIRS = 5


def doubts(study: Study, timing_only: bool = False) -> list[str]:
    """What looks wrong in a study, a line for each.

    Args:
        study: the file.
        timing_only: whether nothing will be trained.
    """
    found = {
        (doubt, _numbered(doubt[0], case.scenario)): None
        for case in study.cases
        for doubt in _of_scenario(case.scenario, timing_only)
    }
    tree = compose(study.source, "line")[0] if found and study.source else None
    lines = dict.fromkeys(_placed(doubt, path, tree) for doubt, path in found)
    return [f"warning: {line}" for line in (*lines, *_twice(study.cases))]


def _numbered(path: KeyPath, scenario: Scenario) -> KeyPath:
    """The path as it is in the file: groups are in a list there."""
    if path[:2] != ("clients", "groups"):
        return path
    names = [group.name for group in scenario.clients.groups]
    return (*path[:2], names.index(str(path[2])), *path[3:])


def _placed(doubt: Doubt, path: KeyPath, tree: Node | None) -> str:
    """A doubt with its key, and with the line of the file where that is known."""
    shown, message = doubt
    key = ".".join(map(str, shown))
    if tree is None:
        return f"{key}: {message}"
    where, _ = locate(Finding(path, message), tree)
    return f"line {where.rpartition(':')[2]}: {key}: {message}"


def _of_scenario(scenario: Scenario, timing_only: bool) -> Iterator[Doubt]:
    more = getattr(scenario.strategy, "over_selection", None)
    if isinstance(more, int | float) and more >= 1:
        less = f"; {more - 1:.6g} means {100 * (more - 1):.6g} %" if 1 < more < 2 else ""
        yield (
            ("strategy", "over_selection"),
            f"{more:g} means {100 * more:.6g} % more clients than a round needs{less}",
        )
    yield from _bandwidths(scenario)
    yield from _processors(scenario)
    yield from energy_doubts(scenario)
    yield from _evaluations(scenario)
    if not timing_only and scenario.evaluation.has_own_targets and not scenario.evaluation.goes_on:
        yield (
            ("evaluation", "targets"),
            "the model is evaluated only at the start and the end, so that no run tells when it "
            "reaches a target; evaluation.every_seconds or every_versions adds evaluations",
        )


def _evaluations(scenario: Scenario) -> Iterator[Doubt]:
    """So many evaluations that most of them can only find the model of the one before."""
    every = scenario.evaluation.every_seconds
    if every is None:
        return
    message = (
        "evaluations{}, each with a row in the results, of which most can only find the model of "
        "the one before; more seconds between two, or evaluation.every_versions, make fewer"
    )
    ends = scenario.stop.virtual_seconds
    if ends is not None:
        if ends / every > MOST_EVALUATIONS:
            yield (
                ("evaluation", "every_seconds"),
                f"{every:g} s mean {ends / every:,.0f} {message.format(f' in {ends:g} s')}",
            )
        return
    longest = max(_least_seconds(part, scenario) for _, part in parts_of(scenario.clients))
    if longest / every > MOST_EVALUATIONS / _TASKS:
        yield (
            ("evaluation", "every_seconds"),
            f"{every:g} s mean {longest / every:,.0f} "
            f"{message.format(f' in a usual task of {longest:g} s or more')}",
        )


def _least_seconds(part: Clients, scenario: Scenario) -> float:
    """About how long one local step takes, or a task where its steps do not matter, at least."""
    compute, training = part.compute, scenario.training
    if compute.unit == "flop" or part.devices is not None:
        return 0.0
    seconds = usual(compute.speed)
    amount = 1 if training.steps is None else max(1, round(usual(training.steps)))
    if compute.unit == "sample":
        seconds *= amount * (training.samples_per_step or 1)
    elif compute.unit == "step":
        seconds *= amount
    seconds += usual(compute.jitter_seconds)
    return seconds if compute.max_seconds is None else min(seconds, compute.max_seconds)


def _bandwidths(scenario: Scenario) -> Iterator[Doubt]:
    found: list[tuple[KeyPath, float]] = []
    for name in ("download", "upload"):
        link = getattr(scenario.server, name)
        if link.bandwidth is not None:
            found.append((("server", name, "bandwidth"), link.bandwidth))
        elif link.kind != "uncontended" and link.bandwidth_trace is not None:
            found.append((("server", name, "bandwidth_trace"), _usual_rate(link.bandwidth_trace)))
    for path, part in parts_of(scenario.clients):
        found += _of_part(part, path)
    odd = [(path, rate) for path, rate in found if not SLOWEST <= rate <= FASTEST]
    if odd:
        path, rate = odd[0]
        limit = "below 1 kB/s" if rate < SLOWEST else "above 100 GB/s"
        more = f" (and {len(odd) - 1} more bandwidths)" if len(odd) > 1 else ""
        yield (
            path,
            f"{rate:.4g} bytes per second is {limit}{more}; a number is in bytes per second, and "
            "text has a unit, such as 20 kB/s",
        )


def _processors(scenario: Scenario) -> Iterator[Doubt]:
    """Devices that are slower or faster, smaller or larger than any that train models."""
    for path, part in parts_of(scenario.clients):
        measured = {} if part.devices is None else part.devices.devices.columns
        for key, (block, limits) in DEVICE_LIMITS.items():
            law = getattr(part.compute, key) if block == "compute" else None
            if key in measured:
                place, value = (*path, "devices", key), _middle(measured[key])
            elif law is not None:
                place, value = (*path, block, key), usual(law)
            else:
                continue
            if not limits.least <= value <= limits.most:
                beyond = f"below {limits.told[0]}" if value < limits.least else ""
                yield (
                    place,
                    f"{value:.4g} {limits.base} is {beyond or f'above {limits.told[1]}'}; a number "
                    f"is in {limits.base}, and text has a unit, such as {limits.example}",
                )


def _middle(column: Sequence[float]) -> float:
    return sorted(column)[len(column) // 2]


def _of_part(part: Clients, path: KeyPath) -> Iterator[tuple[KeyPath, float]]:
    measured = {} if part.devices is None else part.devices.devices.columns
    for name in ("download", "upload"):
        column = measured.get(f"{name}_bandwidth")
        if column is not None:
            yield (*path, "devices", f"{name}_bandwidth"), _middle(column)
            continue
        link = getattr(part.network, name)
        if link.bandwidth_trace is not None:
            yield (*path, "network", name, "bandwidth_trace"), _usual_rate(link.bandwidth_trace)
        for inner, law in distributions_in(link):
            if inner == ("bandwidth",):
                yield (*path, "network", name, "bandwidth"), usual(law)


def _usual_rate(trace: BandwidthTrace) -> float:
    """The median of the mean bandwidths of its links."""
    rates = sorted(each.mean for each in trace.links)
    return rates[len(rates) // 2]


def _twice(cases: Sequence[Case]) -> Iterator[str]:
    """Cases with the same settings, as of a sweep that has a value twice."""
    if len(cases) < 2:
        return
    first: dict[str, str] = {}
    same: list[tuple[str, str]] = []
    for case in cases:
        plain: Any = case.scenario.model_copy(update={"name": "x", "description": ""})
        label = first.setdefault(scenario_id(plain), case.label)
        if label != case.label:
            same.append((label, case.label))
    for one, other in same[:_MOST_PAIRS]:
        yield f"sweep: the runs {one} and {other} have the same settings, so they are the same run"
    if len(same) > _MOST_PAIRS:
        yield f"sweep: {len(same) - _MOST_PAIRS} more runs have the settings of another one"
