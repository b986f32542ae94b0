"""What one task and what the server count, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from afl_sim.world.account.costs import ServerTariff, Tariff
from afl_sim.world.account.devices import PICO, Devices, Use
from afl_sim.world.account.intensity import MICROGRAMS, PER_GRAM, Intensity
from afl_sim.world.account.part import COMPUTE, DOWNLOAD, UPLOAD, PartAccount
from afl_sim.world.account.server_account import ServerAccount
from afl_sim.world.account.task_energy import NO_PHASE, TaskEnergy
from afl_sim.world.microseconds import MICROSECONDS

WATTS = (1_000_000, 4_000_000, 2_000_000, 500_000)


def task(per_sample: float = 0.0, upload: float = 0.0) -> TaskEnergy:
    use = Use(WATTS, per_sample, (0.0, upload))
    devices = Devices(lambda client: use, lambda who: np.zeros(len(who), np.int64))
    return TaskEnergy(PartAccount(devices, Tariff(), None), use)


def test_a_task_spends_the_power_of_each_phase_for_as_long_as_it_is_in_it() -> None:
    spending = task()
    spending.enter(DOWNLOAD, 5 * MICROSECONDS)
    assert spending.part.watts == [WATTS[0], 0, 0, 0]
    assert spending.spent == 0
    spending.enter(COMPUTE, 7 * MICROSECONDS)
    assert spending.part.watts == [0, WATTS[1], 0, 0]
    assert spending.spent == 2 * 1 * PICO
    spending.enter(NO_PHASE, 17 * MICROSECONDS)
    spending.enter(UPLOAD, 20 * MICROSECONDS)
    spending.enter(NO_PHASE, 23 * MICROSECONDS)
    assert spending.part.watts == [0, 0, 0, 0]
    assert spending.spent == (2 * 1 + 10 * 4 + 3 * 2) * PICO


def test_samples_count_once_though_they_are_told_again() -> None:
    spending = task(per_sample=0.25)
    for samples in (8, 8, 20):
        spending.trained(samples, MICROSECONDS)
    assert spending.spent == spending.part.energy[COMPUTE] == 5 * PICO


def test_bytes_of_an_upload_count_for_the_task_and_for_its_part_of_the_fleet() -> None:
    spending = task(upload=0.5)
    spending.uploaded(6, MICROSECONDS)
    assert (spending.part.moved, spending.spent) == (6, 3 * PICO)
    assert spending.part.energy == [0, 0, 3 * PICO, 0]


def test_the_server_uses_power_and_carbon_by_time_and_pays_for_hours_and_bytes() -> None:
    intensity = Intensity((360 * MICROGRAMS,))  # g/kWh
    server = ServerAccount(100_000_000, intensity, ServerTariff(2.0, 0.5, 0.25), 10**9, 4 * 10**9)
    hour = 3600 * MICROSECONDS
    assert server.energy(hour) == 360_000 * PICO
    carbon = server.carbon(hour)
    assert carbon is not None
    assert carbon / PER_GRAM == pytest.approx(36)  # of 0.1 kWh
    assert server.price(hour) == 2.0 + 0.5 + 4 * 0.25


def test_what_the_scenario_does_not_say_of_the_server_is_not_counted() -> None:
    unknown = ServerAccount(None, Intensity((1,)), ServerTariff())
    assert unknown.energy(5) is None
    assert unknown.carbon(5) is None
    assert unknown.price(5) == 0
    assert ServerAccount(7, None, ServerTariff()).carbon(5) is None
