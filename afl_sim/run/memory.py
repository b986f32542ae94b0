"""Whether what clients train fits into their memory, and what follows if it does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.learning.models.cost import ModelCost
from afl_sim.run.kinds import corrects, settings_of, strategy_of
from afl_sim.run.step_cost import model_cost_of, optimizer_states
from afl_sim.scenario import Scenario
from afl_sim.scenario.sections.group_members import members
from afl_sim.scenario.sections.personalization import Ditto
from afl_sim.streams import Streams
from afl_sim.world.clients.memory import UNBOUNDED, Room, absent_clients, room

Ints = npt.NDArray[np.int64]
_KEY = "clients.memory"
_PREFIXES = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))


def batches_that_fit(scenario: Scenario) -> Ints | None:
    """The most samples that fit into a mini-batch of each client; None if batches are as written.

    Returns:
        int64 (clients,). Only clients with ``too_small: smaller_batch`` are bounded.
    """
    found = _room(scenario)
    if found is None:
        return None
    bounded = found.of("smaller_batch")
    return np.where(bounded, found.most, UNBOUNDED) if bounded.any() else None


def clients_without_room(
    scenario: Scenario, samples_of: Callable[[int], int]
) -> npt.NDArray[np.bool_] | None:
    """Which clients do not take part, bool (clients,); None if all do."""
    found = _room(scenario)
    if found is None:
        return None
    batch = scenario.training.samples_per_step
    absent = absent_clients(found, batch, scenario.clients.count, samples_of)
    return absent if absent.any() else None


def check_fit(scenario: Scenario, sizes: Ints) -> None:
    """Refuse clients that cannot train, unless the scenario says what to do about them.

    Args:
        scenario: the run's.
        sizes: how many samples each client trains on, int64 (clients,).

    Raises:
        ScenarioError: a step of a client does not fit, or nobody can train.
    """
    found = _room(scenario)
    if found is None:
        return
    batch = scenario.training.samples_per_step
    wanted = np.array(sizes if batch is None else np.minimum(sizes, batch))
    small = found.most < wanted
    alone = found.of("smaller_batch")
    refused = small & (found.of("error") | (alone & (found.most < 1)))
    cost, states, copies = _needs(scenario)
    if refused.any():
        smallest = np.where(alone, np.minimum(wanted, 1), wanted)
        client = int(np.flatnonzero(refused)[0])
        needed = cost.needed(int(smallest[refused].max()), states, copies)
        ways = "too_small: absent" if alone[client] else "too_small: smaller_batch or absent"
        raise ScenarioError(
            f"{_place(scenario, client)}: client {client} has {_told(found.there[client])}, but "
            f"{_step(cost, int(smallest[client]), states, copies)}; {int(refused.sum())} of "
            f"{scenario.clients.count} clients have too little; expected at least {_told(needed)}, "
            f"a smaller training.batch_size or model, or {ways}"
        )
    if small.all() and found.of("absent").all():
        least = int(wanted.min())
        raise ScenarioError(
            f"{_KEY}: nobody can take part: the most is {_told(found.there.max())}, but "
            f"{_step(cost, least, states, copies)}; expected at least "
            f"{_told(cost.needed(least, states, copies))}, a smaller training.batch_size or model, "
            "or too_small: smaller_batch"
        )


def _room(scenario: Scenario) -> Room | None:
    """What fits; None if no client has a bound."""
    return _room_of(_This(scenario)) if bounds_memory(scenario) else None


class _This:
    """A scenario that is equal only to itself. Comparing two of many clients would take long."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _This) and other.scenario is self.scenario

    def __hash__(self) -> int:
        return id(self.scenario)


@lru_cache(maxsize=1)  # the checks, the learner and the world of a run all ask
def _room_of(this: _This) -> Room:
    scenario = this.scenario
    cost, states, copies = _needs(scenario)
    return room(scenario.clients, Streams(scenario.seed), cost.held(states, copies), cost.kept)


def bounds_memory(scenario: Scenario) -> bool:
    """Whether some clients have a bounded memory."""
    clients: Any = scenario.clients
    return any(
        part.memory is not None
        or (part.devices is not None and "memory" in part.devices.devices.columns)
        for part in (clients, *clients.groups)
    )


def _needs(scenario: Scenario) -> tuple[ModelCost, int, int]:
    """The cost of the model, the numbers of the optimizer, and further vectors in training."""
    strategy = strategy_of(scenario)
    copies = int(settings_of(scenario).proximal > 0) + int(corrects(strategy))
    copies += 2 * (strategy.gradients_per_step - 1)  # each has a model, beside the gradient before
    copies += strategy.refreshes  # the model that is merged
    copies += isinstance(scenario.training.personalization, Ditto)
    return model_cost_of(scenario), optimizer_states(scenario), copies


def _step(cost: ModelCost, batch: int, states: int, copies: int) -> str:
    """What a step needs, in words."""
    whole, once = cost.needed(batch, states, copies), cost.held(states, copies)
    samples = "1 sample" if batch == 1 else f"{batch} samples"
    return (
        f"a step on {samples} needs {_told(whole)} ({_told(once)} for parameters, gradient and "
        f"optimizer, {_told(whole - once)} for what the layers keep)"
    )


def _place(scenario: Scenario, client: int) -> str:
    """The key of a client's memory."""
    clients = scenario.clients
    if not clients.groups:
        return _KEY
    found = members(clients.groups, clients.count, Streams(scenario.seed))
    return f"clients.groups.{found[client]}.memory"


def _told(size: float) -> str:
    name, unit = next(((n, u) for n, u in _PREFIXES if size >= u), ("B", 1.0))
    return f"{size / unit:.4g} {name}"
