"""8-bit inputs that are normalised batch by batch: the same bits as those normalised at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_files import write_mnist_like
from places import ROOT

from afl_sim import Scenario, load_scenario, simulate
from afl_sim.learning.data.datasets import (
    dataset_of_arrays,
    load_dataset,
    pool_arrays,
    stored_pool,
)
from afl_sim.learning.data.inputs import RawInputs, flat_rows, stays_raw
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.streams import Streams

SCENARIOS = ROOT / "scenarios"
KINDS = ["standard", "unit", "centred", "raw", "pixelwise", "unit_norm"]
SMALL = [
    "clients.count=6",
    "stop.updates=8",
    "evaluation.samples=200",
    "data.partition={kind: iid, samples: 40}",
]


def spec(storage: str, root: Path, **more: Any) -> DataSpec:
    return DataSpec.model_validate(
        {"dataset": "kmnist", "root": str(root), "storage": storage, **more}
    )


@pytest.mark.parametrize("pool", ["train", "train_and_test"])
@pytest.mark.parametrize("normalize", KINDS)
def test_a_batch_has_the_bits_of_inputs_that_were_normalised_at_once(
    tmp_path: Path, normalize: str, pool: str
) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    more: dict[str, Any] = {"normalize": normalize, "pool": pool, "validation": 0.25}
    whole = load_dataset(spec("float32", tmp_path, **more), Streams(1))
    raw = load_dataset(spec("uint8", tmp_path, **more), Streams(1))
    assert torch.equal(raw.labels, whole.labels)
    for name in ("inputs", "validation_inputs", "test_inputs"):
        ours, theirs = getattr(raw, name), getattr(whole, name)
        assert isinstance(ours, RawInputs)
        assert ours.raw.dtype == torch.uint8
        assert ours.shape == theirs.shape
        rows = torch.tensor([2, 0, 2, 1])
        assert torch.equal(ours.index_select(0, rows), theirs[rows])
        assert torch.equal(ours[rows].index_select(0, torch.tensor([3])), theirs[[1]])
        assert torch.equal(torch.cat(list(ours.split(2))), theirs)
        assert torch.equal(torch.cat(list(ours[1:].split(4))), theirs[1:])
        out = np.empty((4, 784), np.float32)
        flat_rows(ours).take(rows.numpy(), 0, out, "clip")
        assert np.array_equal(out, theirs[rows].reshape(4, -1).numpy())


def test_a_pool_of_8_bit_inputs_goes_to_other_processes_as_it_is(tmp_path: Path) -> None:
    write_mnist_like(tmp_path, "kmnist", 10)
    data = spec("uint8", tmp_path)
    whole = load_dataset(data, Streams(1))
    sent = dataset_of_arrays(data, pool_arrays(data), None)
    stored = stored_pool(data, tmp_path / "cache")
    assert sum(file.stat().st_size for file in stored.glob("*inputs.npy")) < 17 * 784 + 1000
    assert isinstance(sent.inputs, RawInputs)
    assert torch.equal(next(sent.inputs.split(12)), next(whole.inputs.split(12)))  # type: ignore[arg-type]


def test_only_what_is_large_for_this_machine_stays_as_in_the_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("afl_sim.learning.data.inputs.physical_memory", lambda: 1600)
    assert not stays_raw("auto", 100)
    assert stays_raw("auto", 101)
    assert stays_raw("uint8", 1)
    assert not stays_raw("float32", 10**9)


@pytest.mark.parametrize("model", ["logistic", "lenet"])
@pytest.mark.parametrize("bits", ["portable", "native"])
@pytest.mark.parametrize("on", ["test", "client_train"])
def test_no_digest_depends_on_the_storage(bits: str, model: str, on: str) -> None:
    def digest(storage: str) -> str:
        settings = [*SMALL, f"data.storage={storage}", f"numerics.bits={bits}"]
        settings += [f"model={model}", f"evaluation.on={on}", "data.validation=0.1"]
        scenario: Scenario = load_scenario(SCENARIOS / "smallest.yaml", settings)
        run = simulate(scenario)
        return str(run.summary["model_digest"]) + str(run.summary["final"])

    assert digest("uint8") == digest("float32")
