"""Settings that are seldom meant are told in one line each, and accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from afl_sim.run.api import read_study
from afl_sim.scenario import Study
from afl_sim.scenario.checks.doubts import doubts

BASE = {
    "clients": "{count: 5}",
    "strategy": "{kind: fedavg, clients_per_round: 2}",
    "stop": "{versions: 3}",
}


def study(**sections: str) -> Study:
    text = "\n".join(f"{key}: {value}" for key, value in {**BASE, **sections}.items())
    return read_study(text + "\n")


def network(bandwidth: str) -> str:
    return f"{{count: 5, network: {{upload: {{bandwidth: {bandwidth}}}}}}}"


def test_ordinary_settings_give_no_warning() -> None:
    fine = study(
        strategy="{kind: fedavg, clients_per_round: 2, over_selection: 0.3}",
        clients=network("20 kB/s"),
        evaluation="{targets: [0.8], every_versions: 1}",
        sweep="{seed: [0, 1]}",
    )
    assert doubts(fine) == []
    weeks = study(
        clients="{count: 5, compute: {seconds_per_task: 14 d}}",
        evaluation="{every_seconds: 1 h}",
        stop="{virtual_seconds: 365 d}",
    )
    assert doubts(weeks) == []


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        (
            {"strategy": "{kind: fedavg, clients_per_round: 2, over_selection: 1.3}"},
            "strategy.over_selection: 1.3 means 130 % more clients than a round needs; 0.3 means "
            "30 %",
        ),
        (
            {"clients": network("20")},
            "clients.network.upload.bandwidth: 20 bytes per second is below 1 kB/s",
        ),
        (
            {"clients": network("{dist: lognorm, s: 1, scale: 1 TB/s}")},
            "clients.network.upload.bandwidth: 1e+12 bytes per second is above 100 GB/s",
        ),
        (
            {"server": "{download: {kind: shared, bandwidth: 100}}"},
            "server.download.bandwidth: 100 bytes per second is below 1 kB/s",
        ),
        (
            {
                "clients": "{count: 5, groups: [{name: slow, count: 2, network: {download: "
                "{bandwidth: 64}}}, {name: rest, count: 3}]}"
            },
            "clients.groups.slow.network.download.bandwidth: 64 bytes per second",
        ),
        ({"evaluation": "{targets: [0.8]}"}, "evaluation.targets: the model is evaluated only at"),
        (
            {"sweep": "{stop.virtual_seconds: [60, 1 min]}"},
            "sweep: the runs virtual_seconds-60 and virtual_seconds-1-min have the same settings",
        ),
        (
            {"evaluation": "{every_seconds: 3}", "stop": "{virtual_seconds: 600000, versions: 9}"},
            "evaluation.every_seconds: 3 s mean 200,000 evaluations in 600000 s, each with a row",
        ),
        (
            {
                "evaluation": "{every_seconds: 3}",
                "clients": "{count: 5, compute: {seconds_per_task: 14 d}}",
            },
            "evaluation.every_seconds: 3 s mean 403,200 evaluations in a usual task of 1.2096e+06 ",
        ),
        (
            {
                "evaluation": "{every_seconds: 0.01}",
                "clients": "{count: 5, compute: {seconds_per_step: 60}}",
                "training": "{steps: 10}",
            },
            "evaluation.every_seconds: 0.01 s mean 60,000 evaluations in a usual task of 600 s or",
        ),
        ({"sweep": "{seed: [1, 2, 1]}"}, "sweep: the runs seed-1 and seed-1-2 have the same"),
    ],
)
def test_what_is_seldom_meant_is_told_once(sections: dict[str, str], told: str) -> None:
    (line,) = doubts(study(**sections))
    assert re.sub("^warning: line [0-9]+: ", "warning: ", line).startswith(f"warning: {told}")


def test_a_warning_names_the_line_of_its_key(tmp_path: Path) -> None:
    (tmp_path / "w.yaml").write_text(
        "strategy: {kind: fedavg, clients_per_round: 2}\nstop: {versions: 3}\nclients:\n"
        "  count: 4\n  groups:\n    - name: phones\n      count: 2\n      network:\n"
        "        upload:\n          bandwidth: 20\n    - {name: others, count: 2}\n"
    )
    (line,) = doubts(read_study(tmp_path / "w.yaml"))
    assert line.startswith("warning: line 10: clients.groups.phones.network.upload.bandwidth: 20 b")


def test_a_warning_is_told_once_for_all_runs() -> None:
    assert len(doubts(study(clients=network("20"), replications="3"))) == 1


def test_bandwidths_of_devices_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("upload_bandwidth_kbit_per_s\n1\n2\n")
    told = doubts(study(clients=f"{{count: 5, devices: {tmp_path / 'd.csv'}}}"))
    assert told[0].startswith(
        "warning: line 1: clients.devices.upload_bandwidth: 250 bytes per second"
    )


def test_a_run_without_training_has_no_targets_to_reach() -> None:
    assert doubts(study(evaluation="{targets: [0.8]}"), timing_only=True) == []
