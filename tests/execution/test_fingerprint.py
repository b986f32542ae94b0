"""Runs of equal numerics fingerprints agree in their bits; others are told apart, by entry."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_runs import fake_run
from places import SMALLEST
from rich.console import Console

from afl_sim.analysis.compare import print_comparison
from afl_sim.cli.studies import outcome_line
from afl_sim.errors import RunFolderError
from afl_sim.execution.arithmetic import arithmetic_digest
from afl_sim.execution.numerics import deterministic, fingerprint
from afl_sim.machine import cpu_vendor
from afl_sim.recording import Run, first_divergence, format_divergence, load_run
from afl_sim.recording.fingerprints import numerics_differences
from afl_sim.run.api import load_scenario, read_study, resume, simulate
from afl_sim.scenario import Numerics
from afl_sim.study.case import Options
from afl_sim.study.study import run_cases

SETTINGS = ["stop.updates=10", "evaluation.samples=50", "recording.trace=false"]
PRINT = """
from afl_sim.execution.numerics import fingerprint
from afl_sim.scenario import Numerics
print(__import__("json").dumps(fingerprint(Numerics())))
"""


def in_another_process(**environment: str) -> dict[str, Any]:
    """The fingerprint of a new process with these variables."""
    out = subprocess.run(
        [sys.executable, "-c", PRINT],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(out.stdout)
    return found


def test_the_fingerprint_is_that_of_every_process_of_the_machine() -> None:
    assert in_another_process(OMP_NUM_THREADS="2") == fingerprint(Numerics())


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the variable is for x86")
@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="built without oneDNN")
def test_a_library_that_chooses_other_kernels_has_another_fingerprint() -> None:
    here, there = fingerprint(Numerics()), in_another_process(ONEDNN_MAX_CPU_ISA="SSE41")
    # As on two processors of which torch says the same.
    assert [name for name in here if here[name] != there[name]] == ["arithmetic"]


def test_the_digest_is_the_same_again_and_depends_on_the_numerics_class() -> None:
    def computed(mode: str, precision: str) -> str:
        with deterministic():
            return arithmetic_digest.__wrapped__(mode, precision)

    clutter = [torch.empty(n) for n in range(1, 300, 7)]  # other places in memory
    found = {
        (mode, precision): computed(mode, precision)
        for mode in ("exact", "batched")
        for precision in ("float32", "bf16")
    }
    del clutter
    assert len(set(found.values())) == 4
    for (mode, precision), digest in found.items():
        assert computed(mode, precision) == digest
        numerics = Numerics.model_validate({"mode": mode, "precision": precision})
        assert fingerprint(numerics)["arithmetic"] == digest


def test_the_vendor_counts_where_the_library_chooses_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cpu_vendor()
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    assert fingerprint(Numerics())["cpu_vendor"] == cpu_vendor()
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert fingerprint(Numerics())["cpu_vendor"] == "any"


def test_differences_are_named_by_entry() -> None:
    intel = {"torch": "2.14.1", "cpu_vendor": "GenuineIntel", "arithmetic": "12ab"}
    amd = {**intel, "cpu_vendor": "AuthenticAMD"}
    old = {"torch": "2.14.1"}
    assert numerics_differences(intel, dict(intel)) == ""
    assert numerics_differences(intel, amd) == "cpu_vendor: GenuineIntel, here AuthenticAMD"
    assert numerics_differences(old, intel, whose="in B") == (
        "cpu_vendor: not recorded, in B GenuineIntel; arithmetic: not recorded, in B 12ab"
    )
    assert numerics_differences(None, old) == "torch: not recorded, here 2.14.1"


def made_with(folder: Path, **entries: Any) -> None:
    """Change or remove (None) entries of the fingerprint in a run's manifest and summary."""
    for name in ("manifest.json", "summary.json"):
        if (folder / name).exists():
            content = json.loads((folder / name).read_text())
            numerics = {**content["numerics"], **entries}
            content["numerics"] = {key: each for key, each in numerics.items() if each is not None}
            (folder / name).write_text(json.dumps(content))


def broken_off(folder: Path, timing_only: bool = False) -> Path:
    with pytest.raises(KeyboardInterrupt):
        simulate(
            load_scenario(SMALLEST, [*SETTINGS, "numerics.bits=native"]),
            folder,
            timing_only=timing_only,
            stop_wanted=lambda: True,
        )
    return folder


def test_resume_refuses_another_arithmetic_and_names_it(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run")
    made_with(folder, arithmetic="12ab", cpu_vendor="GenuineMaker")
    says = (
        r"started with other numerics \(cpu_vendor: GenuineMaker, here .*; arithmetic: 12ab, here"
    )
    with pytest.raises(RunFolderError, match=says):
        resume(folder)
    made_with(folder, arithmetic=None, cpu_vendor=fingerprint(Numerics())["cpu_vendor"])
    with pytest.raises(RunFolderError, match=r"numerics \(arithmetic: not recorded, here \w+\)"):
        resume(folder)
    assert load_run(folder).status == "interrupted"
    assert resume(folder, force=True).status == "complete"


def test_a_schedule_is_resumed_on_any_machine(tmp_path: Path) -> None:
    folder = broken_off(tmp_path / "run", timing_only=True)
    made_with(folder, arithmetic="12ab")
    assert resume(folder).status == "complete"


def test_what_is_reused_says_that_it_was_made_in_other_numerics(tmp_path: Path) -> None:
    study = read_study(SMALLEST, SETTINGS)
    lines: list[str] = []

    def run(timing_only: bool) -> None:
        options = Options(out=tmp_path / str(timing_only), resume=True, timing_only=timing_only)
        run_cases(study, options, lambda case: None, lambda done: lines.append(outcome_line(done)))

    for timing_only in (False, True):
        run(timing_only)
        made_with(tmp_path / str(timing_only), arithmetic="12ab")
        run(timing_only)
    assert lines[1] == (
        "smallest: finished run reused; it was made with other numerics (--force runs it again)"
    )
    assert lines[3] == "smallest: finished before, reused"


def compared(runs: list[Run]) -> str:
    console = Console(file=StringIO(), width=200)
    print_comparison(runs, console=console)
    text = console.file
    assert isinstance(text, StringIO)
    return text.getvalue()


def test_diff_and_compare_say_in_what_the_arithmetic_differs(tmp_path: Path) -> None:
    for name, weight, vendor in (("a", 0.0, "GenuineIntel"), ("b", 1.0, "AuthenticAMD")):
        fake_run(tmp_path / name, updates=30, weight=weight)
        made_with(tmp_path / name, cpu_vendor=vendor)
    runs = [load_run(tmp_path / name) for name in "ab"]
    text = format_divergence(first_divergence(*runs))
    assert text.endswith(
        "They were computed with different numerics (cpu_vendor: GenuineIntel, in B AuthenticAMD)."
    )
    says = "only because of their arithmetic (cpu_vendor: AuthenticAMD, GenuineIntel)."
    assert says in compared(runs)
    made_with(tmp_path / "b", cpu_vendor="GenuineIntel")
    runs = [load_run(tmp_path / name) for name in "ab"]
    assert "arithmetic" not in compared(runs)
    assert "numerics" not in format_divergence(first_divergence(*runs))
    made_with(tmp_path / "b", **{"class": "exact/bf16/cpu", "arithmetic": "12ab"})
    assert "arithmetic" not in compared([load_run(tmp_path / name) for name in "ab"])
