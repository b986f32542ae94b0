"""What a caller of the Python API has set neither reaches a run nor is lost by it."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any

import pytest
import torch
from places import SMALLEST

from afl_sim.errors import InputError
from afl_sim.execution.numerics import deterministic, fingerprint
from afl_sim.portable import elementary, exact_tables
from afl_sim.run.api import load_scenario, simulate
from afl_sim.scenario.sections.settings import Numerics

# Convolutions and products large enough for oneDNN to take them.
SETTINGS = ["stop.updates=4", "evaluation.samples=100", "model=lenet", "training.batch_size=50"]


def flushes_denormal() -> bool:
    return float(torch.tensor([1e-40], dtype=torch.float32, device="cpu") * 1) == 0


def overall_precision() -> str:
    try:
        return torch.get_float32_matmul_precision()
    except RuntimeError:  # torch refuses to answer where both of its ways were used
        return "mixed"


def settings_of_the_caller() -> dict[str, Any]:
    backends: Any = torch.backends
    return {
        "threads": torch.get_num_threads(),
        "algorithms": torch.get_deterministic_debug_mode(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "precision": overall_precision(),
        "precisions": [
            leaf.fp32_precision
            for leaf in (
                backends,
                backends.mkldnn,
                backends.mkldnn.matmul,
                backends.mkldnn.conv,
                backends.mkldnn.rnn,
                backends.cuda.matmul,
                backends.cudnn.conv,
                backends.cudnn.rnn,
            )
        ],
        "onednn": backends.mkldnn.enabled,
        "nnpack": torch._C._get_nnpack_enabled(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "denormal": flushes_denormal(),
        "anomaly": torch.is_anomaly_enabled(),
        "generator": torch.get_rng_state().tolist(),
    }


def set_to(write: Callable[[Any], Any], value: Any, before: Any) -> AbstractContextManager[None]:
    """A setting that is changed for a block."""

    @contextmanager
    def changed() -> Iterator[None]:
        write(value)
        try:
            yield
        finally:
            write(before)

    return changed()


def onednn(enabled: bool) -> None:
    backends: Any = torch.backends
    backends.mkldnn.enabled = enabled


def every_precision(value: str) -> None:
    backends: Any = torch.backends
    backends.fp32_precision = value


def matmul_precision(value: str) -> None:
    backends: Any = torch.backends
    backends.mkldnn.matmul.fp32_precision = value


CHANGES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "matmul precision": lambda: set_to(torch.set_float32_matmul_precision, "medium", "highest"),
    "precision of everything": lambda: set_to(every_precision, "bf16", "none"),
    "precision of oneDNN's products": lambda: set_to(matmul_precision, "bf16", "none"),
    "no oneDNN": lambda: set_to(onednn, False, True),
    "double precision": lambda: set_to(torch.set_default_dtype, torch.float64, torch.float32),
    "another device": lambda: torch.device("meta"),
    "no gradients": torch.no_grad,
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "flushing": lambda: set_to(torch.set_flush_denormal, True, False),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "threads": lambda: set_to(torch.set_num_threads, 3, torch.get_num_threads()),
}


def digests(*more: str) -> tuple[str, str]:
    summary = simulate(load_scenario(SMALLEST, [*SETTINGS, *more])).summary
    return summary["schedule_digest"], summary["model_digest"]


@cache
def undisturbed() -> tuple[str, str]:
    return digests()


@pytest.mark.parametrize("change", CHANGES)
def test_a_callers_settings_neither_reach_a_run_nor_are_lost(change: str) -> None:
    expected = undisturbed()
    at_first = settings_of_the_caller()
    with CHANGES[change]():
        before = settings_of_the_caller()
        assert before != at_first
        assert digests() == expected
        assert settings_of_the_caller() == before


def test_they_are_put_back_when_a_run_fails() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        before = settings_of_the_caller()
        with pytest.raises(ZeroDivisionError), deterministic():
            raise ZeroDivisionError
        assert settings_of_the_caller() == before
    finally:
        torch.set_float32_matmul_precision("highest")


def test_under_all_of_them_worker_processes_make_the_bits_of_one_process() -> None:
    workers = ["execution.executor=processes", "execution.workers=2"]
    names = ["precision of everything", "double precision", "inference mode", "autocast"]
    expected = undisturbed()
    before = settings_of_the_caller()
    with CHANGES[names[0]](), CHANGES[names[1]](), CHANGES[names[2]](), CHANGES[names[3]]():
        assert digests() == expected
        assert digests(*workers) == expected
    assert settings_of_the_caller() == before


ROUNDING = {"down": 0x400, "up": 0x800, "to zero": 0xC00}  # FE_DOWNWARD and so on, of x86-64


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers of its C library")
@pytest.mark.parametrize("way", ROUNDING)
def test_other_rounding_is_refused(way: str) -> None:
    library = ctypes.CDLL(None)
    scenario = load_scenario(SMALLEST, SETTINGS)
    for timing_only in (True, False):
        assert library.fesetround(ROUNDING[way]) == 0
        try:
            with pytest.raises(InputError, match="are not rounded to nearest in this thread"):
                simulate(scenario, timing_only=timing_only)
        finally:
            library.fesetround(0)


def test_the_callers_decimals_do_not_reach_units_and_tables() -> None:
    """They are made when they are imported, so in a process of its own."""
    program = (
        "import decimal\n"
        "decimal.setcontext(decimal.Context(prec=3, traps=[decimal.Inexact]))\n"
        "from afl_sim.portable import elementary, exact_tables\n"
        "from afl_sim.scenario.units import ENERGY, RATE\n"
        "print(RATE.read('3 Mibit/s'), ENERGY.read('1234 mWh'))\n"
        "print(elementary.STEP, elementary.POWERS.sum(), exact_tables.HALF_PI[:2])\n"
        "print(exact_tables.ERF[1].sum())\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    here = [
        f"{3 * 2**20 / 8} {1.234 * 3600}",
        f"{elementary.STEP} {elementary.POWERS.sum()} {exact_tables.HALF_PI[:2]}",
        f"{exact_tables.ERF[1].sum()}",
    ]
    assert ran.stdout.splitlines() == here


def test_numbers_too_small_to_be_normal_are_kept() -> None:
    torch.set_flush_denormal(True)
    try:
        with deterministic():
            assert not flushes_denormal()
        assert flushes_denormal()
    finally:
        torch.set_flush_denormal(False)


def test_the_fingerprint_does_not_depend_on_the_callers_settings() -> None:
    here = fingerprint(Numerics())
    assert here["matmul_precision"] == "highest"
    with set_to(torch.set_float32_matmul_precision, "medium", "highest"):
        assert fingerprint(Numerics()) == here
        with set_to(onednn, False, True):
            assert fingerprint(Numerics()) == here
