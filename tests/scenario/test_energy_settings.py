"""Power, prices and carbon in scenario files: what is inherited, refused and doubted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from afl_sim.errors import ScenarioError
from afl_sim.run.api import read_study
from afl_sim.scenario import Scenario, dump_scenario
from afl_sim.scenario.checks.doubts import doubts
from afl_sim.scenario.distributions.distribution import Distribution
from afl_sim.scenario.sections.energy_presets import NETWORKS, POWER

WHOLE = "{compute: 4 W, download: 1100 mW, upload: 1.6, idle: 0.05}"


def text(clients: str = "", **sections: str) -> str:
    network = "network: {upload: {latency: 1}, download: {latency: 1}}"
    lines = {
        "clients": f"{{count: 4, {network}{', ' if clients else ''}{clients}}}",
        "strategy": "{kind: fedasync, concurrency: 2}",
        "stop": "{versions: 3}",
        **sections,
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items())


def read(clients: str = "", **sections: str) -> Scenario:
    return read_study(text(clients, **sections)).cases[0].scenario


def test_numbers_of_power_and_energy_may_have_units() -> None:
    power = read(f"power: {WHOLE}").clients.power
    assert power is not None
    assert power.download is not None
    assert power.download.constant == 1.1
    by_sample = read("power: {idle: 0}, energy_per_sample: 3 mJ/sample, energy_per_byte: 50 nJ")
    assert by_sample.clients.energy_per_sample is not None
    assert by_sample.clients.energy_per_sample.constant == 0.003
    both = by_sample.clients.energy_per_byte
    assert both is not None
    assert both.download == both.upload


def test_a_resolved_scenario_reads_as_itself() -> None:
    scenario = read(f"power: {WHOLE}, price: {{per_task: 1}}", server="{power: 1 kW}")
    again = read_study(dump_scenario(scenario)).cases[0].scenario
    assert again.clients == scenario.clients
    assert again.server == scenario.server


def test_what_is_not_used_is_not_written() -> None:
    written = dump_scenario(read())
    for key in ("power", "price", "energy", "carbon"):
        assert key not in written


GROUPS = "groups: [{name: a, count: 2%s}, {name: b, count: 2}]"


@pytest.mark.parametrize(
    ("group", "key", "expected"),
    [
        ("", "power.compute", 4.0),
        ("power: {compute: 9}", "power.compute", 9.0),
        ("power: {compute: 9}", "power.idle", 0.05),
        ("energy_per_sample: 2", "power.compute", None),
        ("energy_per_sample: 2", "energy_per_sample", 2.0),
        ("energy_per_byte: {upload: 2}", "power.upload", None),
        ("energy_per_byte: {upload: 2}", "power.download", 1.1),
        ("price: {per_gb: 7}", "price.per_task", 3.0),
        ("price: {per_gb: 7}", "price.per_gb", 7.0),
        ("", "carbon_intensity", 250.0),
        ("carbon_intensity: 30", "carbon_intensity", 30.0),
    ],
)
def test_a_group_has_what_the_fleet_has_unless_it_says_otherwise(
    group: str, key: str, expected: float | None
) -> None:
    more = GROUPS % (f", {group}" if group else "")
    fleet = f"power: {WHOLE}, price: {{per_task: 3}}, carbon_intensity: 250"
    found: Any = read(f"{fleet}, {more}").clients.groups[0]
    for part in key.split("."):
        found = getattr(found, part)
    assert getattr(found, "constant", found) == expected


def test_a_group_can_turn_joules_of_the_fleet_into_watts() -> None:
    fleet = "power: {idle: 0}, energy_per_sample: 2, energy_per_byte: 1"
    group = read(f"{fleet}, {GROUPS % ', power: {compute: 5, upload: 6}'}").clients.groups[0]
    assert group.energy_per_sample is None
    assert group.energy_per_byte is not None
    assert group.energy_per_byte.upload is None
    assert group.energy_per_byte.download is not None


@pytest.mark.parametrize(
    ("clients", "sections", "expected"),
    [
        ("power: {compute: 4, idle: 0, download: 1}", {}, "clients.power: no power for upload"),
        ("power: {compute: 4, download: 1, upload: 1}", {}, "clients.power: no power for idle"),
        ("energy_per_byte: 1", {}, "clients: no power for compute and idle"),
        (f"power: {WHOLE.replace('4 W', '-4')}", {}, "clients.power.compute: got -4"),
        (f"power: {WHOLE.replace('4 W', '4 Watt')}", {}, "did you mean"),
        (f"power: {WHOLE.replace('4 W', '4 J')}", {}, "'J' is no unit here; expected watts"),
        (
            f"power: {WHOLE}, energy_per_sample: 1",
            {},
            "clients.power.compute: power.compute and energy_per_sample both say",
        ),
        (
            f"{GROUPS % f', power: {WHOLE}'}",
            {},
            "clients.groups.1: no power for download, compute, upload and idle",
        ),
        ("", {"stop": "{energy_joules: 3}"}, "stop.energy_joules: no energy is counted"),
        ("", {"stop": "{price: 3}"}, "stop.price: there are no prices"),
        (f"power: {WHOLE}", {"stop": "{carbon_grams: 3}"}, "stop.carbon_grams: no carbon is"),
        ("", {"carbon_intensity": "300"}, "carbon_intensity: no energy is counted"),
        ("", {"server": "{carbon_intensity: 300}"}, "carbon_intensity: no energy is counted"),
        ("", {"server": "{power: {dist: expon}}"}, "server.power: varies"),
        ("price: {per_task: -1}", {}, "clients.price.per_task: got -1"),
    ],
)
def test_what_cannot_be_counted_is_told_in_one_line(
    clients: str, sections: dict[str, str], expected: str
) -> None:
    with pytest.raises(ScenarioError, match=r"^<text>:\d+: ") as caught:
        read(clients, **sections)
    (line,) = str(caught.value).splitlines()
    assert expected in line


def test_power_is_not_asked_for_where_a_phase_takes_no_time() -> None:
    read_study(
        "clients: {count: 2, power: {compute: 1, idle: 0}}\n"
        "strategy: {kind: fedasync, concurrency: 1}\n"
        "stop: {versions: 1}\n"
    )


def test_a_phone_of_kilowatts_is_doubted_with_its_line() -> None:
    study = read_study(text(f"power: {WHOLE.replace('4 W', '4000')}"))
    (line,) = doubts(study)
    assert line.startswith("warning: line 1: clients.power.compute: 4000 W is much for a client")
    assert "4000 mW" in line
    assert doubts(read_study(text(f"power: {WHOLE}"))) == []
    (line,) = doubts(read_study(text(f"power: {WHOLE.replace('0.05', '50')}")))
    assert "clients.power.idle: 50 W are more than the 4 W of computing" in line


def test_presets_are_written_out_as_numbers_and_own_keys_go_before_them() -> None:
    named = read("power: raspberry-pi-4, energy_per_byte: lte").clients
    assert named.power is not None
    assert named.power.idle is not None
    assert named.power.idle.constant == POWER["raspberry-pi-4"].values["idle"]
    assert named.energy_per_byte is not None
    assert named.energy_per_byte.upload is not None
    assert named.energy_per_byte.upload.constant == NETWORKS["lte"].values["upload"]
    own = read("power: {preset: jetson-nano, idle: 2 W}, energy_per_byte: 5 nJ").clients
    assert own.power is not None
    assert (own.power.compute, own.power.idle) == (Distribution(10.0), Distribution(2.0))


@pytest.mark.parametrize(
    ("clients", "expected"),
    [
        ("power: raspbery-pi-4, energy_per_byte: lte", "did you mean 'raspberry-pi-4'?"),
        ("power: nvidia-h100-pcie, energy_per_byte: lte", "no power for idle"),
        ("power: raspberry-pi-4, energy_per_byte: lteA", "expected one of wifi, lte, 5g-mmwave"),
        ("power: raspberry-pi-4, energy_per_byte: 5 nW", "'nW' is no unit here"),
    ],
)
def test_a_preset_that_is_not_there_or_says_too_little_is_told(clients: str, expected: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read(clients)
    assert expected in str(caught.value)


def test_every_preset_says_where_it_was_read() -> None:
    for preset in (*POWER.values(), *NETWORKS.values()):
        assert preset.source in preset.described
        assert all(value > 0 for value in preset.values.values())
        assert ("Unconfirmed" in preset.described) == bool(preset.unconfirmed)


def test_power_can_come_from_a_column_whose_name_says_its_unit(tmp_path: Path) -> None:
    (tmp_path / "phones.csv").write_text("client,compute_mW\n0,1000\n1,2000\n2,3000\n3,4500\n")
    trace = "{trace: phones.csv, column: compute_mW, by: client}"
    study = read_study(text(f"power: {WHOLE.replace('4 W', trace)}"), base=tmp_path)
    power = study.cases[0].scenario.clients.power
    assert power is not None
    assert power.compute is not None
    assert [power.compute.mean(client) for client in range(4)] == [1.0, 2.0, 3.0, 4.5]
