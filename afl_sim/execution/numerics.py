"""Settings under which the same inputs give the same bits, and the fingerprint of a machine."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import ScenarioError
from afl_sim.execution.arithmetic import (
    arithmetic_digest,
    cpu_capability,
    portable_digest,
)
from afl_sim.machine import cpu_vendor
from afl_sim.portable.blas import VERSION
from afl_sim.portable.processor import shortfall
from afl_sim.scenario.sections.settings import Numerics

# torch keeps the precision of float32 products in a tree, where "none" means the parent's value.
# Parents come first, so that the value that was set is read, and not the one that is inherited.
_PRECISIONS = (
    ("generic", "all"),
    ("mkldnn", "all"),
    ("cuda", "all"),
    *((backend, kind) for backend in ("mkldnn", "cuda") for kind in ("matmul", "conv", "rnn")),
)


_backends: Any = torch.backends  # torch leaves functions of these two without types
_cuda: Any = torch.cuda

_counting = Lock()
_blocks = 0  # number of `deterministic` blocks that are entered now
_process = ExitStack()  # restores what the first of them has set for the whole process


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = (":4096:8", ":16:8")  # those with which cuBLAS is deterministic


@contextmanager
def deterministic(device: str = "cpu") -> Iterator[None]:
    """A block with one intra-op thread, deterministic algorithms and plain float32.

    The order of a reduction, and so its last bits, depends on the number of threads. Other settings
    of the caller (a default type or device, reduced precision, autocast, inference mode) have no
    effect in the block. Blocks may be nested, and several threads of a process may have one each.
    The caller's settings and torch's global generator are restored when the last block ends.

    Args:
        device: where training runs, cpu or cuda. Only one thread at a time may have a block for
            cuda.
    """
    global _blocks
    with _counting:
        if _blocks == 0:
            _set_for_process(_process)
        _blocks += 1
    try:
        with ExitStack() as stack:
            _set_for_thread(stack)
            if device == "cuda":
                _set_for_gpu(stack)
            yield
    finally:
        with _counting:
            _blocks -= 1
            if _blocks == 0:
                _process.close()


def _set_for_process(stack: ExitStack) -> None:
    """Set, until the stack unwinds, the settings that all threads share."""
    stack.callback(torch.set_rng_state, torch.get_rng_state())
    _pin(stack, torch.get_num_threads, torch.set_num_threads, 1)
    # This equals use_deterministic_algorithms(True), which also imports torch's compiler (1.5 s).
    _pin(stack, torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, "error")
    # This only helps to find reads of unwritten memory, and costs 3 % of a small step.
    _pin_attribute(stack, torch.utils.deterministic, "fill_uninitialized_memory", False)
    _pin(stack, torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    _pin_attribute(stack, torch.backends.mkldnn, "enabled", True)
    stack.enter_context(torch.backends.nnpack.flags(enabled=True))
    _pin_precision(stack)


def _set_for_thread(stack: ExitStack) -> None:
    """Set, until the stack unwinds, the settings that each thread has for itself."""
    torch.set_num_threads(1)  # OpenMP and MKL have a number for the process and one for each thread
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))  # only if needed: it slows every call of torch
    _pin(stack, _flushes_denormal, torch.set_flush_denormal, False)
    stack.enter_context(torch.autocast("cpu", enabled=False))
    stack.enter_context(torch.inference_mode(False))
    stack.enter_context(torch.enable_grad())


def _pin(stack: ExitStack, read: Callable[[], Any], write: Callable[[Any], Any], to: Any) -> None:
    """Give a setting a value until the stack unwinds."""
    stack.callback(write, read())
    write(to)


def _pin_attribute(stack: ExitStack, owner: Any, name: str, to: Any) -> None:
    stack.callback(setattr, owner, name, getattr(owner, name))
    setattr(owner, name, to)


def _set_for_gpu(stack: ExitStack) -> None:
    """Set, until the stack unwinds, the settings that a GPU needs as well."""
    # cuBLAS reads this when it computes its first product.
    _pin(stack, partial(os.environ.get, _WORKSPACE), _set_workspace, _workspace())
    _pin_attribute(stack, torch.backends.cudnn, "enabled", True)
    _pin_attribute(stack, torch.backends.cudnn, "deterministic", True)
    _pin_attribute(stack, torch.backends.cudnn, "benchmark", False)
    matmul = torch.backends.cuda.matmul
    _pin_attribute(stack, matmul, "allow_fp16_reduced_precision_reduction", False)
    _pin_attribute(stack, matmul, "allow_bf16_reduced_precision_reduction", False)
    stack.enter_context(torch.autocast("cuda", enabled=False))
    if torch.cuda.is_available():
        stack.callback(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())


def _workspace() -> str:
    """The caller's choice if it is deterministic, since cuBLAS reads it only once."""
    chosen = os.environ.get(_WORKSPACE)
    return chosen if chosen in _WORKSPACES else _WORKSPACES[0]


def _set_workspace(value: str | None) -> None:
    if value is None:
        os.environ.pop(_WORKSPACE, None)
    else:
        os.environ[_WORKSPACE] = value


def check_device(device: str) -> None:
    """Refuse a device that is missing, or that can no longer be made deterministic.

    Raises:
        ScenarioError: there is no GPU, or cuBLAS was used before without a deterministic workspace.
    """
    if device != "cuda":
        return
    if not torch.cuda.is_available():
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
        raise ScenarioError(
            f"numerics.device: got 'cuda', but PyTorch {torch.__version__} ({built}) finds no GPU "
            "here; expected cpu, or a machine with an NVIDIA GPU and its driver"
        )
    if _cuda.is_initialized() and os.environ.get(_WORKSPACE) not in _WORKSPACES:
        raise ScenarioError(
            "numerics.device: got 'cuda', but this process has used the GPU before without "
            f"{_WORKSPACE}={_WORKSPACES[0]} in its environment; expected it to be set before"
        )


def _flushes_denormal() -> bool:
    """Whether subnormal numbers count as zero; torch can set this but does not report it."""
    return float(torch.tensor([1e-40], dtype=torch.float32, device="cpu") * 1) == 0


def _pin_precision(stack: ExitStack) -> None:
    """Compute float32 products in float32, not in TF32 or bfloat16."""
    read: Any = torch._C._get_fp32_precision_getter
    write: Any = torch._C._set_fp32_precision_setter
    try:
        overall = torch.get_float32_matmul_precision()
    except RuntimeError:  # the caller has set the tree itself, which disables this older function
        overall = None
    for backend, kind in _PRECISIONS:
        stack.callback(write, backend, kind, read(backend, kind))
        write(backend, kind, "none")
    if overall is not None:
        stack.callback(torch.set_float32_matmul_precision, overall)
        torch.set_float32_matmul_precision("highest")
    for backend, kind in _PRECISIONS[3:]:
        write(backend, kind, "ieee")


def fingerprint(numerics: Numerics) -> dict[str, Any]:
    """The facts that must be equal for two runs to agree in every bit.

    ``arithmetic`` is a digest of the results of small cases. For native bits it stands for
    everything else on which the choice of kernels depends. Portable bits depend on nothing of the
    machine, so their fingerprint is the same on every machine that has them.

    Args:
        numerics: of a run; ``bits`` counts as native unless it is portable.
    """
    name = f"{numerics.mode}/{numerics.precision}/{numerics.device}"
    if numerics.bits == "portable":
        return _portable(f"{name}/portable")
    with deterministic():
        arithmetic = arithmetic_digest(numerics.mode, numerics.precision)
    found = {
        "class": name,
        "bits": "native",
        "torch": torch.__version__,
        "device": numerics.device,
        "cpu_capability": cpu_capability(),
        "cpu_vendor": cpu_vendor() if _backends.mkl.is_available() else "any",
        "arithmetic": arithmetic,
        "onednn": _backends.mkldnn.is_available(),
        "matmul_precision": "highest",
        "threads": 1,
    }
    if numerics.device == "cuda":
        found |= _gpu()
    elif numerics.precision == "bf16":
        found["bf16_instructions"] = _bf16_instructions()
    return found


def _portable(name: str) -> dict[str, Any]:
    missing = shortfall()
    if missing is not None:
        return {"class": name, "bits": f"not portable on this machine ({missing})"}
    with deterministic():
        arithmetic = portable_digest()
    return {"class": name, "bits": "portable", "openblas": VERSION, "arithmetic": arithmetic}


def _gpu() -> dict[str, Any]:
    there = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if there else None,
        "cuda": torch.version.cuda,
        "cudnn": _backends.cudnn.version(),
        "cublas_workspace": _workspace(),
    }


def _bf16_instructions() -> str:
    """The processor's instructions for bfloat16 that oneDNN uses."""
    cpu: Any = torch.cpu
    if cpu._is_amx_tile_supported():
        return "amx"
    return "avx512_bf16" if cpu._is_avx512_bf16_supported() else "none"


def model_digest(vector: Tensor) -> str:
    """SHA-256 of the little-endian bytes of a float32 vector."""
    array = vector.detach().contiguous().numpy()
    return hashlib.sha256(array.astype("<f4", copy=False).tobytes()).hexdigest()


def personal_digest(kept: Mapping[int, Tensor]) -> str:
    """SHA-256 of what clients keep: each client's number in 8 bytes, then its float32 vector.

    Clients come in ascending order, and all numbers are little-endian.
    """
    hasher = hashlib.sha256()
    for client, vector in sorted(kept.items()):
        array = vector.detach().contiguous().numpy()
        hasher.update(client.to_bytes(8, "little"))
        hasher.update(array.astype("<f4", copy=False).tobytes())
    return hasher.hexdigest()
