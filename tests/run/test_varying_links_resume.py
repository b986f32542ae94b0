"""A run whose links vary in time goes on from a checkpoint to the same result."""

from __future__ import annotations

from pathlib import Path

import pytest
from places import SMALLEST

from afl_sim.run.api import load_scenario, resume, simulate
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
