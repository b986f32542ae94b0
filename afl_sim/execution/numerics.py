"""The settings under which the same inputs give the same bits, and what they are here."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from afl_sim.errors import ScenarioError
from afl_sim.execution.arithmetic import arithmetic_digest, cpu_vendor
from afl_sim.scenario.sections.settings import Numerics

# Where torch keeps the precision of float32 products: a tree, in which "none" stands for what lies
# above. Parents come first, so that each can be read as it was set and not as it inherits.
_PRECISIONS = (
    ("generic", "all"),
    ("mkldnn", "all"),
    ("cuda", "all"),
    *((backend, kind) for backend in ("mkldnn", "cuda") for kind in ("matmul", "conv", "rnn")),
)


_backends: Any = torch.backends  # torch leaves functions of these two without types
_cuda: Any = torch.cuda

_counting = Lock()
_blocks = 0  # of `deterministic` that are entered now
_process = ExitStack()  # puts back what the first of them set for the whole process


_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACES = (":4096:8", ":16:8")  # those with which cuBLAS is deterministic


@contextmanager
def deterministic(device: str = "cpu") -> Iterator[None]:
    """One intra-op thread, deterministic algorithms and plain float32, for as long as it lasts.

    A reduction's order, and so its last bits, depends on the number of threads. Whatever else a
    caller may have set (a default type or device, reduced precision, autocast, inference mode)
    counts for nothing in the block. Blocks may nest, also in several threads of one process: all of
    it, and torch's global generator, is put back at the end of the last of them.

    Args:
        device: where training runs, cpu or cuda; a block for cuda is not shared by threads.
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
    """Set, until the stack unwinds, what counts in every thread."""
    stack.callback(torch.set_rng_state, torch.get_rng_state())
    _pin(stack, torch.get_num_threads, torch.set_num_threads, 1)
    # The same as use_deterministic_algorithms(True), which imports torch's compiler (1.5 s).
    _pin(stack, torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode, "error")
    # This only helps to find reads of memory that nobody wrote; it costs 3 % of a small step.
    _pin_attribute(stack, torch.utils.deterministic, "fill_uninitialized_memory", False)
    _pin(stack, torch.get_default_dtype, torch.set_default_dtype, torch.float32)
    _pin_attribute(stack, torch.backends.mkldnn, "enabled", True)
    stack.enter_context(torch.backends.nnpack.flags(enabled=True))
    _pin_precision(stack)


def _set_for_thread(stack: ExitStack) -> None:
    """Set, until the stack unwinds, what each thread has for itself."""
    torch.set_num_threads(1)  # OpenMP and MKL keep one number for the process and one for each
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))  # slows every call of torch, so only if needed
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
    """Set, until the stack unwinds, what a GPU needs besides."""
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
    """The caller's own choice, if it is deterministic: once cuBLAS has read it, it stays."""
    chosen = os.environ.get(_WORKSPACE)
    return chosen if chosen in _WORKSPACES else _WORKSPACES[0]


def _set_workspace(value: str | None) -> None:
    if value is None:
        os.environ.pop(_WORKSPACE, None)
    else:
        os.environ[_WORKSPACE] = value


def check_device(device: str) -> None:
    """Refuse a device that is not there, or that can no longer be made deterministic.

    Raises:
        ScenarioError: no GPU, or cuBLAS was used before without a deterministic workspace.
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
            f"{_WORKSPACE}={_WORKSPACES[0]} in its environment; expected that from the start"
        )


def _flushes_denormal() -> bool:
    """Whether numbers too small to be normal count as zero, which torch can set but not tell."""
    return float(torch.tensor([1e-40], dtype=torch.float32, device="cpu") * 1) == 0


def _pin_precision(stack: ExitStack) -> None:
    """Have float32 products computed in float32, not in TF32 or bfloat16."""
    read: Any = torch._C._get_fp32_precision_getter
    write: Any = torch._C._set_fp32_precision_setter
    try:
        overall = torch.get_float32_matmul_precision()
    except RuntimeError:  # the caller has set the tree itself, and this older view of it is off
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
    """What has to be the same for two runs to agree in every bit.

    ``arithmetic`` is a digest of what small cases come to here (`arithmetic_digest`). It stands for
    whatever else decides which kernels the libraries choose.
    """
    with deterministic():
        arithmetic = arithmetic_digest(numerics.mode, numerics.precision)
    found = {
        "class": f"{numerics.mode}/{numerics.precision}/{numerics.device}",
        "torch": torch.__version__,
        "device": numerics.device,
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
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


def _gpu() -> dict[str, Any]:
    there = torch.cuda.is_available()
    return {
        "gpu": torch.cuda.get_device_name() if there else None,
        "cuda": torch.version.cuda,
        "cudnn": _backends.cudnn.version(),
        "cublas_workspace": _workspace(),
    }


def _bf16_instructions() -> str:
    """Which of the processor's instructions oneDNN has for bfloat16."""
    cpu: Any = torch.cpu
    if cpu._is_amx_tile_supported():
        return "amx"
    return "avx512_bf16" if cpu._is_avx512_bf16_supported() else "none"


def model_digest(vector: Tensor) -> str:
    """SHA-256 of a float32 vector's bytes, little-endian."""
    array = vector.detach().contiguous().numpy()
    return hashlib.sha256(array.astype("<f4", copy=False).tobytes()).hexdigest()
