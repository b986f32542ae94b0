"""The parts of a fleet, and what is usual in one: for checks that look at each."""

from __future__ import annotations

from typing import Final

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.distributions.laws import sample
from afl_sim.scenario.mistakes.explain import KeyPath
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.energy import Power
from afl_sim.scenario.traces.device_columns import POWERS

Doubt = tuple[KeyPath, str]
"""The key path of what looks wrong, and the message."""

_LOOKED_AT: Final = 1000  # clients of a list


def parts_of(clients: Clients) -> list[tuple[KeyPath, Clients]]:
    """The fleet, or its groups by name, with their key paths."""
    if not clients.groups:
        return [(("clients",), clients)]
    return [(("clients", "groups", g.name), clients.of_group(g)) for g in clients.groups]


def measured(fleet: Clients) -> Clients:
    """The fleet, with the power that its devices have; each client has one of the values."""
    if fleet.devices is None:
        return fleet
    columns = fleet.devices.devices.columns
    watts = {
        name.removeprefix("power_"): Distribution.of(sample(columns[name]), {"device": name})
        for name in POWERS
        if name in columns
    }
    if not watts:
        return fleet
    power = (fleet.power or Power()).model_copy(update=watts)
    return fleet.model_copy(update={"power": power})


def usual(law: Distribution) -> float:
    """The median; of clients with laws of their own, that of the client in the middle."""
    count = min(law.length or 1, _LOOKED_AT)
    return sorted(law.quantile(0.5, client) for client in range(count))[count // 2]
