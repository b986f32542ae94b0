"""Tries a schedule if tasks may take no time, because some schedules would then never end."""

from __future__ import annotations

from collections.abc import Iterator

from afl_sim.errors import AflSimError
from afl_sim.global_model.null import NullLearner
from afl_sim.run.kinds import strategy_of
from afl_sim.run.step_cost import step_cost_of
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.network import Link
from afl_sim.scenario.sections.partition_base import Problem
from afl_sim.world.world import World

_EVENTS = 1 << 14
_EVENTS_PER_CLIENT = 200
_MOST_EVENTS = 1 << 18


def standing_still(scenario: Scenario) -> Iterator[Problem]:
    """The errors at the start of a run whose tasks may take no time, as (key path, message).

    Nothing is trained. If every task takes time, nothing is tried either. For a strategy that reads
    how long clients compute, it is their computations that must take time.
    """
    strategy = strategy_of(scenario)
    if strategy.reads_results or scenario.server.selection.reads_results:
        return
    what = "tasks"
    if not may_take_no_time(scenario):
        if not (strategy.reads_timing and may_compute_at_once(scenario)):
            return
        what = "steps"
    samples = scenario.training.samples_per_step or 1
    world = World(
        scenario,
        strategy,
        lambda client: samples,
        1,
        NullLearner(),
        lambda *event: None,
        cost=step_cost_of(scenario),
    )
    try:
        many = _EVENTS + _EVENTS_PER_CLIENT * scenario.clients.count
        world.run(at_most=min(many, _MOST_EVENTS))
    except AflSimError as error:
        yield (
            ("clients", "compute"),
            f"{what} may take no time at all, and {error}; expected durations above 0",
        )


def may_take_no_time(scenario: Scenario) -> bool:
    """Whether a task can arrive at the instant at which it was sent."""
    server = scenario.server
    if any(
        (link.bandwidth is not None or link.kind != "uncontended") and link.jitter.positive
        for link in (server.download, server.upload)
    ):
        return False
    return any(_may_take_no_time(part) for part in scenario.clients.parts())


def may_compute_at_once(scenario: Scenario) -> bool:
    """Whether a client's steps can take no time, beside what it waits before the first."""
    return any(_may_compute_at_once(part) for part in scenario.clients.parts())


def _may_compute_at_once(clients: Clients) -> bool:
    compute = clients.compute
    return clients.devices is None and not (compute.speed.positive and compute.jitter.positive)


def _may_take_no_time(clients: Clients) -> bool:
    compute, network = clients.compute, clients.network
    if not _may_compute_at_once(clients):
        return False
    takes_time = compute.jitter_seconds.positive or any(
        _takes_time(link) for link in (network.download, network.upload)
    )
    return not takes_time


def _takes_time(link: Link) -> bool:
    carries = link.bandwidth is not None or link.bandwidth_trace is not None
    return link.jitter.positive and (carries or link.latency.positive)
