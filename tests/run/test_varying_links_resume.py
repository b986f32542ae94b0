"""A run whose links vary in time goes on from a checkpoint to the same result."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import SMALLEST

from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.memory import clients_without_room
from afl_sim.scenario.bundled import scenario_folder

SETTINGS = [
    "stop.updates=12",
    "evaluation.samples=100",
    "clients.network.upload={latency: 0.1, jitter: {dist: expon}, loss: 0.2, bandwidth_trace: "
    f"{{trace: {scenario_folder() / 'traces' / 'uplinks.csv'}, random_start: true}}}}",
]


def test_a_resumed_run_has_the_digests_of_a_whole_one(tmp_path: Path) -> None:
    scenario = load_scenario(SMALLEST, SETTINGS)
    whole = simulate(scenario, tmp_path / "whole")
    asked = iter([False])
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "stopped", stop_wanted=lambda: next(asked, True))
    resumed = resume(tmp_path / "stopped")
    for digest in ("schedule_digest", "model_digest"):
        assert resumed.summary[digest] == whole.summary[digest]
    assert (
        simulate(scenario, timing_only=True).summary["schedule_digest"]
        == (whole.summary["schedule_digest"])
    )


EVERYTHING = [
    *SETTINGS,
    "server.upload={kind: shared, bandwidth_trace: "
    f"{{trace: {scenario_folder() / 'traces' / 'uplinks.csv'}, factor: 1}}}}",
    "clients.availability={kind: on_off, on: {dist: expon, scale: 3}, off: {dist: expon}, "
    "on_leave: paused}",
    "clients.faults={crash: 0.1, upload_loss: {probability: 0.2, timeout: 0.5}}",
    "clients.power={compute: 3, download: 1, upload: 2, idle: 0.1}",
    "clients.groups=[{name: phones, count: 5, memory: {bytes: 70 kB, too_small: smaller_batch}, "
    "battery: {capacity: 10, charging: 2}}, {name: boards, count: 3, memory: {bytes: {values: "
    "[1 kB, 1 GB, 1 GB]}, too_small: absent}}, {name: rest, count: 2}]",
]


@pytest.mark.parametrize("timing_only", [False, True])
def test_groups_of_small_devices_whose_links_vary_go_on_to_the_same_result(
    tmp_path: Path, timing_only: bool
) -> None:
    longer = ["stop.updates=30", "execution.checkpoint_versions=1"]
    scenario = load_scenario(SMALLEST, [*EVERYTHING, *longer])
    whole = simulate(scenario, tmp_path / "whole", timing_only=timing_only)
    absent = clients_without_room(scenario, lambda client: 100)
    assert absent is not None
    (small,) = absent.nonzero()[0]
    assert whole.client_groups[small] == "boards"
    assert small not in set(whole.events["client"])
    asked = iter([False])
    with pytest.raises(KeyboardInterrupt):
        simulate(
            scenario,
            tmp_path / "stopped",
            timing_only=timing_only,
            stop_wanted=lambda: next(asked, True),
        )
    resumed = resume(tmp_path / "stopped")
    for key in ("schedule_digest", "model_digest", "energy_joules", "updates"):
        assert resumed.summary[key] == whole.summary[key]
    assert resumed.events.equals(whole.events)
