"""Products by the library of our own."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT

from afl_sim.portable import blas
from afl_sim.portable.blas import prepared, product
from afl_sim.portable.block import arithmetic_of
from afl_sim.portable.processor import shortfall

pytestmark = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))

SHAPES = [(1, 1, 1), (3, 4, 5), (1, 7, 3), (7, 1, 3), (3, 7, 1), (1, 5, 1), (10, 784, 10)]


def _drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(("m", "k", "n"), SHAPES)
def test_a_product_is_right_in_every_memory_order(m: int, k: int, n: int) -> None:
    a, b = _drawn(m, k), _drawn(k, n)
    expected = a.astype(float) @ b
    for left in (a, np.asfortranarray(a), np.repeat(a, 2, 1)[:, ::2], np.pad(a, 1)[1:-1, 1:-1]):
        for right in (b, np.asfortranarray(b), np.broadcast_to(b, (2, k, n))[1]):
            np.testing.assert_allclose(product(left, right), expected, rtol=1e-5, atol=1e-4)


def test_a_prepared_product_adds_to_what_is_there() -> None:
    a, b, out = _drawn(3, 4), _drawn(4, 5), np.ones((3, 5), np.float32)
    prepared(a, b, out, alpha=-0.5, beta=1.0)()
    np.testing.assert_allclose(out, 1 - 0.5 * (a @ b), rtol=1e-5, atol=1e-5)


def test_an_empty_sum_is_zero() -> None:
    assert (
        product(np.ones((2, 0), np.float32), np.ones((0, 3), np.float32)).tolist() == [[0] * 3] * 2
    )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"no product of shapes \(2, 3\) and \(2, 3\)"):
        product(np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))


@pytest.mark.parametrize("before", ["", "import numpy, torch"])
def test_the_environment_does_not_choose_the_kernel(before: str) -> None:
    """The package loads the library when it is imported; then the environment would choose."""
    code = f"{before}\nfrom afl_sim.portable.blas import unavailable\nprint(unavailable())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_CORETYPE": "Prescott", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "None\n"


def test_an_empty_sum_forgets_what_is_there() -> None:
    out = np.full((2, 3), np.nan, np.float32)
    prepared(np.ones((2, 0), np.float32), np.ones((0, 3), np.float32), out)()
    assert out.tolist() == [[0] * 3] * 2


def test_the_bits_of_a_product_do_not_depend_on_threads_that_others_set() -> None:
    """Packages that limit threads find every OpenBLAS of a process, and set this one too."""
    a, b = _drawn(500, 784), _drawn(784, 300)
    with arithmetic_of(portable=True):
        expected = product(a, b)
    library = blas._library()
    library.scipy_openblas_set_num_threads(2)
    try:
        with arithmetic_of(portable=True):
            assert library.scipy_openblas_get_num_threads() == 1
            assert product(a, b).tobytes() == expected.tobytes()
    finally:
        library.scipy_openblas_set_num_threads(1)


def test_a_library_that_was_loaded_with_another_kernel_is_refused() -> None:
    first = "import scipy_openblas32"
    code = f"{first}\nfrom afl_sim.portable.blas import unavailable\nprint(unavailable())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "OPENBLAS_CORETYPE": "Sandybridge", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == (
        "scipy-openblas32 was loaded before with the kernel Sandybridge; expected Haswell, "
        "as with OPENBLAS_CORETYPE=Haswell in the environment\n"
    )
