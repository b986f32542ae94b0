"""Clients whose data goes with their speed: who gets which part of a partition, and how closely."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from scipy.stats import spearmanr

from afl_sim import load_scenario, simulate
from afl_sim.errors import ScenarioError
from afl_sim.execution.tasks import TrainingTask
from afl_sim.learning.data.annotations import Annotations
from afl_sim.learning.data.datasets import stored_pool
from afl_sim.learning.partition import make_partition
from afl_sim.learning.partition.by_speed import by_speed, contents, correlated
from afl_sim.run.partition_table import show_partition
from afl_sim.run.preparation import prepare
from afl_sim.run.recipe import build_runner, recipe_of, worker_runner
from afl_sim.run.validation import check_study
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.speed_correlation import SpeedCorrelation
from afl_sim.streams import Streams
from afl_sim.world.clients.grouping import speeds
from afl_sim.world.tasks.compute import Compute
from afl_sim.world.tasks.workload import Workload

LABELS = np.random.default_rng(0).integers(0, 10, 20_000)
SKEWED = {"kind": "dirichlet", "alpha": 0.3, "min_samples": 5}


def test_the_number_of_labels_is_the_exponential_of_the_entropy() -> None:
    counts = np.array([[7, 0, 0], [5, 5, 0], [2, 2, 2], [3, 1, 0], [0, 0, 0]])
    expected = [1, 2, 3, np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25))), 1]
    assert contents(counts, "labels") == pytest.approx(expected)
    assert list(contents(counts, "samples")) == [7, 10, 6, 4, 0]
    assert list(contents(counts[:3, ::-1], "main_label")) == [2, 1, 0]


def table(strength: float, of: Any = "labels", seed: int = 1, **partition: Any) -> tuple[Any, Any]:
    """The seconds of 200 clients, and their samples by label."""
    spec = DataSpec.model_validate({"partition": partition or SKEWED})
    parts = make_partition(spec, Annotations(LABELS, 10), 200, Streams(seed))
    seconds = np.random.default_rng(seed).lognormal(size=200)
    chosen = SpeedCorrelation(of=of, strength=strength)
    dealt = correlated(parts, LABELS, 10, seconds.tolist(), chosen, Streams(seed))
    counts = dealt.label_counts(LABELS, 10)
    for client in (0, 77, 199):
        held = dealt.indices(client)
        assert np.array_equal(np.bincount(LABELS[held], minlength=10), counts[client])
        assert dealt.size(client) == len(held) == dealt.sizes[client]
    assert np.array_equal(dealt.label_counts(LABELS, 10, first=30), counts[:30])
    before = parts.label_counts(LABELS, 10)
    assert sorted(map(tuple, counts)) == sorted(map(tuple, before))  # the parts change hands alone
    return seconds, counts


@pytest.mark.parametrize("of", ["labels", "samples", "main_label"])
@pytest.mark.parametrize("sign", [1, -1])
def test_at_full_strength_speed_orders_what_clients_hold(of: str, sign: int) -> None:
    seconds, counts = table(float(sign), of)
    slowest_first = contents(counts, of)[np.argsort(-seconds)]
    assert np.all(sign * np.diff(slowest_first) >= 0)


def test_the_rank_correlation_is_that_of_a_normal_pair() -> None:
    """Spearman's of a bivariate normal is 6/pi asin(strength / 2); 200 clients, 30 seeds, each
    mean within 4 standard errors: a false alarm in about 5,000."""
    for strength in (-0.8, 0.0, 0.4):
        found = []
        for seed in range(30):
            seconds, counts = table(strength, seed=seed)
            found.append(spearmanr(-seconds, contents(counts, "labels")).statistic)
        expected = 6 / np.pi * np.arcsin(strength / 2)
        error = np.std(found, ddof=1) / np.sqrt(len(found))
        assert abs(np.mean(found) - expected) < 4 * error + 0.005  # finite ranks: below 1/200


def test_clients_of_the_same_speed_are_ordered_by_chance() -> None:
    alike = [by_speed([2.0] * 50, 1.0, Streams(seed)) for seed in (1, 2)]
    assert not np.array_equal(*alike)
    bimodal = by_speed([1.0, 9.0] * 25, 1.0, Streams(1))
    assert set(bimodal[:25]) == set(range(1, 50, 2))  # the slow ones first
    assert list(bimodal[:25]) != sorted(bimodal[:25])


def test_clients_that_draw_their_samples_on_demand_change_places_too() -> None:
    seconds, counts = table(-1.0, kind="dirichlet", alpha=0.3, samples=40, replacement=True)
    assert np.all(counts.sum(axis=1) == 40)
    assert np.all(np.diff(contents(counts, "labels")[np.argsort(-seconds)]) <= 0)


def test_there_are_no_other_clients_than_these() -> None:
    spec = DataSpec.model_validate({"partition": SKEWED})
    parts = make_partition(spec, Annotations(LABELS, 10), 20, Streams(1))
    dealt = correlated(parts, LABELS, 10, [1.0] * 20, SpeedCorrelation(of="labels"), Streams(1))
    with pytest.raises(IndexError, match="client 20 of 20"):
        dealt.indices(20)
    with pytest.raises(IndexError, match="client -1 of 20"):
        dealt.size(-1)


FLEET = """\
name: fleet
seed: 3
data:
  partition: {kind: dirichlet, alpha: 0.3, samples: 60}
  speed_correlation: {of: labels, strength: -1}
model: logistic
training: {epochs: 1, batch_size: 20, optimizer: {kind: SGD, lr: 0.05}}
clients: {count: 12, compute: {seconds_per_sample: {dist: lognorm, s: 1.0, scale: 0.01}}}
strategy: {kind: fedbuff, concurrency: 4, buffer_size: 2}
evaluation: {samples: 500}
stop: {updates: 16}
"""


def fleet(tmp_path: Any, *settings: str) -> Any:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET, encoding="utf-8")
    return load_scenario(file, settings)


def test_the_speeds_are_those_at_which_clients_compute(tmp_path: Any) -> None:
    scenario = fleet(tmp_path)
    streams = Streams(scenario.seed)
    workload = Workload(lambda client: 60, 20, scenario.training.epochs, None, False, streams)
    compute = Compute(scenario.clients.compute, workload, streams)
    assert speeds(scenario.clients, streams) == tuple(map(compute.level, range(12)))


def test_fast_clients_of_a_run_hold_few_labels(tmp_path: Any) -> None:
    run = simulate(fleet(tmp_path), timing_only=True)
    counts = np.array(pq.read_table(run.path / "partition.parquet")["labels"].to_pylist())
    held = contents(counts, "labels")
    scenario = fleet(tmp_path)
    fastest_first = np.argsort(speeds(scenario.clients, Streams(scenario.seed)))
    assert np.all(np.diff(held[fastest_first]) >= 0)
    assert held.max() > 1.5 * held.min()


def test_workers_deal_the_same_samples_out(tmp_path: Any) -> None:
    """What is sent to a worker is enough for it, and trains other models at another strength."""

    def trained(strength: int, client: int) -> list[Any]:
        scenario = fleet(tmp_path, f"data.speed_correlation.strength={strength}")
        prepared = prepare(scenario)
        assert prepared.dataset is not None
        recipe = recipe_of(scenario)
        here, *_ = build_runner(recipe, prepared.dataset, prepared.partition)
        sent = pickle.dumps(replace(recipe, stored=stored_pool(scenario.data)))
        there = worker_runner(pickle.loads(sent))
        task = TrainingTask(client, 0, 3, prepared.initial, 1.0)
        return [
            here.train(client, 0, 3, prepared.initial, prepared.initial, 1.0).delta,
            there.train(task, None).delta,
        ]

    here, there = trained(-1, client=2)
    assert torch.equal(here, there)
    assert not torch.equal(here, trained(1, client=2)[0])


def test_the_schedule_does_not_depend_on_who_holds_which_labels(tmp_path: Any) -> None:
    digests = {
        simulate(
            fleet(tmp_path, f"data.speed_correlation.strength={strength}"), timing_only=True
        ).summary["schedule_digest"]
        for strength in (-1, 0.5)
    }
    assert len(digests) == 1


def test_where_samples_go_with_speed_the_schedule_follows(tmp_path: Any) -> None:
    settings = "data={partition: {kind: quantity}, speed_correlation: {of: samples, strength: %d}}"
    longest = [
        simulate(fleet(tmp_path, settings % strength), timing_only=True).summary["virtual_seconds"]
        for strength in (1, -1)
    ]
    assert longest[0] < longest[1]  # slow clients with much to do are slower still


def test_a_study_shows_who_holds_what_at_each_strength(tmp_path: Any, capsys: Any) -> None:
    file = tmp_path / "study.yaml"
    sweep = "sweep: {data.speed_correlation.strength: [-1, 1, 1.0]}\n"
    file.write_text(FLEET + sweep, encoding="utf-8")
    show_partition(check_study(file))
    tables = capsys.readouterr().out.split("mnist, dirichlet, 12 clients")[1:]
    assert len(tables) == 2  # the third is the second
    assert tables[0] != tables[1]


def test_mistakes_are_named(tmp_path: Any) -> None:
    for setting, message in (
        ("data.speed_correlation.strength=1.5", "less than or equal to 1|at most 1"),
        ("data.speed_correlation.of=label", "main_label"),
        ("data.speed_correlation.kind=labels", "kind"),
    ):
        with pytest.raises(ScenarioError, match=message):
            fleet(tmp_path, setting)
