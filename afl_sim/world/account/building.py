"""From a scenario to the account of its runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.scenario import Scenario
from afl_sim.scenario.sections.carbon import TracedIntensity
from afl_sim.scenario.sections.clients import Clients
from afl_sim.scenario.sections.energy import counts_energy
from afl_sim.scenario.traces.instants import instant_of
from afl_sim.streams import Streams
from afl_sim.world.account.account import Account, Counted
from afl_sim.world.account.batteries import Batteries
from afl_sim.world.account.costs import ServerTariff, Tariff
from afl_sim.world.account.devices import devices_of
from afl_sim.world.account.intensity import MICROGRAMS, Intensity
from afl_sim.world.account.lives import Comings, Instants, lives
from afl_sim.world.account.part import IDLE, PartAccount
from afl_sim.world.account.server_account import ServerAccount
from afl_sim.world.clients.grouping import Grouping, grouping_of
from afl_sim.world.microseconds import MICROSECONDS

AnyIntensity = float | TracedIntensity | None


def account_of(
    scenario: Scenario, streams: Streams, absent: npt.NDArray[np.bool_] | None = None
) -> Account | None:
    """The account that a scenario asks for; None if it says nothing of energy or prices.

    Args:
        scenario: with its lists in their order (`with_shuffles`).
        streams: the run's random streams.
        absent: which clients do not take part, so that they use nothing, bool (clients,); None if
            all do.
    """
    server = scenario.server
    grouping = grouping_of(scenario.clients, streams)
    fleets = [part.clients for part in grouping.parts]
    counted = Counted(
        clients=any(map(counts_energy, fleets)),
        by_sample=any(fleet.energy_per_sample is not None for fleet in fleets),
        price=server.price is not None or any(fleet.price is not None for fleet in fleets),
    )
    if not counted.clients and not counted.price and server.power is None:
        return None
    parts = [_part(fleet, scenario.carbon_intensity, streams) for fleet in fleets]
    comings = _present(grouping, parts, scenario.clients.count, streams, absent)
    batteries = None
    if any(fleet.battery is not None for fleet in fleets):
        batteries = Batteries(grouping.choose([fleet.battery for fleet in fleets]), streams)
    return Account(parts, grouping.choose(parts), comings, _server(scenario), counted, batteries)


def _part(clients: Clients, common: AnyIntensity, streams: Streams) -> PartAccount:
    price = clients.price
    tariff = Tariff() if price is None else Tariff(price.per_task, price.per_gb)
    own = clients.carbon_intensity
    intensity = intensity_of(common if own is None else own)
    return PartAccount(devices_of(clients, streams), tariff, intensity)


def _present(
    grouping: Grouping,
    parts: list[PartAccount],
    count: int,
    streams: Streams,
    absent: npt.NDArray[np.bool_] | None,
) -> Comings | None:
    """Give each part the idle power of its clients at 0; returns when others join and leave."""
    join: Instants = np.zeros(count, dtype=np.int64)
    leave: Instants = np.zeros(count, dtype=np.int64)
    everyone = np.arange(count)
    for index, (part, account) in enumerate(zip(grouping.parts, parts, strict=True)):
        who = everyone if grouping.members is None else np.flatnonzero(grouping.members == index)
        join[who], leave[who] = lives(part, who, streams)
        if absent is not None:
            join[absent], leave[absent] = 0, 0
        there = who[(join[who] == 0) & (leave[who] > 0)]
        account.watts[IDLE] = sum(account.devices.idle(there).tolist())
    return Comings.of(join, leave)


def _server(scenario: Scenario) -> ServerAccount:
    server = scenario.server
    price = server.price
    tariff = ServerTariff()
    if price is not None:
        tariff = ServerTariff(price.per_hour, price.per_gb_in, price.per_gb_out)
    own = server.carbon_intensity
    intensity = intensity_of(scenario.carbon_intensity if own is None else own)
    return ServerAccount(_microwatts(server.power), intensity, tariff)


def intensity_of(settings: AnyIntensity) -> Intensity | None:
    """The intensity that a scenario describes; None if it describes none."""
    if settings is None:
        return None
    if not isinstance(settings, TracedIntensity):
        return Intensity((round(settings * MICROGRAMS),))
    found, origin = settings.intensities, settings.origin
    begin = found.begin_us
    if isinstance(origin, str):
        instant = instant_of(origin)
        assert instant is not None  # it was checked with the file
        begin = instant.us
    elif origin is not None:
        begin = round(origin * MICROSECONDS)
    steps = tuple(round(grams * MICROGRAMS) for grams in found.grams)
    return Intensity(steps, found.step_us, (begin - found.begin_us) % (len(steps) * found.step_us))


def _microwatts(power: Distribution | None) -> int | None:
    if power is None or power.constant is None:
        return None
    return round(power.constant * 1e6)
