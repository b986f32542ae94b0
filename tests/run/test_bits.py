"""Which runs have portable bits, which have native ones, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from places import SMALLEST
from torch.utils._python_dispatch import TorchDispatchMode

from afl_sim import simulate
from afl_sim.errors import RunFolderError, ScenarioError, StrategyError
from afl_sim.execution.arithmetic import portable_digest
from afl_sim.execution.numerics import fingerprint
from afl_sim.portable import block, mode
from afl_sim.portable.mode import NotPortable
from afl_sim.recording.fingerprints import numerics_differences
from afl_sim.run import bits, bits_trials
from afl_sim.run.api import load_scenario, resume
from afl_sim.run.bits import Bits, effective_bits, effective_numerics, native_notes
from afl_sim.run.recipe import recipe_of
from afl_sim.run.validation import check_study
from afl_sim.scenario import Scenario, dump_scenario, scenario_id

QUICK = ["stop.updates=6", "evaluation.samples=20", "recording.trace=false"]
PORTABLE, NATIVE = "numerics.bits=portable", "numerics.bits=native"
FFT = "aten._fft_c2c"
INSIDE: list[int] = []  # one entry for each block of portable arithmetic


class WithoutFourier(TorchDispatchMode):
    """Arithmetic that lacks a single operation."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "fft" in func.name():
            raise NotPortable(f"{FFT}, which is not portable")
        return func(*args, **(kwargs or {}))


@contextmanager
def without_fourier() -> Iterator[None]:
    with WithoutFourier():
        INSIDE.append(1)
        try:
            yield
        finally:
            INSIDE.pop()


@pytest.fixture(autouse=True)
def _no_fourier(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(mode, "portable_arithmetic", without_fourier)
    monkeypatch.setattr(bits, "shortfall", lambda: None)
    monkeypatch.setattr(bits_trials, "_known", {})
    portable_digest.cache_clear()
    yield
    portable_digest.cache_clear()  # it is that of other arithmetic


def scenario(*settings: str) -> Scenario:
    return load_scenario(SMALLEST, [*QUICK, *settings])


def own(model: str) -> str:
    return f"model={{kind: 'own_models:{model}'}}"


def strategy(name: str) -> str:
    return f"strategy={{kind: 'odd_strategies:{name}'}}"


def test_bits_are_portable_unless_something_rules_it_out() -> None:
    assert effective_bits(scenario()) == Bits(True)
    assert effective_bits(scenario(PORTABLE)) == Bits(True)
    assert effective_bits(scenario(NATIVE)) == Bits(False)
    assert effective_numerics(scenario()).bits == "portable"
    assert effective_numerics(scenario(NATIVE)).bits == "native"
    assert recipe_of(scenario()).settings.portable
    assert not recipe_of(scenario(NATIVE)).settings.portable


@pytest.mark.parametrize(
    ("setting", "named", "instead"),
    [
        ("numerics.mode=batched", "numerics.mode: batched", "numerics.mode: exact"),
        ("numerics.precision=bf16", "numerics.precision: bf16", "numerics.precision: float32"),
        ("numerics.device=cuda", "numerics.device: cuda", "numerics.device: cpu"),
    ],
)
def test_numerics_without_portable_arithmetic_are_native_or_refused(
    setting: str, named: str, instead: str
) -> None:
    why = f"{named} has no portable arithmetic"
    assert effective_bits(scenario(setting)) == Bits(False, why)
    assert native_notes([scenario(setting), scenario(), scenario(setting)]) == [
        f"{why}; the run uses native bits, which depend on the machine"
    ]
    with pytest.raises(ScenarioError) as caught:
        scenario(setting, PORTABLE)
    assert f"numerics.bits: got 'portable', but {why}; expected native or auto, or {instead}" in (
        str(caught.value)
    )


def test_a_machine_without_portable_arithmetic_runs_natively_or_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bits, "shortfall", lambda: "it needs a processor with AVX2")
    why = "this machine has no portable arithmetic: it needs a processor with AVX2"
    found = simulate(scenario(), tmp_path / "run").summary["numerics"]
    assert (found["class"], found["bits"]) == ("exact/float32/cpu", "native")
    assert found["bits_reason"] == why
    message = f"numerics.bits: got 'portable', but {why}; expected native or auto"
    with pytest.raises(ScenarioError, match=message):
        check_study(SMALLEST, [*QUICK, PORTABLE])
    with pytest.raises(ScenarioError, match=message):
        simulate(scenario(PORTABLE), tmp_path / "refused")
    assert not (tmp_path / "refused").exists()
    assert effective_bits(scenario(NATIVE)) == Bits(False)
    timed = simulate(scenario(PORTABLE), tmp_path / "timed", timing_only=True)
    assert timed.status == "complete"


@pytest.mark.parametrize(
    ("model", "where"),
    [
        ("spectral", "layer '0' (Spectral)"),
        ("spectral_backwards", "layer '2' (Backwards)"),
        ("spectral_at_birth", "its initialisation"),
    ],
)
def test_the_first_layer_without_portable_arithmetic_is_named(model: str, where: str) -> None:
    why = f"model: {where} uses {FFT}, which is not portable"
    assert effective_bits(scenario(own(model))) == Bits(False, why)
    with pytest.raises(ScenarioError) as caught:
        check_study(SMALLEST, [*QUICK, own(model), PORTABLE])
    assert f"numerics.bits: got 'portable', but {why}; expected native or auto" in str(caught.value)


def test_a_models_own_faults_are_no_question_of_bits() -> None:
    for faulty in ("Recurrent", "Detached", "TupleInTraining", "nothing_of_this_name"):
        with pytest.raises(ScenarioError, match=r"model") as caught:
            check_study(SMALLEST, [*QUICK, own(faulty), PORTABLE])
        assert "bits" not in str(caught.value)
    assert effective_bits(scenario(own("Plain"))) == Bits(True)


def test_a_strategy_is_tried_before_its_run(tmp_path: Path) -> None:
    why = f"strategy: aggregate uses {FFT}, which is not portable"
    assert effective_bits(scenario(strategy("Plain"))) == Bits(True)
    assert effective_bits(scenario(strategy("Spectral"))) == Bits(False, why)
    assert effective_bits(scenario(strategy("Raises"))) == Bits(True)
    found = simulate(scenario(strategy("Spectral")), tmp_path / "run")
    assert found.summary["numerics"]["bits_reason"] == why


def test_an_operation_that_shows_late_is_one_error(tmp_path: Path) -> None:
    late = strategy("LateSpectral")
    message = (
        rf"^strategy odd_strategies:LateSpectral: aggregate uses {FFT}, which is not portable; "
        "expected numerics.bits: native, whose bits depend on the machine$"
    )
    with pytest.raises(StrategyError, match=message):
        simulate(scenario(late), tmp_path / "run")
    assert simulate(scenario(late, NATIVE), tmp_path / "native").status == "complete"


class Watches(TorchDispatchMode):
    """Notes the operations that are computed outside portable arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.outside: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not INSIDE:
            self.outside.add(func.name())
        return func(*args, **(kwargs or {}))


def test_all_that_a_portable_run_computes_is_in_its_arithmetic(tmp_path: Path) -> None:
    settings = ["training.compression={upload: {kind: qsgd, levels: 4}}", own("Plain")]
    numeric = {"aten::addmm", "aten::uniform_", "aten::_log_softmax", "aten::floor", "aten::stack"}
    numeric |= {"aten::add.Tensor", "aten::sub.Tensor", "aten::div.Tensor", "aten::sum"}
    seen = []
    for more in ([], [NATIVE]):
        chosen = scenario(*settings, *more)
        fingerprint(effective_numerics(chosen))
        with Watches() as watch:
            simulate(chosen, tmp_path / f"run{len(more)}")
        seen.append(watch.outside & numeric)
    assert seen[0] == set()
    assert {"aten::addmm", "aten::uniform_", "aten::_log_softmax", "aten::floor"} <= seen[1]


def test_a_block_holds_for_its_own_thread_and_may_be_nested() -> None:
    def refused() -> bool:
        try:
            torch.fft.fft(torch.ones(4))
        except NotPortable:
            return True
        return False

    found: list[bool] = []
    with block.arithmetic_of(portable=True):
        with block.arithmetic_of(portable=True):
            assert refused()
        assert refused()
        thread = Thread(target=lambda: found.append(refused()))
        thread.start()
        thread.join()
    with block.arithmetic_of(portable=False):
        found.append(refused())
    assert found == [False, False]


def test_a_portable_fingerprint_holds_nothing_of_the_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = fingerprint(effective_numerics(scenario()))
    assert set(here) == {"class", "bits", "openblas", "arithmetic"}
    assert here["class"] == "exact/float32/cpu/portable"
    monkeypatch.setattr(torch, "__version__", "3.0")
    monkeypatch.setattr("afl_sim.execution.numerics.cpu_vendor", lambda: "GenuineMaker")
    assert fingerprint(effective_numerics(scenario())) == here


def test_a_worker_on_a_machine_without_portable_arithmetic_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = effective_numerics(scenario())
    here = fingerprint(wanted)
    monkeypatch.setattr("afl_sim.execution.numerics.shortfall", lambda: "it needs AVX2")
    assert numerics_differences(fingerprint(wanted), here) == (
        "bits: not portable on this machine (it needs AVX2), here portable"
    )


def test_of_other_bits_only_the_bits_are_compared() -> None:
    portable = {"class": "exact/float32/cpu/portable", "bits": "portable", "arithmetic": "1"}
    native = {"class": "exact/float32/cpu", "bits": "native", "torch": "2.14.1"}
    older = {"class": "exact/float32/cpu", "torch": "2.14.1"}
    assert numerics_differences(native, portable) == "bits: native, here portable"
    assert numerics_differences(older, portable) == "bits: native, here portable"
    assert numerics_differences(portable, native, whose="in B") == "bits: portable, in B native"
    assert numerics_differences(older, native) == ""
    assert numerics_differences(native | {"bits_reason": "because"}, native) == ""


def test_resume_refuses_a_checkpoint_of_other_bits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(), tmp_path / "run", stop_wanted=lambda: True)
    monkeypatch.setattr(bits, "shortfall", lambda: "it needs a processor with AVX2")
    says = r"started with other numerics \(bits: portable, here native\)"
    with pytest.raises(RunFolderError, match=says):
        resume(tmp_path / "run")
    monkeypatch.setattr(bits, "shortfall", lambda: None)
    assert resume(tmp_path / "run").status == "complete"


def test_a_run_of_older_code_has_native_bits(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario(NATIVE), tmp_path / "run", stop_wanted=lambda: True)
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    del manifest["numerics"]["bits"]
    (tmp_path / "run" / "manifest.json").write_text(json.dumps(manifest))
    assert resume(tmp_path / "run").status == "complete"


def test_bits_belong_to_the_identity_which_no_machine_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = [scenario_id(scenario(*more)) for more in ([], [PORTABLE], [NATIVE])]
    assert len(set(names)) == 3
    assert "bits: auto" in dump_scenario(scenario())
    monkeypatch.setattr(bits, "shortfall", lambda: "it needs a processor with AVX2")
    assert scenario_id(scenario()) == names[0]
