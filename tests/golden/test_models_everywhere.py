"""Models have the same bits on every processor, under every environment: the golden cases.

Where a digest was meant to change: python tests/support/portable_cases.py --write
"""

from __future__ import annotations

import emulated_cases
import portable_cases
import pytest
from emulation import NUMPY_BASELINE, PROCESSORS, needs_emulator, printed, start
from portable_cases import cases, compute_products, digests, golden

from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.portable.processor import shortfall
from afl_sim.strategies import strategies

SCRIPT = portable_cases.__file__
EMULATED = (
    "mlp, dropout; batch 13",
    "lenet; batch 1",
    "cnn, small; batch 10",
    "sequences; transformer",
    "resnet, small; batch 13",
    "logistic; Adam",
    "server optimizer FedYogi",
    "training; noise, clipping, proximal",
    "training; upload qsgd",
)
"""A few of every kind: an emulator is slow."""

HOSTILE = {
    "old": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Prescott",
        "OPENBLAS_NUM_THREADS": "2",
        "OMP_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
        "MKL_CBWR": "COMPATIBLE",
        "MKL_DEBUG_CPU_TYPE": "5",
        **NUMPY_BASELINE,
    },
    "new": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
        "OPENBLAS_CORETYPE": "Zen",
        "OPENBLAS_NUM_THREADS": "4",
        "OMP_NUM_THREADS": "3",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "MKL_CBWR": "AVX2",
    },
}

pytestmark = pytest.mark.skipif(
    shortfall() is not None, reason=f"no portable arithmetic here: {shortfall()}"
)


def test_every_model_optimizer_and_strategy_has_a_case() -> None:
    known = cases()
    blocks = [case[key] for case in known.values() for key in ("model", "sequences") if key in case]
    models = {block["kind"] for block in blocks}
    optimizers = {
        case["training.optimizer"]["kind"]
        for case in known.values()
        if "training.optimizer" in case
    }
    kinds = {case["strategy"]["kind"] for case in known.values() if "strategy" in case}
    assert models == {kind for kind, spec in MODELS.items() if spec.portable}
    assert optimizers | {"SGD"} == set(OPTIMIZERS)
    assert kinds == set(strategies())
    assert set(EMULATED) <= set(known)


def test_models_have_the_golden_digests() -> None:
    compute_products()  # what NumPy and PyTorch have chosen for themselves does not matter
    portable_cases.spare_the_compiler()
    assert dict(digests(cases())) == golden()


def test_models_do_not_depend_on_the_environment() -> None:
    started = [start(SCRIPT, ["--products", *EMULATED], None, env) for env in HOSTILE.values()]
    for process in started:
        assert printed(process, EMULATED) == {name: golden()[name] for name in EMULATED}


@needs_emulator
def test_models_are_the_same_on_emulated_processors_of_both_vendors() -> None:
    started = {
        vendor: start(emulated_cases.__file__, EMULATED, processor, NUMPY_BASELINE)
        for vendor, processor in PROCESSORS.items()
    }
    for vendor, process in started.items():
        differing = {
            name: digest
            for name, digest in printed(process, EMULATED).items()
            if digest != golden()[name]
        }
        assert not differing, vendor
