"""The clocks of QuAFL's and FAVAS's scenarios, without training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import poisson

from afl_sim import simulate
from afl_sim.analysis.papers import favas
from afl_sim.analysis.statistics import prediction_interval
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.validation import check_study


def timed(name: str, label: str, setting: str) -> Run:
    """One case of a target's study, timing only, with one setting changed."""
    study = check_study(find_target(name).file("mnist"), [setting], timing_only=True)
    (scenario,) = (case.scenario for case in study.cases if case.label == label)
    return simulate(scenario, timing_only=True)


def test_quafl_polls_five_clients_every_ten_seconds() -> None:
    run = timed("quafl", "quafl", "replications=1")
    rows = run.events[run.events["kind"] == "aggregated"]
    assert run.summary["versions"] == 49  # at 10, ..., 490; the end is at 500
    assert rows.groupby("version").size().tolist() == [5] * 49
    assert (rows["time_us"] == 10_000_000 * rows["version"]).all()


def test_fedbuffs_updates_come_at_the_rate_of_the_fleet() -> None:
    run = timed("quafl", "fedbuff-instant", "replications=1")
    arrived = run.summary["updates"]["arrived"]
    # Ten clients of 5 steps of 2 s and ten of 5 steps of 8 s: 500 (10/10 + 10/40) = 625 tasks. Gaps
    # are Gamma(5), so counts vary by sqrt(625 / 5) = 11; four of those, and the first tasks' start.
    assert arrived == pytest.approx(625, abs=50)


def test_a_step_of_fedbuff_takes_ten_seconds_more() -> None:
    run = timed("quafl", "fedbuff", "replications=1")
    events = run.events
    made = events[events["kind"] == "aggregated"].groupby("version")["time_us"].first().to_numpy()
    assert 40 < len(made) <= 49
    assert (made[1:] - made[:-1] >= 10_000_000).all()


def test_a_round_of_fedavg_ends_ten_seconds_after_its_slowest_client() -> None:
    run = timed("quafl", "fedavg", "replications=1")
    events = run.events
    made = events[events["kind"] == "aggregated"].groupby("version")["time_us"].first()
    last = events[events["kind"] == "arrived"].groupby("base_version")["time_us"].max()
    assert (made.to_numpy() - last.to_numpy()[: len(made)] == 10_000_000).all()


def test_favas_polls_twenty_clients_every_seven_units() -> None:
    run = timed("favas", "iid-favas", "stop.virtual_seconds=140")
    rows = run.events[run.events["kind"] == "aggregated"]
    assert run.summary["versions"] == 19  # at 7, ..., 133; the end is at 140
    assert rows.groupby("version").size().tolist() == [20] * 19
    assert rows["steps"].max() <= 20


def test_steps_at_a_poll_are_those_of_the_closed_form(tmp_path: Path) -> None:
    target = find_target("favas")
    study = check_study(target.file("schedule"), ["replications=3"], timing_only=True)
    runs = []
    for case in study.cases:
        run = simulate(case.scenario, tmp_path / case.label, timing_only=True)
        runs.append(replace(run, label=case.label))
    measured = favas.measure({"schedule": runs})["steps_at_contact"]
    for label, mean in (("fast", 2.0), ("slow", 16.0)):
        gaps = np.arange(1, 400)  # rounds between two polls: geometric, mean n / s = 5
        waited = poisson.sf(np.arange(20)[:, None], 7 * gaps / mean)  # P(N >= k), k = 1, ..., 20
        expected = float((waited * 0.2 * 0.8 ** (gaps - 1)).sum())
        found = prediction_interval(measured[f"{label} clients"])
        assert found.low <= expected <= found.high
        row = target.tables["steps_at_contact"].rows[f"{label} clients"]
        assert row.reported == pytest.approx(expected, abs=0.005)
