"""Servers that wait for every client, and clients that never take part."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import Command

from afl_sim.errors import ScenarioError
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.validation import check_study
from afl_sim.strategies import strategies

BUFFER = "concurrency: 4, buffer_size: 2"
ROUNDS = "clients_per_round: 2"
POLLS = "clients_per_round: 2, local_steps: 2, interaction_seconds: 1"
SETTINGS = {
    **dict.fromkeys(
        ("fedavg", "fedprox", "mifa", "scaffold", "feddyn", "safa"), "clients_per_round: 2"
    ),
    **dict.fromkeys(("fedat", "tifl"), "tiers: 2, clients_per_round: 1"),
    **dict.fromkeys(("quafl", "favas"), POLLS),
    **dict.fromkeys(("fedbuff", "ca2fl", "fadas", "port", "fedstaleweight"), BUFFER),
    **dict.fromkeys(("momentum_approximation", "fedac", "fedpsa"), BUFFER),
    "fedasync": "concurrency: 4",
    "fedasmu": "concurrency: 4",
    "fedfix": "interval: 3",
    "fedqueue": "round_seconds: 90",
    "dude_asgd": "workers_per_step: 1",
    "fedcompass": "min_steps: 1, max_steps: 4",
    "area": "buffer_size: 2",
    "fedfa": "queue_size: 2, concurrency: 4",
    "flanp": "initial_clients: 4",
    "generalized_asyncsgd": "concurrency: 4",
    "optimized_asyncsgd": "concurrency: 4",
    "rennala": "batch_size: 2",
}
"""Beside the kind, for four clients."""
NEVER = {
    "memory": "memory: {bytes: {values: [1 B, 1 GB, 1 GB, 1 GB]}, too_small: absent}",
    "joins": "availability: {kind: always, joins: {values: [501, 0, 0, 0]}}",
    "leaves": "availability: {kind: always, leaves: {values: [0, 900, 900, 900]}}",
    "hours": "availability: {kind: trace, trace: hours.csv}",
    "chance": "availability: {kind: bernoulli, probability: {values: [0, 1, 1, 1]}}",
    "crash": "faults: {crash: {values: [1, 0, 0, 0]}}",
    "group": "groups: [{name: rest, count: 3}, {name: none, count: 1, availability: "
    "{kind: always, joins: 1000}}]",
}


def scenario(
    folder: Path, kind: str, clients: str, stop: str = "versions: 3, virtual_seconds: 500"
) -> Path:
    (folder / "hours.csv").write_text("client,start,end\n0,600,700\n1,0,900\n2,0,900\n3,0,900\n")
    more = SETTINGS.get(kind)
    file = folder / f"{kind}.yaml"
    file.write_text(
        f"strategy: {{kind: {kind}{', ' + more if more else ''}}}\n"
        f"stop: {{{stop}}}\n"
        "training: {steps: 2, batch_size: 10}\n"
        "model: logistic\n"
        f"clients: {{count: 4, compute: {{seconds_per_step: 1}}, {clients}}}\n"
    )
    return file


@pytest.mark.parametrize("kind", sorted(strategies()))
def test_a_server_waits_for_all_if_and_only_if_it_says_so(
    kind: str, tmp_path: Path, monkeypatch: Any
) -> None:
    # One that is gone, since some wait for clients that will come back, be it after the end.
    made = load_scenario(scenario(tmp_path, kind, NEVER["leaves"]))
    monkeypatch.setattr("afl_sim.run.api.check_attendance", lambda *_: None)
    waits = simulate(made, timing_only=True).summary["versions"] == 0
    assert waits == strategies()[kind].waits_for_all


@pytest.mark.parametrize("why", NEVER)
@pytest.mark.parametrize("kind", sorted(k for k, s in strategies().items() if s.waits_for_all))
def test_a_client_that_never_takes_part_is_told_before_the_run(
    kind: str, why: str, tmp_path: Path
) -> None:
    file = scenario(tmp_path, kind, NEVER[why])
    with pytest.raises(ScenarioError) as caught:
        check_study(file, timing_only=True)
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{file}:1: strategy.kind: {kind} makes no version before every client")
    assert "1 of 4 clients never takes part: client" in line
    told = {"memory": "has too little memory", "crash": "crashes in each of its tasks"}
    assert told.get(why, "is not there in the first 500 s") in line


def test_a_client_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    late = "availability: {kind: always, joins: {values: [400, 0, 0, 0]}}"
    check_study(file := scenario(tmp_path, "malenia", late), timing_only=True)
    assert simulate(load_scenario(file), timing_only=True).summary["versions"] == 3
    # Without an end of the run any return is in time.
    file = scenario(tmp_path, "malenia", NEVER["hours"], "versions: 3")
    check_study(file, timing_only=True)


def test_a_run_without_a_command_is_refused_too(tmp_path: Path) -> None:
    made = load_scenario(scenario(tmp_path, "aced", NEVER["memory"]))
    with pytest.raises(ScenarioError, match=r"strategy\.kind: aced makes no version"):
        simulate(made, tmp_path / "run", timing_only=True)
    assert not (tmp_path / "run").exists()


def test_the_command_tells_it_with_the_line(tmp_path: Path) -> None:
    scenario(tmp_path, "ia2sgd", NEVER["memory"])
    command = Command(tmp_path, tmp_path)
    (result,) = command.batch([("run", "ia2sgd.yaml", "--timing-only")])
    assert result.code == 2
    (line,) = result.errors
    assert line.startswith("ia2sgd.yaml:1: strategy.kind: ia2sgd makes no version")
    assert not (tmp_path / "runs").exists()


def test_the_last_lines_tell_of_a_client_that_left_before_its_first_update(tmp_path: Path) -> None:
    leaves = "availability: {kind: always, leaves: {values: [1, 900, 900, 900]}}"
    scenario(tmp_path, "ringleader", leaves)
    command = Command(tmp_path, tmp_path)
    (result,) = command.batch([("run", "ringleader.yaml", "--timing-only", "--out", "run")])
    told = (
        "no version was made: the server waits for an update of every client, but 1 of 4 clients "
        "will never send one: client 0 has left for good"
    )
    assert f"s: {told}" in result.succeeded().err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["reason"] == told
