"""numerics.device: cuda. What needs a GPU is skipped where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from places import SMALLEST
from run_checks import digests

from afl_sim.errors import ScenarioError
from afl_sim.execution.numerics import check_device, deterministic, fingerprint
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.recipe import recipe_of
from afl_sim.run.validation import check_study
from afl_sim.scenario.sections.settings import Numerics

SMALL = ["data.partition.samples=50", "evaluation.samples=100", "stop.updates=12"]
CUDA = "numerics.device=cuda"
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def workspace(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that says nothing about cuBLAS."""
    monkeypatch.delenv(WORKSPACE, raising=False)
    return monkeypatch


# -- without a GPU ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_gpu")
def test_a_run_without_a_gpu_is_refused_with_its_line_and_leaves_nothing(tmp_path: Path) -> None:
    file = tmp_path / "scenario.yaml"
    file.write_text(SMALLEST.read_text() + "numerics: {device: cuda}\n")
    line = len(SMALLEST.read_text().splitlines()) + 1
    with pytest.raises(ScenarioError) as raised:
        check_study(file, here=True)
    (message,) = str(raised.value).splitlines()
    assert message.startswith(f"{file}:{line}: numerics.device: got 'cuda', but PyTorch")
    assert "finds no GPU here; expected cpu" in message
    with pytest.raises(ScenarioError, match=r"numerics\.device: got 'cuda'"):
        simulate(load_scenario(file), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_gpu")
def test_a_scenario_for_a_gpu_can_be_checked_and_timed_without_one() -> None:
    assert check_study(SMALLEST, [CUDA]).cases[0].scenario.numerics.device == "cuda"
    assert check_study(SMALLEST, [CUDA], timing_only=True, here=True)
    timed = simulate(load_scenario(SMALLEST, [*SMALL, CUDA]), timing_only=True)
    trained = simulate(load_scenario(SMALLEST, SMALL))
    assert timed.summary["schedule_digest"] == trained.summary["schedule_digest"]
    assert timed.summary["numerics"]["class"] == "exact/float32/cuda"


def test_worker_processes_do_not_share_a_gpu() -> None:
    with pytest.raises(ScenarioError, match=r"executor: got 'processes', but numerics.device: cud"):
        load_scenario(SMALLEST, [CUDA, "execution.executor=processes"])


def test_the_device_reaches_what_trains() -> None:
    assert recipe_of(load_scenario(SMALLEST, [CUDA])).settings.device == "cuda"
    assert recipe_of(load_scenario(SMALLEST)).settings.device == "cpu"


def test_what_a_gpu_needs_is_set_for_a_run_and_put_back(workspace: pytest.MonkeyPatch) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    workspace.setattr(cudnn, "benchmark", True)
    before = (cudnn.deterministic, matmul.allow_bf16_reduced_precision_reduction)
    with deterministic("cuda"):
        assert os.environ[WORKSPACE] == ":4096:8"
        assert (cudnn.deterministic, cudnn.benchmark, cudnn.enabled) == (True, False, True)
        assert not matmul.allow_bf16_reduced_precision_reduction
        assert matmul.fp32_precision == cudnn.conv.fp32_precision == "ieee"  # and not TF32
    assert WORKSPACE not in os.environ
    assert (cudnn.deterministic, matmul.allow_bf16_reduced_precision_reduction) == before
    assert cudnn.benchmark
    with deterministic():
        assert WORKSPACE not in os.environ


def test_another_deterministic_workspace_is_kept_and_named(workspace: pytest.MonkeyPatch) -> None:
    for chosen, used in ((":16:8", ":16:8"), (":64:4", ":4096:8")):
        workspace.setenv(WORKSPACE, chosen)
        assert fingerprint(Numerics(device="cuda"))["cublas_workspace"] == used
        with deterministic("cuda"):
            assert os.environ[WORKSPACE] == used
        assert os.environ[WORKSPACE] == chosen


def test_a_gpu_that_was_used_before_without_that_setting_is_refused(
    workspace: pytest.MonkeyPatch,
) -> None:
    workspace.setattr(torch.cuda, "is_available", lambda: True)
    workspace.setattr(torch.cuda, "is_initialized", lambda: True)
    with pytest.raises(ScenarioError, match=r"numerics.device: .* CUBLAS_WORKSPACE_CONFIG=:4096:8"):
        check_device("cuda")
    workspace.setenv(WORKSPACE, ":4096:8")
    check_device("cuda")
    check_device("cpu")


def test_the_fingerprint_names_the_gpu_and_its_libraries() -> None:
    found = fingerprint(Numerics(device="cuda", precision="bf16"))
    assert found["class"] == "exact/bf16/cuda"
    assert {"gpu", "cuda", "cudnn", "cublas_workspace"} <= set(found)
    assert "gpu" not in fingerprint(Numerics())


# -- on a GPU --------------------------------------------------------------------------------------


CLASSES = [
    f"numerics.mode={mode} numerics.precision={precision}"
    for mode in ("exact", "batched")
    for precision in ("float32", "bf16")
]


@needs_gpu
@pytest.mark.parametrize("numerics", CLASSES)
@pytest.mark.parametrize("model", ["lenet", "cnn"])
def test_on_a_gpu_a_run_repeats_itself_and_is_near_that_of_the_cpu(
    numerics: str, model: str
) -> None:
    settings = [*SMALL, f"model={model}", *numerics.split()]
    first, again = (simulate(load_scenario(SMALLEST, [*settings, CUDA])) for _ in range(2))
    assert digests(first) == digests(again)
    assert first.metrics.equals(again.metrics)
    here = simulate(load_scenario(SMALLEST, settings))
    assert first.summary["schedule_digest"] == here.summary["schedule_digest"]
    tolerance = 1e-2 if "bf16" in numerics else 1e-3
    assert first.summary["final"]["loss"] == pytest.approx(
        here.summary["final"]["loss"], abs=tolerance
    )


@needs_gpu
@pytest.mark.parametrize("mode", ["exact", "batched"])
def test_on_a_gpu_a_run_that_was_broken_off_comes_to_the_same_bits(
    mode: str, tmp_path: Path
) -> None:
    scenario = load_scenario(SMALLEST, [*SMALL, CUDA, f"numerics.mode={mode}", "model=lenet"])
    asked = iter([True])
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=lambda: next(asked))
    assert digests(resume(tmp_path / "run")) == digests(simulate(scenario))


@needs_gpu
def test_on_a_gpu_gradients_and_clipping_come_back_to_the_cpu() -> None:
    gradients = "strategy={kind: ringmaster, delay_threshold: 4}"
    for mode in ("exact", "batched"):
        settings = [*SMALL, CUDA, gradients, "training.clip_norm=0.5", f"numerics.mode={mode}"]
        assert simulate(load_scenario(SMALLEST, settings)).status == "complete"
