"""What a run will cost: the work is counted exactly, and each part of it is measured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from places import SMALLEST
from torch import nn

from afl_sim.execution.runner import TaskRunner
from afl_sim.learning.models.flops import forward_flops
from afl_sim.run.api import load_scenario, read_study, simulate
from afl_sim.run.cost import Rates, flops_per_sample, measure
from afl_sim.run.preparation import prepare
from afl_sim.run.work import Work, work_of
from afl_sim.study.costs import costs, shared

DATA = "data={partition: {kind: dirichlet, alpha: 1.0, min_samples: 5}, client_test: 0.02}"
SMALL = (
    "stop.updates=15",
    "training={steps: 3, batch_size: 10}",
    "model={kind: mlp, hidden: [8]}",
    "evaluation={every_versions: 2, samples: 50}",
    "clients.compute={seconds_per_task: {dist: lognorm, s: 0.5, scale: 0.5}}",
)
RUNS = {
    "over-selection": ("strategy={kind: fedavg, clients_per_round: 4, over_selection: 0.5}",),
    "discarded": ("strategy={kind: fedasync, concurrency: 6, max_staleness: 2}",),
    "polled": (
        "strategy={kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}",
    ),
    "used twice": ("strategy={kind: safa, clients_per_round: 3, lag_tolerance: 2}",),
    "epochs": (
        "strategy={kind: fedbuff, concurrency: 5, buffer_size: 3}",
        DATA,
        "training={epochs: 2, batch_size: 10}",
    ),
    "what clients keep": (
        "strategy={kind: fedasync, concurrency: 6, max_staleness: 2}",
        "model={kind: mlp, hidden: [8], personal: ['3.*']}",
        "training.personalization={kind: fedrep, steps: 2}",
        "evaluation={every_versions: 2, on: client_test}",
        DATA,
    ),
    "what clients keep, untested": (
        "strategy={kind: fedasync, concurrency: 6, max_staleness: 2}",
        "training.personalization={kind: ditto, lambda: 0.5, steps: 2}",
        "evaluation.on=client_test",
        DATA,
    ),
    "error feedback": (
        "strategy={kind: fedasync, concurrency: 6, max_staleness: 2}",
        "training.compression.upload={kind: topk, fraction: 0.1, error_feedback: true}",
    ),
    "two gradients": (
        "strategy={kind: rennala_mvr, concurrency: 5, batch_size: 3, late: discard}",
    ),
    "crashes": (
        "strategy={kind: fedbuff, concurrency: 5, buffer_size: 3}",
        "clients.faults={crash: 0.3}",
    ),
}


@pytest.mark.parametrize("settings", RUNS.values(), ids=RUNS.keys())
def test_the_work_is_what_a_run_does(
    settings: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, *settings])
    done: list[Any] = []
    train = TaskRunner.train

    def counted(self: Any, task: Any, own: Any) -> Any:
        done.append(task)
        return train(self, task, own)

    monkeypatch.setattr(TaskRunner, "train", counted)
    run = simulate(scenario)
    work = work_of(prepare(scenario, timing_only=True))
    assert isinstance(work, Work)
    assert work.tasks == len(done) > 0
    assert work.steps == sum(task.steps + task.extra_steps for task in done)
    assert work.evaluations == len(run.metrics)
    assert work.updates == run.summary["updates"]["aggregated"]
    assert not work.at_most


def test_samples_are_those_of_the_batches() -> None:
    scenario = load_scenario(
        SMALLEST,
        [
            *SMALL,
            "data.partition.samples=25",
            "training={epochs: 2, batch_size: 10}",
            "strategy={kind: fedasync, concurrency: 2}",
        ],
    )
    work = work_of(prepare(scenario, timing_only=True))
    assert isinstance(work, Work)
    assert (work.tasks, work.steps, work.samples) == (15, 15 * 2 * 3, 15 * 2 * 25)


def test_a_metric_that_ends_the_run_makes_the_work_an_upper_limit() -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, "stop={updates: 15, accuracy: 0.2}"])
    work = work_of(prepare(scenario, timing_only=True))
    assert isinstance(work, Work)
    assert work.at_most
    assert work.updates == 15


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("stop={accuracy: 0.9}", "accuracy is the only rule"),
        ("server.selection={kind: oort}", "oort reads training results"),
    ],
)
def test_work_that_only_training_tells_is_not_guessed(setting: str, why: str) -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, setting])
    work = work_of(prepare(scenario, timing_only=True))
    assert isinstance(work, str)
    assert why in work


def test_a_measurement_trains_no_more_than_its_time_allows() -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, "stop.updates=100000"])
    rates = measure(scenario, 0.2)
    assert min(rates.preparation, rates.step, rates.evaluation) > 0
    assert rates.update is not None
    assert rates.update > 0


def test_a_round_that_is_longer_than_the_measurement_is_cut_short() -> None:
    scenario = load_scenario(
        SMALLEST, [*SMALL, "training.steps=2000", "strategy={kind: fedavg, clients_per_round: 5}"]
    )
    rates = measure(scenario, 0.0)
    assert rates.step > 0  # one task was trained
    assert rates.update is None
    work = Work(10, 10, 200, 2000, 3, seconds=5.0, at_most=False)
    expected = rates.preparation + 200 * rates.step + 3 * rates.evaluation + 5.0
    assert rates.seconds(work) == pytest.approx(expected)


def test_workers_share_tasks_and_evaluations_alone() -> None:
    rates = Rates(preparation=1.0, step=0.1, evaluation=0.5, update=0.01)
    work = Work(100, 100, 200, 2000, 4, seconds=9.0, at_most=False)
    assert rates.seconds(work) == pytest.approx(1 + 20 + 2 + 1)
    assert rates.seconds(work, workers=2) == pytest.approx(1 + 11 + 1)


def test_a_study_computes_a_schedule_once_and_measures_runs_of_one_kind_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = read_study(
        SMALLEST,
        [
            *(setting for setting in SMALL if not setting.startswith("training")),
            "replications=2",
            "sweep={training.optimizer.lr: [0.1, 0.01], strategy.concurrency: [2, 3]}",
        ],
    )
    counted = {"work": 0, "measured": 0}

    def count(name: str, function: Any) -> Any:
        def counting(*args: Any) -> Any:
            counted[name] += 1
            return function(*args)

        return counting

    rates = Rates(0.1, 0.001, 0.01, 0.001)
    monkeypatch.setattr("afl_sim.study.costs.work_of", count("work", work_of))
    monkeypatch.setattr("afl_sim.study.costs.measure", count("measured", lambda *_: rates))
    found = list(costs(study))
    assert len(found) == 8
    assert counted == {"work": 4, "measured": 4}
    same = shared(study)
    assert (same.partitions, same.models, same.fleets, same.schedules) == (2, 2, 2, 4)
    for cost in found:
        assert isinstance(cost.work, Work)
        assert cost.flops == 3 * cost.work.samples * 2 * (784 * 8 + 8 * 10)
        assert cost.seconds == rates.seconds(cost.work)


def test_a_step_of_two_gradients_has_twice_the_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("afl_sim.study.costs.measure", lambda *_: Rates(0.1, 0.001, 0.01, 0.001))
    for kind, gradients in (("rennala", 1), ("rennala_mvr", 2)):
        study = read_study(SMALLEST, [*SMALL, f"strategy={{kind: {kind}, batch_size: 3}}"])
        (cost,) = costs(study)
        assert isinstance(cost.work, Work)
        assert cost.flops == gradients * 3 * cost.work.samples * 2 * (784 * 8 + 8 * 10)


@pytest.mark.parametrize(
    ("model", "inputs", "flops"),
    [
        (nn.Linear(7, 3), torch.zeros(4, 7), 4 * 2 * 7 * 3),
        (nn.Conv2d(2, 5, 3), torch.zeros(4, 2, 8, 6), 4 * 2 * 5 * 2 * 9 * 6 * 4),
        (nn.Conv2d(8, 8, 3, groups=8), torch.zeros(1, 8, 5, 5), 2 * 8 * 9 * 9),
        (
            nn.LSTM(8, 16, 2, batch_first=True),
            torch.zeros(4, 5, 8),
            2 * 4 * 5 * 64 * (8 + 16 + 16 + 16),
        ),
        (
            nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval(),
            torch.zeros(4, 5, 16),
            2 * 4 * 5 * (4 * 16 * 16 + 2 * 16 * 32) + 2 * 2 * 4 * 5 * 5 * 16,
        ),
        (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), torch.zeros(3).long(), 3 * 2 * 8),
    ],
    ids=["linear", "convolution", "grouped convolution", "lstm", "attention", "embedding"],
)
def test_operations_are_counted_by_hand(model: nn.Module, inputs: torch.Tensor, flops: int) -> None:
    assert forward_flops(model, inputs) == flops


def test_a_layer_that_cannot_be_counted_makes_the_number_unknown() -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)
            self.weight = nn.Parameter(torch.zeros(4, 2))

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return torch.stack([torch.mv(self.weight, row) for row in self.layer(inputs)])

    assert forward_flops(nn.Sequential(Product()), torch.zeros(5, 3)) is None


def test_operations_of_a_scenario_are_those_of_one_sample() -> None:
    scenario = load_scenario(SMALLEST, ["model={kind: mlp, hidden: [8]}"])
    assert flops_per_sample(scenario) == 2 * (784 * 8 + 8 * 10)
