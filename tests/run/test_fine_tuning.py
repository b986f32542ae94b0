"""Fine-tuning before the clients' models are tested: measured beside the global model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from places import SMALLEST
from run_checks import digests, every
from torch import nn

from afl_sim.errors import ScenarioError
from afl_sim.recording import Run
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.preparation import prepare
from afl_sim.scenario import Scenario

TUNING = "{steps: 3, lr: 0.1}"
SETTINGS = (
    "stop.updates=10",
    "data={partition: {kind: classes, per_client: 2}, client_test: 0.02}",
    "training={steps: 3, batch_size: full}",
)


def small(
    *more: str, tuning: str = TUNING, evaluation: str = "every_seconds: 3, samples: 100"
) -> Scenario:
    block = f"evaluation={{{evaluation}, per_client: true, fine_tuning: {tuning}}}"
    return load_scenario(SMALLEST, [*SETTINGS, block, *more])


def assert_same(run: Run, other: Run) -> None:
    assert digests(run) == digests(other)
    assert run.summary["final"] == other.summary["final"]
    assert run.metrics.equals(other.metrics)


@pytest.fixture(scope="module")
def tuned() -> Run:
    return simulate(small())


def test_the_tuned_models_are_those_of_plain_gradient_descent(tuned: Run) -> None:
    prepared = prepare(small())
    assert prepared.dataset is not None
    assert prepared.testing is not None
    inputs, labels = prepared.dataset.inputs, prepared.dataset.labels
    right, losses, sizes = [], [], []
    for client in range(10):
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
        model.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in tuned.model().items()})
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        rows = torch.tensor(prepared.partition.indices(client))
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
        rows = torch.tensor(prepared.testing.indices(client))
        outputs = model(inputs[rows]).detach()
        right.append(float((outputs.argmax(1) == labels[rows]).double().mean()))
        losses.append(float(nn.functional.cross_entropy(outputs, labels[rows])))
        sizes.append(len(rows))
    last = tuned.metrics.iloc[-1]
    assert list(last.client_personal_accuracy) == pytest.approx(right)
    assert last.personal_accuracy == pytest.approx(np.average(right, weights=sizes))
    assert last.personal_loss == pytest.approx(np.average(losses, weights=sizes), rel=1e-4)
    assert last.personal_accuracy > last.accuracy + 0.2  # two labels a client are easy to learn
    assert tuned.summary["fairness"]["personal_accuracy"]["mean"] == pytest.approx(np.mean(right))
    assert tuned.better["personal_loss"] == "lower"


def test_fine_tuning_is_a_measurement_and_changes_nothing_else(tuned: Run) -> None:
    plain = simulate(small(tuning="null"))
    assert digests(plain) == digests(tuned)
    assert plain.metrics.loss.equals(tuned.metrics.loss)
    assert list(plain.metrics.client_accuracy[0]) == list(tuned.metrics.client_accuracy[0])
    assert "personal_accuracy" not in plain.metrics


def test_a_run_in_pieces_and_worker_processes_measure_the_same(tuned: Run, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(small(), tmp_path / "run", stop_wanted=every(1))
    assert_same(resume(tmp_path / "run"), tuned)
    assert_same(simulate(small("execution={executor: processes, workers: 2}")), tuned)


def test_fine_tuning_goes_with_batched_training_and_with_gradient_methods() -> None:
    for more in ("numerics.mode=batched", "strategy={kind: asyncsgd, concurrency: 3}"):
        run = simulate(small(more, "stop.updates=4"))
        assert run.metrics.personal_accuracy.iloc[-1] > run.metrics.accuracy.iloc[-1]


def test_a_personalised_metric_is_a_target_and_ends_a_run() -> None:
    run = simulate(
        small(
            "stop={updates: 60, metrics: {personal_accuracy: 0.7}}",
            evaluation="every_versions: 1, samples: 100, "
            "targets: {personal_accuracy: 0.6, personal_loss: 2.0}",
        )
    )
    assert run.summary["stopped_by"] == "personal_accuracy"
    assert run.summary["time_to"]["personal_accuracy"]["0.6"] is not None
    assert run.summary["time_to"]["personal_loss"]["2"] is not None


def test_heads_that_clients_keep_are_tuned_from_where_they_are() -> None:
    personal = "model={kind: mlp, hidden: [12], personal: ['3.*']}"
    evaluation = "on: client_test"
    run = simulate(small(personal, evaluation=evaluation, tuning="{steps: 1, lr: 0.0}"))
    last = run.metrics.iloc[-1]
    assert last.personal_loss == pytest.approx(last.loss)  # no rate: the models as they are
    better = simulate(small(personal, evaluation=evaluation, tuning="{epochs: 30, lr: 0.1}"))
    assert better.metrics.personal_loss.iloc[-1] < last.loss
    assert better.summary["personal_digest"] == run.summary["personal_digest"]


@pytest.mark.parametrize(
    ("tuning", "message"),
    [
        (
            "{steps: 1, parameters: ['2.*']}",
            r"evaluation.fine_tuning.parameters: '2.\*' matches no",
        ),
        ("{steps: 1, epochs: 1}", "has both epochs and steps"),
        ("{steps: 0}", "steps: got 0; expected more than 0"),
    ],
)
def test_wrong_settings_are_told(tuning: str, message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        prepare(small(tuning=tuning), timing_only=True)


def test_without_samples_of_their_own_clients_cannot_be_tested() -> None:
    with pytest.raises(ScenarioError, match=r"evaluation.fine_tuning: .*data.client_test above 0"):
        load_scenario(SMALLEST, [f"evaluation={{fine_tuning: {TUNING}}}"])
