"""Numerics on the command line: what is chosen there, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from commands import QUICK, Command, summary
from places import SMALLEST

BATCHED = ("--set", "numerics.mode=batched")


def test_numerics_are_chosen_and_impossible_ones_refused(afl_sim: Command, tmp_path: Path) -> None:
    lines = [
        ("run", SMALLEST, *QUICK, *BATCHED, "--device", "cpu", "--out", tmp_path / "batched"),
        ("run", SMALLEST, *BATCHED, "--workers", "2", "--out", tmp_path / "a"),
        ("run", SMALLEST, "--device", "cuda", "--workers", "2", "--out", tmp_path / "b"),
        ("run", SMALLEST, "--device", "tpu", "--out", tmp_path / "c"),
    ]
    done, *refused = afl_sim.batch(lines)
    done.succeeded()
    assert summary(tmp_path / "batched")["numerics"]["class"] == "batched/float32/cpu"
    messages = [
        "execution.executor: got 'processes', but numerics.mode: batched trains a run in one",
        "execution.executor: got 'processes', but numerics.device: cuda trains in the one process",
        "numerics.device: got 'tpu'; expected one of cpu, cuda",
    ]
    for result, message in zip(refused, messages, strict=True):
        assert result.code == 2
        (line,) = result.errors
        assert message in line
    assert [path.name for path in tmp_path.iterdir() if len(path.name) == 1] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_cuda_is_one_error(afl_sim: Command, tmp_path: Path) -> None:
    line = ("run", SMALLEST, *QUICK, "--device", "cuda", "--out", tmp_path / "run")
    refused, timed = afl_sim.batch([line, (*line, "--timing-only")])
    assert refused.code == 2
    (message,) = refused.errors
    assert "numerics.device: got 'cuda'" in message
    assert "finds no GPU here; expected cpu" in message
    timed.succeeded()
    assert summary(tmp_path / "run")["numerics"]["class"] == "exact/float32/cuda"
