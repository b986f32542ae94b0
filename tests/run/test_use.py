"""A finished run in use: its models at each evaluation, predictions, and the samples of clients."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from places import SMALLEST
from run_checks import digests, every

from afl_sim import Run, Scenario, load_run, load_scenario, simulate
from afl_sim.cli.studies import ignored_rules
from afl_sim.errors import InputError, RunFolderError
from afl_sim.learning.data.dataset_files import cache_for, read_images
from afl_sim.learning.data.datasets import load_dataset
from afl_sim.run.api import resume
from afl_sim.streams import Streams

KEPT = "recording.models=evaluations"


def small(*settings: str) -> Scenario:
    few = ["stop.updates=30", "evaluation.every_versions=2", "data.partition.samples=20"]
    return load_scenario(SMALLEST, [*few, *settings])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return simulate(
        small(KEPT, "evaluation={every_versions: 2}"), tmp_path_factory.mktemp("run") / "run"
    )


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return list(a) == list(b) and all(np.array_equal(a[name], b[name]) for name in a)


# -- models --------------------------------------------------------------------------------------


def test_every_evaluated_model_is_kept_and_the_last_is_the_final_one(run: Run) -> None:
    assert list(run.models) == run.metrics["version"].tolist() == [0, 2, 4, 6]
    assert same(run.model(at=6), run.model())
    assert same(run.models[2], run.model(2))
    assert not same(run.model(2), run.model(4))
    assert run.models.get(3) is None
    with pytest.raises(RunFolderError, match=r"no model of version 3; it has those of 0, 2, 4, 6"):
        run.model(3)


def test_keeping_models_changes_no_result_and_no_scenario_without_them(run: Run) -> None:
    plain = simulate(small("evaluation={every_versions: 2}"))
    assert digests(plain) == digests(run)
    assert not (plain.path / "models").exists()
    assert plain.scenario["recording"] == {"trace": True, "trace_limit": 200_000}
    with pytest.raises(RunFolderError, match=r"recording\.models: evaluations keeps them"):
        plain.model(2)
    timed = simulate(small(KEPT), timing_only=True)
    assert timed.summary["schedule_digest"] == plain.summary["schedule_digest"]
    assert not timed.models
    assert not (timed.path / "models").exists()
    told = ignored_rules([small(KEPT), small("stop.accuracy=0.9")])
    assert told == (
        "stop.accuracy and recording.models are ignored: with --timing-only nothing is trained"
    )


def test_a_version_that_is_evaluated_again_and_again_has_one_model() -> None:
    often = simulate(small(KEPT, "evaluation.every_seconds=0.05", "stop.updates=10"))
    assert often.metrics["version"].duplicated().any()
    assert list(often.models) == sorted(set(often.metrics["version"]))


def test_a_run_in_pieces_keeps_the_models_of_the_run_in_one(tmp_path: Path, run: Run) -> None:
    scenario = small(KEPT, "evaluation={every_versions: 2}")
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, folder, stop_wanted=every(3))
    (folder / "models" / "version-99.safetensors").write_bytes(b"of other code")
    whole = resume(folder)
    assert list(whole.models) == list(run.models)
    for version, file in zip(run.models, sorted((folder / "models").iterdir()), strict=True):
        assert file.read_bytes() == (run.path / "models" / file.name).read_bytes(), version


def test_worker_processes_keep_the_same_models(run: Run, tmp_path: Path) -> None:
    workers = ["execution.executor=processes", "execution.workers=2"]
    other = simulate(small(KEPT, "evaluation={every_versions: 2}", *workers), tmp_path / "run")
    assert all(same(other.model(at), run.model(at)) for at in run.models)


def test_a_lost_model_is_told_when_the_run_is_taken_up_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    simulate(small(KEPT, "stop.updates=10"), folder)
    (folder / "models" / "version-0.safetensors").unlink()
    with pytest.raises(RunFolderError, match="no model of version 0"):
        resume(folder)


# -- predictions ---------------------------------------------------------------------------------


def test_predictions_of_the_test_set_have_the_accuracy_of_the_evaluations(run: Run) -> None:
    labels = load_dataset(small().data, Streams(1)).test_labels.numpy()
    for version, accuracy in zip(run.metrics["version"], run.metrics["accuracy"], strict=True):
        assert (run.predict(at=version) == labels).mean() == accuracy
    assert run.predict().dtype == np.int64


def test_inputs_are_taken_as_the_files_have_them(run: Run) -> None:
    images, _ = read_images(small().data, cache_for(small().data, None), train=False)
    images, expected = images[:50], run.predict()[:50]
    for given in (images, images.numpy(), images[:, 0], images[:, 0].tolist(), images.int()):
        assert np.array_equal(run.predict(given), expected)
    assert run.predict(images[:0]).shape == (0,)
    raw = run.predict(images, raw=True)
    assert raw.shape == (50, 10)
    assert raw.dtype == np.float32
    assert np.array_equal(raw.argmax(1), expected)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.zeros(2, 1, 28, 28), "torch.float32; expected whole numbers from 0 to 255"),
        (np.zeros((2, 5), np.uint8), r"have the shape \(2, 5\); expected \(N, 1, 28, 28\)"),
        (["a"], "expected numbers"),
    ],
)
def test_inputs_of_another_form_are_refused(run: Run, inputs: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run.predict(inputs)


def test_predicting_changes_nothing_global(run: Run) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state(), random.getstate(), torch.get_num_threads()
    drawn = np.random.get_state()[1].copy()  # noqa: NPY002
    with torch.inference_mode():
        run.predict()
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (random.getstate(), torch.get_num_threads())
    assert np.array_equal(drawn, np.random.get_state()[1])  # noqa: NPY002
    assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    "model",
    [
        "{kind: mlp, hidden: [8], lora: {rank: 2, targets: ['1']}}",
        "{kind: mlp, hidden: [8], trainable: ['3.*']}",
        "{kind: 'own_models:weight_norm'}",
    ],
)
def test_models_with_adapters_fixed_parts_and_own_code_predict(model: str) -> None:
    if "lora" in model:
        pytest.importorskip("peft", reason="peft is not installed")
    made = simulate(small(f"model={model}", "evaluation={}", "stop.updates=5"))
    labels = load_dataset(small().data, Streams(1)).test_labels.numpy()
    assert (made.predict() == labels).mean() == made.summary["final"]["accuracy"]


def test_a_client_predicts_with_what_it_keeps() -> None:
    scenario = small(
        "data={partition: {kind: classes, per_client: 2}, client_test: 0.02}",
        "model={kind: mlp, hidden: [8], personal: ['3.*']}",
        "training={steps: 5, batch_size: 10}",
        "evaluation={on: client_test}",
    )
    made = simulate(scenario)
    client = int(made.tasks.loc[made.tasks["fate"] == "aggregated", "client"].iloc[0])
    own, shared = made.predict(client=client, raw=True), made.predict(raw=True)
    weights = made.personal(client)["3.weight"]
    hidden = np.linalg.lstsq(made.model()["3.weight"], (shared - made.model()["3.bias"]).T)[0]
    assert np.allclose(own, (weights @ hidden).T + made.personal(client)["3.bias"], atol=1e-3)
    with pytest.raises(RunFolderError, match="no client 10"):
        made.predict(client=10)


OWN_DATA = """
data:
  dataset: {{kind: files, train: train.npz, test: test.npz, target: {target}{more}}}
  partition: {{kind: iid}}
model: {model}
training: {{batch_size: 10, loss: {loss}, optimizer: {{kind: SGD, lr: 0.05}}}}
clients: {{count: 6}}
strategy: {{kind: fedbuff, concurrency: 3, buffer_size: 3}}
stop: {{updates: 12}}
"""


LOSSES = {"number": "mse", "several": "bce", "tokens": "cross_entropy"}


def of_own_data(
    folder: Path, target: str, model: str, inputs: Any, labels: Any, more: str = ""
) -> Run:
    for name, part in (("train", slice(0, 60)), ("test", slice(60, 80))):
        np.savez(folder / f"{name}.npz", inputs=inputs[part], labels=labels[part])
    file = folder / "own.yaml"
    file.write_text(OWN_DATA.format(target=target, model=model, more=more, loss=LOSSES[target]))
    return simulate(file, folder / "run")


def test_numbers_are_predicted_in_the_units_of_the_labels(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    inputs = draw.normal(3, 2, (80, 5)).astype(np.float32)
    labels = (inputs @ draw.normal(size=(5, 1))).astype(np.float32)
    run = of_own_data(tmp_path, "number", "linear", inputs, labels)
    found = run.predict(inputs[60:])
    assert found.shape == (20,)
    assert np.array_equal(found, run.predict())
    error = np.sqrt(np.mean((found - labels[60:, 0]) ** 2))
    assert error == pytest.approx(run.summary["final"]["rmse"], rel=1e-5)
    np.savez(tmp_path / "train.npz", inputs=inputs[:50], labels=labels[:50])
    with pytest.raises(RunFolderError, match="made from other data"):
        load_run(run.path).predict()


def test_several_labels_are_predicted_each_by_itself(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    inputs = draw.normal(size=(80, 5)).astype(np.float32)
    labels = (inputs[:, :3] > 0).astype(np.uint8)
    run = of_own_data(tmp_path, "several", "linear", inputs, labels)
    found = run.predict()
    assert (found.shape, found.dtype) == ((20, 3), bool)
    assert (found == labels[60:]).mean() == pytest.approx(run.summary["final"]["accuracy"])


def test_tokens_are_predicted_at_each_position(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    inputs = draw.integers(0, 6, (80, 8))
    labels = (inputs + 1) % 6
    lstm = "{kind: lstm, embedding: 4, hidden: 8, layers: 1}"
    run = of_own_data(tmp_path, "tokens", lstm, inputs, labels, ", vocabulary: 6, type: tokens")
    found = run.predict(inputs[60:])
    assert (found.shape, found.dtype) == ((20, 8), np.int64)
    assert (found == labels[60:]).mean() == pytest.approx(run.summary["final"]["accuracy"])
    with pytest.raises(InputError, match="no tokens from 0 to 5"):
        run.predict(inputs + 1)


def test_a_run_without_a_model_cannot_predict() -> None:
    with pytest.raises(RunFolderError, match="only a finished run with training has a model"):
        simulate(small(), timing_only=True).predict()


# -- samples -------------------------------------------------------------------------------------


def test_the_samples_of_clients_are_rows_of_the_training_set() -> None:
    run = simulate(
        small(
            "data={partition: {kind: dirichlet, alpha: 0.5}, client_test: 0.25, validation: 0.1}"
        ),
        timing_only=True,
    )
    kept = [run.samples(client) for client in range(10)]
    tests = [run.samples(client, testing=True) for client in range(10)]
    every = np.concatenate([*kept, *tests])
    assert len(np.unique(every)) == len(every) == 54_000
    assert every.max() > 58_000  # rows of the files, not of what is left without the held-out share
    whole = load_dataset(small().data, Streams(1)).labels.numpy()
    for client, rows in enumerate(kept):
        counted = np.bincount(whole[rows], minlength=10)
        assert counted.tolist() == run.label_counts.loc[client].tolist()
    with pytest.raises(RunFolderError, match="no client -1; expected a number from 0 to 9"):
        run.samples(-1)


def test_clients_without_samples_for_tests_are_told(run: Run) -> None:
    assert len(run.samples(3)) == 20
    with pytest.raises(RunFolderError, match=r"expected a run with data\.client_test"):
        run.samples(3, testing=True)


# -- tables --------------------------------------------------------------------------------------


def test_times_are_there_in_seconds_too(run: Run) -> None:
    for frame in (run.events, run.metrics):
        assert np.array_equal(frame["seconds"], frame["time_us"] / 1e6)
    arrived = run.tasks["arrived"].dropna()
    assert np.array_equal(run.tasks["arrived_seconds"].dropna(), arrived.astype(float) / 1e6)
    assert run.tasks["arrived_seconds"].isna().equals(run.tasks["arrived"].isna())


def test_the_metrics_of_clients_are_rows() -> None:
    groups = "clients.groups=[{name: a, share: 0.3}, {name: b, share: 0.7}]"
    made = simulate(
        small(
            "data={partition: {kind: iid}, client_test: 0.01}",
            "training={steps: 2, batch_size: 10}",
            "evaluation={every_versions: 3, per_client: true, samples: 100}",
            groups,
        )
    )
    frame = made.client_metrics
    assert list(frame) == ["time_us", "seconds", "version", "client", "group", "accuracy"]
    assert len(frame) == 10 * len(made.metrics)
    for place, row in enumerate(made.metrics.itertuples()):
        part = frame[10 * place : 10 * place + 10]
        assert part["client"].tolist() == list(range(10))
        assert set(part["version"]) == {row.version}
        assert part["accuracy"].tolist() == list(row.client_accuracy)
    assert frame["group"].value_counts().to_dict() == {
        "a": 3 * len(made.metrics),
        "b": 7 * len(made.metrics),
    }


def test_without_metrics_of_clients_there_are_no_rows(run: Run) -> None:
    assert list(run.client_metrics) == ["time_us", "seconds", "version", "client", "group"]
    assert run.client_metrics.empty


def test_a_notebook_shows_the_summary_of_a_run(run: Run) -> None:
    shown = run._repr_html_()
    for words in ("smallest", "complete", "final accuracy", "time to accuracy 90 %", "not reached"):
        assert words in shown
    assert f"{100 * run.summary['final']['accuracy']:.2f} %" in shown
    assert "accuracy" not in simulate(small(), timing_only=True)._repr_html_()
