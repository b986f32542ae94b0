"""bfloat16 training is a numerics class of its own: repeatable, and close to exact float32."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from places import SMALLEST
from run_checks import digests

from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import deterministic, fingerprint
from afl_sim.learning.training.evaluation import Evaluator
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.preparation import Prepared, prepare
from afl_sim.run.recipe import build_runner, recipe_of
from afl_sim.scenario import scenario_id
from afl_sim.scenario.sections.settings import Numerics

BF16 = "numerics.precision=bf16"
SMALL = ["data.partition.samples=50", "evaluation.samples=100", "stop.updates=12", "model=lenet"]
STRATEGIES = {
    "fedbuff": "strategy={kind: fedbuff, concurrency: 5, buffer_size: 3}",
    "quafl": "strategy={kind: quafl, clients_per_round: 3, local_steps: 4, "
    "interaction_seconds: 0.5}",
}
LENET = [
    "model=lenet",
    "training.batch_size=32",
    "training.optimizer.lr=0.05",
    "data.partition.samples=200",
]


@pytest.fixture(autouse=True)
def _as_in_a_run() -> Iterator[None]:
    with deterministic():
        yield


def parts(*settings: str) -> tuple[Prepared, LocalTrainer, Evaluator]:
    scenario = load_scenario(SMALLEST, settings)
    prepared = prepare(scenario)
    assert prepared.dataset is not None
    return prepared, *build_runner(recipe_of(scenario), prepared.dataset, prepared.partition)[:2]


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_bf16_repeats_itself_and_keeps_the_schedule(strategy: str) -> None:
    exact = load_scenario(SMALLEST, [*SMALL, strategy])
    reduced = load_scenario(SMALLEST, [*SMALL, strategy, BF16])
    first, again, other = simulate(reduced), simulate(reduced), simulate(exact)
    assert digests(first) == digests(again)
    assert first.metrics.equals(again.metrics)
    assert first.summary["schedule_digest"] == other.summary["schedule_digest"]
    assert first.summary["model_digest"] != other.summary["model_digest"]
    assert scenario_id(reduced) != scenario_id(exact)


def test_worker_processes_make_the_same_bits() -> None:
    scenario = [*SMALL, STRATEGIES["quafl"], BF16]
    alone = simulate(load_scenario(SMALLEST, scenario))
    workers = ["execution.executor=processes", "execution.workers=2"]
    spread = simulate(load_scenario(SMALLEST, [*scenario, *workers]))
    assert digests(spread) == digests(alone)
    assert spread.metrics.equals(alone.metrics)


def test_a_run_that_was_broken_off_comes_to_the_same_bits(tmp_path: Path) -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, STRATEGIES["quafl"], BF16])
    asked = iter([False, True])
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=lambda: next(asked))
    assert digests(resume(tmp_path / "run")) == digests(simulate(scenario))


# Over 8 clients and seed 3, the largest relative difference of a local update was 6.2e-2 after one
# step and 1.03e-1 after ten, and of the mean training loss 4.1e-4; the bounds are three times that.
@pytest.mark.parametrize(("steps", "update", "loss"), [(1, 0.19, 5e-4), (10, 0.31, 1.3e-3)])
def test_a_local_update_is_near_that_of_float32(steps: int, update: float, loss: float) -> None:
    start, exact, _ = parts(*LENET)
    _, reduced, _ = parts(*LENET, BF16)
    params = start.initial[: start.layout.num_parameters]
    for client in range(4):
        a = exact.train(client, 0, steps, start.initial, params, 1.0)
        b = reduced.train(client, 0, steps, start.initial, params, 1.0)
        assert b.vector.dtype == b.delta.dtype == torch.float32
        difference = float((a.delta - b.delta).norm() / a.delta.norm())
        assert 1e-3 < difference < update  # below, it would not be bfloat16 at all
        assert abs(a.loss - b.loss) < loss


def test_a_gradient_is_near_that_of_float32() -> None:
    gradient = [*LENET, "strategy={kind: ringmaster, delay_threshold: 4}"]
    start, exact, _ = parts(*gradient)
    _, reduced, _ = parts(*gradient, BF16)
    params = start.initial[: start.layout.num_parameters]
    a = exact.train(0, 0, 1, start.initial, params, 1.0)
    b = reduced.train(0, 0, 1, start.initial, params, 1.0)
    difference = float((a.delta - b.delta).norm() / a.delta.norm())
    assert 1e-3 < difference < 0.19  # as the first step, which is a multiple of it


def test_an_evaluation_is_near_that_of_float32_and_made_of_bfloat16_outputs() -> None:
    start, trainer, exact = parts(*LENET)
    _, other, reduced = parts(*LENET, BF16)
    params = start.initial[: start.layout.num_parameters]
    vector = trainer.train(0, 0, 50, start.initial, params, 1.0).vector
    a, b = exact.evaluate(vector), reduced.evaluate(vector)
    # Measured: no difference in 1000 samples, and 1.0e-3 of the loss.
    assert abs(a.accuracy - b.accuracy) <= 0.005
    assert 0 < abs(a.loss - b.loss) < 3e-3
    assert start.dataset is not None
    outputs = other.outputs(start.dataset.inputs[:5])
    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, outputs.bfloat16().float())


def test_the_fingerprint_names_the_class_and_the_instructions_behind_it() -> None:
    found = fingerprint(Numerics(precision="bf16"))
    assert found["class"] == "exact/bf16/cpu"
    assert found["bf16_instructions"] in {"amx", "avx512_bf16", "none"}
    assert "bf16_instructions" not in fingerprint(Numerics())


def test_another_format_is_refused() -> None:
    with pytest.raises(
        ScenarioError, match=r"precision: got 'fp16'; expected one of float32, bf16"
    ):
        load_scenario(SMALLEST, ["numerics.precision=fp16"])
