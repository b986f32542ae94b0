"""Matrix products by a copy of OpenBLAS of our own, held to one kernel.

NumPy and PyTorch each bring a library for products, and both libraries choose a kernel by the
processor. This one is a package of its own (``scipy-openblas32``), of a fixed version. It is loaded
with the kernel for AVX2 and FMA, whatever else was loaded before. So the bits of a product do not
depend on the processor, on the versions of NumPy and PyTorch, or on the environment.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Array32 = npt.NDArray[np.float32]
Array = Array32 | npt.NDArray[Any]
Factor = float | ctypes.c_float

VERSION = "0.3.34.481.3"
"""The version of the library; another one may give other bits."""

_PACKAGE = "scipy-openblas32"
_KERNEL = "Haswell"
_SETTINGS = {
    "OPENBLAS_CORETYPE": _KERNEL,
    "OPENBLAS_NUM_THREADS": "1",
    "OPENBLAS_DEFAULT_NUM_THREADS": "1",
    "OPENBLAS_VERBOSE": "0",
}
_ROW_MAJOR, _AS_IT_IS, _TRANSPOSED = ctypes.c_int(101), ctypes.c_int(111), ctypes.c_int(112)
_loading = Lock()  # the environment is changed meanwhile
_ROUTINES = {
    np.dtype(np.float32): ("scipy_cblas_sgemm", ctypes.c_float),
    np.dtype(np.float64): ("scipy_cblas_dgemm", ctypes.c_double),
}


def product(a: Array, b: Array, out: Array | None = None) -> Array:
    """``a @ b`` for matrices of shapes (m, k) and (k, n), both of float32 or both of float64.

    Args:
        a, b: matrices in any memory order; copied if no axis has neighbouring numbers.
        out: shape (m, n), with rows of neighbouring numbers; a new one if it is None.
    """
    if out is None:
        out = np.empty((a.shape[0], b.shape[1]), a.dtype)
    prepared(_usable(a), _usable(b), out)()
    return out


def prepared(
    a: Array, b: Array, out: Array, alpha: Factor = 1.0, beta: Factor = 0.0
) -> Callable[[], None]:
    """A call that computes ``out = alpha a @ b + beta out`` each time it is made.

    Args:
        a, b: matrices of shapes (m, k) and (k, n), of float32 or float64; in each, one axis has
            neighbouring numbers.
        out: shape (m, n) and the same type, with rows of neighbouring numbers. With ``beta`` 0 it
            may hold anything.
        alpha, beta: numbers; a `ctypes.c_float` is read at each call, for float32 matrices.
    """
    (m, k), n = a.shape, b.shape[1]
    if b.shape[0] != k or out.shape != (m, n):
        raise ValueError(f"no product of shapes {a.shape} and {b.shape} into {out.shape}")
    if not (a.dtype == b.dtype == out.dtype and a.dtype in _ROUTINES):
        raise TypeError(f"no product of {a.dtype} and {b.dtype} into {out.dtype}")
    if not m * n:
        return lambda: None
    if not k:
        return partial(_scale, out, beta)
    routine, scalar = _ROUTINES[a.dtype]
    how_a, lead_a = _order(a)
    how_b, lead_b = _order(b)
    how_out, lead_out = _order(out)
    if how_out is not _AS_IT_IS:
        raise ValueError("the rows of the result are not rows in memory")
    sizes = (ctypes.c_int(m), ctypes.c_int(n), ctypes.c_int(k))
    arguments = (
        _ROW_MAJOR, how_a, how_b, *sizes, _factor(alpha, scalar),
        ctypes.c_void_p(a.ctypes.data), lead_a, ctypes.c_void_p(b.ctypes.data), lead_b,
        _factor(beta, scalar), ctypes.c_void_p(out.ctypes.data), lead_out,
    )  # fmt: skip
    return _Call(getattr(_library(), routine), arguments, (a, b, out))


def _scale(out: Array, by: Factor) -> None:
    """The product of matrices with nothing to add up."""
    number = by.value if isinstance(by, ctypes.c_float) else by
    if number == 0:
        out[...] = 0  # it may hold NaN
    else:
        out *= out.dtype.type(number)


def _factor(value: Factor, scalar: Any) -> Any:
    return value if isinstance(value, ctypes.c_float) else scalar(value)


class _Call:
    """A call of the library; it keeps the arrays alive that it points to."""

    __slots__ = ("_arguments", "_function", "_held")

    def __init__(self, function: Any, arguments: tuple[Any, ...], held: tuple[Array, ...]) -> None:
        self._function, self._arguments, self._held = function, arguments, held

    def __call__(self) -> None:
        self._function(*self._arguments)


def _order(matrix: Array) -> tuple[ctypes.c_int, ctypes.c_int]:
    """How a matrix lies in memory: as it is or transposed, and the distance between its lines.

    Raises:
        ValueError: no axis has neighbouring numbers, or lines overlap.
    """
    (rows, columns), (down, right) = matrix.shape, matrix.strides
    for how, lines, length, far, near in (
        (_AS_IT_IS, rows, columns, down, right),
        (_TRANSPOSED, columns, rows, right, down),
    ):
        if length == 1 or near == matrix.itemsize:
            distance = far // matrix.itemsize if lines > 1 else length
            if distance >= length and (lines == 1 or far % matrix.itemsize == 0):
                return how, ctypes.c_int(distance)
    raise ValueError(f"no axis of neighbouring numbers in strides {matrix.strides}")


def _usable(matrix: Array) -> Array:
    """The matrix in a memory order that the library takes."""
    try:
        _order(matrix)
    except ValueError:
        return np.ascontiguousarray(matrix)
    return matrix


def unavailable() -> str | None:
    """Why the library cannot be used, in words; None if it can."""
    try:
        found = version(_PACKAGE)
    except PackageNotFoundError:
        return f"it needs the package {_PACKAGE}=={VERSION}, which is not installed"
    if found != VERSION:
        return f"it needs {_PACKAGE}=={VERSION}, found {found}"
    try:
        kernel = _library().scipy_openblas_get_corename().decode()
    except (OSError, AttributeError) as error:
        return f"{_PACKAGE} cannot be loaded ({error})"
    if kernel == _KERNEL:
        return None
    return (
        f"{_PACKAGE} was loaded before with the kernel {kernel}; expected {_KERNEL}, "
        f"as with OPENBLAS_CORETYPE={_KERNEL} in the environment"
    )


def hold_to_one_thread() -> None:
    """Let one thread compute each product, whatever was set since.

    The number of threads changes the bits of a product. Packages that limit threads, such as
    threadpoolctl, find every OpenBLAS of a process, and set this one too.
    """
    library = _library()
    if library.scipy_openblas_get_num_threads() != 1:
        library.scipy_openblas_set_num_threads(1)


@cache
def _library() -> Any:
    with _loading:
        return _loaded()


@cache
def _loaded() -> Any:
    """The library. It reads its settings from the environment once, while it is loaded.

    The package is found but not imported, because it loads the library when it is imported.
    """
    package = find_spec("scipy_openblas32")
    if package is None or package.origin is None:
        raise OSError(f"the folder of {_PACKAGE} is not found")
    files = sorted((Path(package.origin).parent / "lib").glob("libscipy_openblas*.so*"))
    if not files:
        raise OSError(f"{package.origin} has no library beside it")
    with _environment(_SETTINGS):
        library = ctypes.CDLL(str(files[0]))
    library.scipy_openblas_get_corename.restype = ctypes.c_char_p
    library.scipy_cblas_sgemm.restype = library.scipy_cblas_dgemm.restype = None
    library.scipy_openblas_set_num_threads(1)
    return library


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them afterwards.

    Variables with the names of OpenBLAS that are not among the settings are absent meanwhile.
    """
    concerned = {name for name in os.environ if name.startswith(("OPENBLAS_", "GOTO_"))}
    concerned |= set(settings) | {"OMP_NUM_THREADS"}
    before = {name: os.environ.get(name) for name in concerned}
    try:
        for name in concerned:
            os.environ.pop(name, None)
        os.environ.update(settings)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
