"""Runs in which clients keep parts of the model: the same anywhere, in pieces, and on record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import SMALLEST
from run_checks import every
from torch import nn

from afl_sim.errors import RunFolderError, ScenarioError
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.recording import Run
from afl_sim.recording.diff import first_divergence
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.preparation import prepare
from afl_sim.scenario import Scenario

STRATEGIES = {
    "fedavg": "{kind: fedavg, clients_per_round: 4, over_selection: 0.5}",
    "fedasync": "{kind: fedasync, concurrency: 4, max_staleness: 2}",
    "fedbuff": "{kind: fedbuff, concurrency: 5, buffer_size: 3}",
    "quafl": "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}",
    "favas": "{kind: favas, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.3}",
    "safa": "{kind: safa, clients_per_round: 3, lag_tolerance: 2}",
    "gradients": "{kind: asyncsgd, concurrency: 5}",
    "partial": "{kind: fedavg, clients_per_round: 4, deadline: 0.5, partial: keep}",
    "scaffold": "{kind: scaffold, clients_per_round: 3}",
}
FEEDBACK = "training.compression.upload={kind: topk, fraction: 0.1, error_feedback: true}"
FAULTS = (
    "clients.faults={crash: 0.2, corruption: {probability: 0.3}}",
    "server.guard={max_norm: 50}",
)
FEDREP = "training.personalization={kind: fedrep, steps: 2}"
DITTO = ("training.personalization={kind: ditto, lambda: 0.5, steps: 2}", "model.personal=null")
AWAY = (
    "clients.availability={kind: on_off, on: {dist: expon, scale: 1.0}, "
    "off: {dist: expon, scale: 0.5}, on_leave: partial}",
)
MODEL = "model={kind: mlp, hidden: [12], personal: ['3.*']}"


def small(strategy: str = "fedbuff", *more: str) -> Scenario:
    settings = [
        "stop.updates=12",
        "data={partition: {kind: classes, per_client: 2}, client_test: 0.02}",
        "training={steps: 3, batch_size: 10}",
        MODEL,
        "evaluation={every_seconds: 1, on: client_test, per_client: true}",
        "clients.compute={seconds_per_task: {dist: lognorm, s: 0.5, scale: 0.5}}",
    ]
    return load_scenario(SMALLEST, [f"strategy={STRATEGIES[strategy]}", *settings, *more])


def assert_same(run: Run, other: Run) -> None:
    for key in ("schedule_digest", "model_digest", "personal_digest", "final", "updates"):
        assert run.summary[key] == other.summary[key], key
    assert run.events.equals(other.events)
    assert run.metrics.equals(other.metrics)


def in_pieces(scenario: Scenario, folder: Path, n: int) -> Run:
    stop = every(n)
    try:
        simulate(scenario, folder, stop_wanted=stop)
    except KeyboardInterrupt:
        while True:
            try:
                return resume(folder, stop_wanted=stop)
            except KeyboardInterrupt:
                pass
    raise AssertionError("it was never stopped")


@pytest.mark.parametrize(
    ("strategy", "more"),
    [
        ("fedavg", ()),
        ("fedbuff", (FEEDBACK,)),
        ("fedasync", FAULTS),
        ("scaffold", FAULTS),
        ("quafl", FAULTS),
        ("favas", ()),
        ("safa", ()),
        ("quafl", (FEDREP,)),
        ("partial", (FEDREP, *AWAY)),
        ("fedasync", (*DITTO, *FAULTS)),
        ("partial", (*DITTO, *AWAY)),
    ],
)
def test_a_run_in_pieces_is_the_run_in_one(
    strategy: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    scenario = small(strategy, *more)
    whole = simulate(scenario)
    assert_same(in_pieces(scenario, tmp_path / "run", 2), whole)
    assert whole.summary["numerics"]["bits"] == "portable"
    timed = simulate(scenario, timing_only=True)
    assert timed.summary["schedule_digest"] == whole.summary["schedule_digest"]
    if FAULTS[0] in more:
        assert whole.summary["rejected"]
        assert whole.summary["updates"]["failed"]


@pytest.mark.parametrize(
    ("strategy", "more"), [("quafl", (FEDREP,)), ("scaffold", ()), ("fedbuff", DITTO)]
)
def test_worker_processes_give_the_same_bits(
    strategy: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    settings = (*FAULTS, *more)
    pooled = small(strategy, *settings, "execution={executor: processes, workers: 2}")
    whole = simulate(small(strategy, *settings))
    assert_same(in_pieces(pooled, tmp_path / "run", 2), whole)


def test_dittos_models_stand_beside_those_of_a_run_without_them() -> None:
    task = "clients.compute={seconds_per_task: {dist: lognorm, s: 0.5, scale: 0.5}}"
    plain = simulate(small("fedbuff", task, "model.personal=null"))
    ditto = simulate(small("fedbuff", task, *DITTO))
    assert ditto.summary["schedule_digest"] == plain.summary["schedule_digest"]
    assert ditto.summary["model_digest"] == plain.summary["model_digest"]
    assert ditto.metrics.loss.equals(plain.metrics.loss)
    last = ditto.metrics.iloc[-1]
    assert last.personal_accuracy > last.accuracy
    assert len(last.client_personal_accuracy) == 10
    assert set(ditto.personal(0)) == set(ditto.model())
    per_task = plain.summary["samples_trained"]
    assert ditto.summary["samples_trained"] * 3 == per_task * 5  # 3 steps, and 2 more


def test_dittos_models_train_beside_gradients() -> None:
    run = simulate(small("gradients", *DITTO))
    plain = simulate(small("gradients", "model.personal=null"))
    assert run.summary["model_digest"] == plain.summary["model_digest"]
    assert run.metrics.personal_loss.iloc[-1] < run.metrics.personal_loss.iloc[0]


def test_dittos_models_differ_and_a_difference_is_found() -> None:
    runs = [
        simulate(small("fedbuff", *DITTO, f"training.personalization.lambda={w}")) for w in (0, 2)
    ]
    assert runs[0].summary["model_digest"] == runs[1].summary["model_digest"]
    assert runs[0].summary["personal_digest"] != runs[1].summary["personal_digest"]
    assert first_divergence(*runs) is not None


def test_what_is_personal_takes_no_time_on_the_network_and_no_other_in_a_schedule() -> None:
    network = "clients.network={upload: {bandwidth: 1.0e+5}, download: {bandwidth: 1.0e+5}}"
    run = simulate(small("fedbuff", network))
    shared = 4 * (28 * 28 * 12 + 12)
    assert set(run.events[run.events.kind == "arrived"].bytes) == {shared}
    timed = simulate(small("fedbuff", network), timing_only=True)
    assert timed.summary["schedule_digest"] == run.summary["schedule_digest"]
    assert "personal_digest" not in timed.summary
    whole = simulate(small("fedbuff", network, "model={kind: mlp, hidden: [12]}"), timing_only=True)
    assert whole.summary["schedule_digest"] != timed.summary["schedule_digest"]


def by_hand(run: Run, scenario: Scenario) -> list[float]:
    """The accuracy of every client's own model, from the files of the run."""
    prepared = prepare(scenario)
    dataset, testing = prepared.dataset, prepared.testing
    assert dataset is not None
    assert testing is not None
    found = []
    for client in range(scenario.clients.count):
        weights = {**run.model(), **run.personal(client)}
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 12), nn.ReLU(), nn.Linear(12, 10))
        model.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
        rows = torch.tensor(testing.indices(client))
        outputs = model(dataset.inputs[rows]).argmax(1)
        found.append(float((outputs == dataset.labels[rows]).double().mean()))
    return found


def test_each_client_is_tested_with_its_own_model_on_its_own_samples(tmp_path: Path) -> None:
    scenario = small("fedbuff", "stop.updates=9")
    run = simulate(scenario, tmp_path / "run")
    expected = by_hand(run, scenario)
    last = run.metrics.iloc[-1]
    assert list(last.client_accuracy) == pytest.approx(expected, abs=1e-9)
    testing = prepare(scenario).testing
    assert testing is not None
    sizes = [testing.indices(client).size for client in range(10)]
    assert last.accuracy == pytest.approx(np.average(expected, weights=sizes))
    assert run.summary["fairness"]["accuracy"]["mean"] == pytest.approx(np.mean(expected))
    arrived = set(run.events[run.events.kind == "arrived"].client)
    initial = run.model()
    for client in range(10):
        same = np.array_equal(run.personal(client)["3.weight"], initial["3.weight"])
        assert same == (client not in arrived)


def test_samples_of_an_evaluation_are_a_subset_of_the_clients_own() -> None:
    on = "evaluation={every_versions: 2, on: client_train, samples: 100, per_client: true}"
    run = simulate(small("fedbuff", on))
    assert run.metrics.accuracy.iloc[-1] * 100 == pytest.approx(
        round(run.metrics.accuracy.iloc[-1] * 100)
    )
    assert run.metrics.client_accuracy.iloc[-1] is not None


def test_an_arrival_changes_an_evaluation_even_without_a_new_version() -> None:
    often = "evaluation={every_seconds: 0.1, on: client_test}"
    run = simulate(small("fedbuff", often))
    rows = run.metrics[run.metrics.version == 0]
    assert rows.loss.nunique() > 1  # a buffer fills up, and the clients have heads of their own


def test_evaluations_do_not_change_the_numbers_of_a_run() -> None:
    seldom = simulate(small("fedbuff", "evaluation={on: client_test}"))
    often = simulate(small("fedbuff", "evaluation={every_seconds: 0.2, on: client_train}"))
    for key in ("schedule_digest", "model_digest", "personal_digest"):
        assert seldom.summary[key] == often.summary[key]


def test_a_client_that_crashes_keeps_what_it_had(monkeypatch: pytest.MonkeyPatch) -> None:
    starts: dict[tuple[int, int], Any] = {}
    ends: dict[tuple[int, int], Any] = {}
    real = LocalTrainer.train

    def train(self: Any, client: int, task: int, steps: int, start: Any, *rest: Any) -> Any:
        result = real(self, client, task, steps, start, *rest)
        starts[client, task], ends[client, task] = start[-130:], result.vector[-130:]
        return result

    monkeypatch.setattr("afl_sim.learning.training.chain_training.LocalTrainer.train", train)
    run = simulate(small("fedasync", "clients.faults={crash: 0.4}", "stop.updates=25"))
    fates = run.events[run.events.kind.isin(["arrived", "failed"])]
    followed = 0
    for client, tasks in fates.groupby("client"):
        last = None
        for row in tasks.itertuples():
            if (client, row.task) in starts and last is not None:
                assert torch.equal(starts[client, row.task], ends[client, last])
                followed += 1
            if row.kind == "arrived":
                last = row.task
    assert followed > 3


def test_personal_parts_are_read_safely(tmp_path: Path) -> None:
    run = simulate(small(), tmp_path / "run")
    with pytest.raises(RunFolderError, match=r"has no client 10; expected a number from 0 to 9"):
        run.personal(10)
    file = tmp_path / "run" / "personal.safetensors"
    content = file.read_bytes()
    file.write_bytes(content.replace(b'"clients"', b'"clientz"'))
    with pytest.raises(RunFolderError, match=r"personal.safetensors is damaged"):
        Run(run.path, "", "", run.scenario, {}, {}).personal(0)
    file.unlink()
    with pytest.raises(RunFolderError, match=r"personal.safetensors is missing"):
        resume(tmp_path / "run")
    plain = simulate(load_scenario(SMALLEST, ["stop.updates=5"]))
    with pytest.raises(RunFolderError, match="clients keep parts of the model"):
        plain.personal(0)


def test_a_model_with_nothing_to_send_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    scenario = small("fedbuff", "model={kind: logistic, personal: ['*']}")
    with pytest.raises(ScenarioError, match=r"model.personal: .* nothing would be sent"):
        simulate(scenario, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_scenario_without_personal_parts_keeps_its_identity() -> None:
    written = load_scenario(SMALLEST).model_dump(mode="json", by_alias=True)
    assert "personal" not in json.dumps(written)
