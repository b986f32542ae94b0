"""Groups of clients: what they take from the fleet, how large they are, and what is wrong."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenario_fakes import CATALOGUE

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario
from afl_sim.scenario import Scenario, dump_scenario, read_study, scenario_id
from afl_sim.scenario.bundled import scenario_folder
from afl_sim.scenario.sections.group_members import members, sizes
from afl_sim.scenario.sections.groups import ClientGroup
from afl_sim.streams import Streams

TEXT = """\
name: fleet
strategy: {kind: buffered, concurrency: 2}
stop: {updates: 10}
clients:
  count: 8
  compute: {seconds_per_sample: 0.01, jitter: 2}
  network: {download: {bandwidth: 1000}, upload: {bandwidth: 100, loss: 0.5}}
  availability: {kind: on_off, on: 5, off: 1, joins: 3}
  faults: {crash: 0.1, upload_loss: {probability: 0.2, timeout: 7}}
  groups:
"""
PHONES = "    - {name: phones, share: 0.5, %s}\n    - {name: rest, share: 0.5}\n"


def load(groups: str, *overrides: str, before: str = "") -> Scenario:
    return read_study(before + TEXT + groups, CATALOGUE, overrides).cases[0].scenario


def phones(said: str) -> Any:
    return load(PHONES % said).clients.groups[0]


def messages(groups: str, *overrides: str, before: str = "") -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        load(groups, *overrides, before=before)
    return [line.replace("<text>:", "") for line in str(caught.value).split("\n")]


def group(share: float, exactly: bool = True) -> ClientGroup:
    return ClientGroup(name=f"g{share}".replace(".", "-"), share=share, exactly=exactly)


def test_a_group_that_says_nothing_is_like_the_fleet() -> None:
    clients = load(PHONES % "exactly: true").clients
    for part in clients.groups:
        for name in ("compute", "network", "availability", "faults", "devices"):
            own, fleet = getattr(part, name), getattr(clients, name)
            assert (own and own.model_dump()) == (fleet and fleet.model_dump()), name


def test_a_group_replaces_the_keys_that_it_gives() -> None:
    found = phones("compute: {seconds_per_sample: 0.5}, network: {upload: {bandwidth: 7}}")
    assert found.compute.seconds_per_sample.constant == 0.5
    assert found.compute.jitter.constant == 2
    assert found.network.upload.bandwidth.constant == 7
    assert found.network.upload.loss == 0.5
    assert found.network.download.bandwidth.constant == 1000


def test_a_speed_in_another_unit_replaces_the_fleets() -> None:
    found = phones("compute: {seconds_per_step: 0.5}")
    assert found.compute.unit == "step"
    assert found.compute.seconds_per_sample is None


def test_of_another_kind_of_availability_the_common_keys_stay() -> None:
    found = phones("availability: {kind: diurnal, share: 0.5}").availability
    assert found.kind == "diurnal"
    assert found.joins.constant == 3
    assert phones("availability: {on: 9, kind: on_off, off: 2}").availability.joins.constant == 3


def test_blocks_inside_blocks_are_completed_too() -> None:
    found = phones("faults: {upload_loss: {probability: 0.3}}").faults
    assert found.upload_loss.timeout == 7
    assert found.crash.constant == 0.1


def test_what_is_written_out_reads_as_the_same_scenario() -> None:
    scenario = load(PHONES % "compute: {seconds_per_step: 0.5}, data: {share: 0.2}")
    again = read_study(dump_scenario(scenario), CATALOGUE).cases[0].scenario
    assert again == scenario
    assert dump_scenario(again) == dump_scenario(scenario)


def test_a_fleet_without_groups_keeps_its_identity() -> None:
    plain = TEXT.replace("  groups:\n", "")
    without = read_study(plain, CATALOGUE).cases[0].scenario
    assert "groups:" not in dump_scenario(without)
    assert scenario_id(without) == scenario_id(load("    []\n")), "an empty list is none"


def test_an_override_names_a_group() -> None:
    found = load(PHONES % "compute: {jitter: 3}", "clients.groups.rest.compute.jitter=5")
    assert [part.compute.jitter.constant for part in found.clients.groups] == [3, 5]
    (told,) = messages(PHONES % "exactly: true", "clients.groups.phone.share=0.3")
    assert "one of the names phones, rest" in told
    assert "did you mean 'phones'" in told


def test_exact_sizes_are_by_largest_remainder() -> None:
    thirds = [group(1 / 3), group(1 / 3), group(1 / 3)]
    assert sizes(thirds, 50) == [17, 17, 16]
    assert sizes([group(0.49), group(0.51)], 50) == [24, 26]  # 24.5 and 25.5
    assert sizes([group(0.25), group(0.35, False), group(0.4, False)], 10) == [3, None, None]  # 2.5


@pytest.mark.parametrize("seed", range(5))
def test_exact_groups_have_their_sizes_in_every_seed(seed: int) -> None:
    found = members([group(0.5), group(0.3), group(0.2)], 50, Streams(seed))
    assert Counter(found.tolist()) == {0: 25, 1: 15, 2: 10}


def test_who_is_in_a_group_is_drawn_by_the_seed() -> None:
    groups = [group(0.5), group(0.5)]
    several = {members(groups, 50, Streams(seed)).tobytes() for seed in range(5)}
    assert len(several) == 5
    assert members(groups, 50, Streams(1)).tobytes() in several


def test_a_drawn_group_has_the_binomial_spread_and_an_exact_one_beside_it_none() -> None:
    groups = [group(0.2), group(0.6, False), group(0.2, False)]
    drawn = np.array([np.bincount(members(groups, 100, Streams(s))) for s in range(400)])
    assert set(drawn[:, 0]) == {20}
    mean, spread = drawn[:, 1].mean(), drawn[:, 1].std()
    assert abs(mean - 60) < 4 * np.sqrt(15 / 400)  # 80 coins with probability 3/4
    assert abs(spread - np.sqrt(15)) < 0.6


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (
            "    - {name: a, share: 0.5}\n    - {name: b, share: 0.4}\n",
            "10: clients.groups: the shares of the groups add up to 0.9; expected 1",
        ),
        (
            "    - {name: a, count: 3}\n    - {name: b, count: 4}\n",
            "10: clients.groups: the counts of the groups add up to 7, but clients.count is 8; "
            "expected the same number",
        ),
        (
            "    - {name: a, count: 3}\n    - {name: b, share: 0.5}\n",
            "10: clients.groups: some groups give count and some share; expected the same key in "
            "all of them",
        ),
        (
            "    - {name: a, share: 0.5}\n    - {name: a, share: 0.5}\n",
            "12: clients.groups.1.name: 'a' names another group; expected different names",
        ),
        (
            "    - {name: a, share: 0.999}\n    - {name: b, share: 0.001}\n",
            "12: clients.groups.1.share: a share of 0.001 of 8 clients is none of them; expected a "
            "larger share, or more clients",
        ),
        (
            "    - {name: a}\n    - {name: b, share: 0.5}\n",
            "11: clients.groups.0: does not say how large the group is; expected share or count",
        ),
        (
            "    - {name: a, count: 8, exactly: false}\n",
            "11: clients.groups.0: a count is exact; expected exactly: true, or a share",
        ),
        (
            "    - {name: a, share: 0.5, compute: {seconds_per_sample: {values: [1, 2]}}}\n"
            "    - {name: b, share: 0.5}\n",
            "11: clients.groups.0.compute.seconds_per_sample: has values for 2 clients, but the "
            "group has 4; expected one value for each client",
        ),
        (
            "    - {name: a, share: 0.5, exactly: false, compute: {jitter: {values: [1, 2]}}}\n"
            "    - {name: b, share: 0.5}\n",
            "11: clients.groups.0.compute.jitter: has a value for each client, but how many "
            "clients are in this group is drawn; expected exactly: true, or another distribution",
        ),
        (
            "    - {name: a, share: 1, compute: {seconds_per_step: 1, seconds_per_task: 1}}\n",
            "11: clients.groups.0.compute: has both seconds_per_step and seconds_per_task; "
            "expected one of seconds_per_sample, seconds_per_step, seconds_per_task, "
            "flops_per_second",
        ),
        (
            "    - {name: a, share: 1, data: {partition: {kind: shared}}}\n",
            "11: clients.groups.0.data.partition: shared does not divide the samples, so that no "
            "group can have a part of them for itself; expected iid, dirichlet, shards, classes, "
            "quantity or sizes without replacement",
        ),
        (
            "    - {name: a, share: 0.5, data: {share: 0.5}}\n"
            "    - {name: b, share: 0.5, data: {share: 0.4}}\n",
            "10: clients.groups: the groups' shares of the data add up to 0.9; expected 1",
        ),
    ],
)
def test_bad_groups_are_told_in_one_line(groups: str, expected: str) -> None:
    assert messages(groups) == [expected]


def test_a_key_that_no_group_has_is_told_with_the_nearest() -> None:
    (told,) = messages(PHONES % "compte: {jitter: 1}")
    assert told.startswith("11: clients.groups.0.compte: unknown key")
    assert "did you mean 'compute'" in told


@pytest.mark.parametrize("strategy", ["fedqueue", "ata", "rescaled_asgd"])
@pytest.mark.parametrize(
    ("fleet", "expected"),
    [
        ("compute: {jiter: 2}", "did you mean 'jitter'?"),
        ("network: {upload: {bandwith: 100}}", "did you mean 'bandwidth'?"),
        ("faults: {crash: 7}", "clients.faults.crash"),
        ("queue: filo", "clients.queue"),
        ("devices: {trace: none.csv}", "none.csv"),
        ("memory: {bytes: -1}", "clients.memory"),
        ("power: {compute: -1}", "clients.power.compute"),
    ],
)
def test_a_mistake_of_the_fleet_beside_groups_is_told_alone(
    tmp_path: Path, fleet: str, expected: str, strategy: str
) -> None:
    file = tmp_path / "fleet.yaml"
    file.write_text(
        f"strategy: {{kind: {strategy}}}\nstop: {{updates: 9}}\nclients:\n  {fleet}\n  count: 8\n"
        "  groups:\n    - {name: a, share: 0.5}\n"
        "    - {name: b, share: 0.5, compute: {efficiency: 1}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file)
    (told,) = str(caught.value).split("\n")
    assert told.startswith(f"{file}:4: ")
    assert expected in told


def test_speeds_in_different_units_cannot_be_correlated_with_data() -> None:
    data = "data: {speed_correlation: {of: samples, strength: 0.5}}\n"
    (told,) = messages(PHONES % "compute: {seconds_per_step: 1}", before=data)
    assert "clients.groups.1.compute: its speed is per sample and another group's per step" in told


@pytest.mark.parametrize(
    ("fleet", "group"),
    [
        ("power: {P}, battery: {capacity: 1 Wh, charging: 9}", "battery: null"),
        ("power: {P}, price: {per_task: 1}", "price: null"),
        ("power: {P}, carbon_intensity: 30", "carbon_intensity: null"),
        ("power: {P}, energy_per_sample: 1", "energy_per_sample: null, power: {compute: 2}"),
        ("network: {upload: {bandwidth_trace: U}}", "network: {upload: {bandwidth_trace: null}}"),
        ("network: {upload: {bandwidth_trace: U}}", "network: {upload: {bandwidth: 5 MB/s}}"),
        ("compute: {flops_per_second: 1e9, efficiency: 0.3}", "compute: {efficiency: null}"),
        ("compute: {flops_per_second: 1e9, efficiency: 0.3}", "compute: {seconds_per_step: 1}"),
        (
            "availability: {kind: on_off, on: 3, off: 3, clients_share: 0.5}",
            "availability: {kind: on_off, clients_share: 1, on: 4, off: 1}",
        ),
        ("memory: 5 GB", "memory: {too_small: absent}"),
    ],
)
def test_what_a_group_turns_off_stays_off_when_a_resolved_scenario_is_read(
    fleet: str, group: str, tmp_path: Path
) -> None:
    trace = scenario_folder() / "traces" / "uplinks.csv"
    with_sample = "energy_per_sample" in fleet
    power = f"{{download: 1, upload: 1, idle: 0{'' if with_sample else ', compute: 1'}}}"
    clients = fleet.replace("{P}", power).replace("U}", f"{trace}}}")
    file = tmp_path / "groups.yaml"
    file.write_text(
        "strategy: {kind: fedasync, concurrency: 2}\nstop: {versions: 3}\n"
        f"clients: {{count: 4, {clients}, groups: [{{name: a, count: 2, {group}}}, "
        "{name: b, count: 2}]}\n"
    )
    made = load_scenario(file)
    first, second = made.clients.groups
    assert first.model_copy(update={"name": "b"}) != second
    file.write_text(dump_scenario(made))
    again = load_scenario(file)
    assert again.clients == made.clients
    assert scenario_id(again) == scenario_id(made)
