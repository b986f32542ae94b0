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


def test_bits_are_chosen_refused_or_fall_back_by_name(afl_sim: Command, tmp_path: Path) -> None:
    file = tmp_path / "written.yaml"
    file.write_text(SMALLEST.read_text() + "numerics:\n  mode: batched\n  bits: portable\n")
    line_of_bits = len(file.read_text().splitlines())
    why = "numerics.mode: batched has no portable arithmetic"
    native = "the run uses native bits, which depend on the machine"
    portable, chosen, batched, valid, *refused = afl_sim.batch(
        [
            ("run", SMALLEST, *QUICK, "--out", tmp_path / "portable"),
            ("run", SMALLEST, *QUICK, "--bits", "native", "--out", tmp_path / "native"),
            ("run", SMALLEST, *QUICK, *BATCHED, "--out", tmp_path / "batched"),
            ("validate", SMALLEST, *BATCHED),
            ("run", SMALLEST, *BATCHED, "--bits", "portable", "--out", tmp_path / "a"),
            ("validate", file),
            ("run", SMALLEST, "--bits", "portable", "--set", "numerics.precision=bf16"),
            ("run", SMALLEST, "--bits", "exact", "--out", tmp_path / "b"),
        ]
    )
    assert "native" not in portable.succeeded().out + portable.err
    numerics = summary(tmp_path / "portable")["numerics"]
    assert (numerics["class"], numerics["bits"]) == ("exact/float32/cpu/portable", "portable")
    assert "portable" not in chosen.succeeded().out + chosen.err
    assert summary(tmp_path / "native")["numerics"]["bits"] == "native"
    assert f"{why}; {native}" in " ".join((batched.succeeded().err + batched.out).split())
    assert summary(tmp_path / "batched")["numerics"]["bits_reason"] == why
    assert valid.succeeded().out.splitlines()[1] == f"{why}; {native}"
    messages = [
        f"got 'portable', but {why}; expected native or auto, or numerics.mode: exact",
        f"{file}:{line_of_bits}: numerics.bits: got 'portable', but {why}",
        "got 'portable', but numerics.precision: bf16 has no portable arithmetic",
        "numerics.bits: got 'exact'; expected one of auto, portable, native",
    ]
    for result, message in zip(refused, messages, strict=True):
        assert result.code == 2
        (line,) = result.errors
        assert message in line
    assert not (tmp_path / "a").exists()
