"""Elementary functions: within half a unit in the last place, everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from afl_sim.portable import elementary
from afl_sim.portable.waves import turn64

REFERENCES = {
    "exp64": np.exp,
    "expm1_64": np.expm1,
    "log64": np.log,
    "log1p64": np.log1p,
    "tanh64": np.tanh,
    "sigmoid64": lambda x: 1 / (1 + np.exp(-x)),
    "erf64": lambda x: special.erf(x.astype(np.float64)).astype(np.longdouble),
}
_EDGES = [
    0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1e-38, 88.72, 88.73, -103.9, -104.0, -87.4,
    1.0, -1.0, 0.5, 3.4e38, -3.4e38,
]  # fmt: skip


def _rounded(name: str, *numbers: np.ndarray) -> np.ndarray:
    """A function's results for float32 numbers, as float32."""
    with elementary.ignoring_errors():
        found = getattr(elementary, name)(*(x.astype(np.float64) for x in numbers))
        return found.astype(np.float32)


def _numbers() -> np.ndarray:
    """Every size of float32, those around 1, and the edges."""
    rng = np.random.default_rng(0)
    anything = rng.integers(0, 2**32, 40_000, dtype=np.uint32).view(np.float32)
    usual = rng.uniform(-120, 120, 40_000)
    near_one = 1 + rng.normal(size=9000) / 1000
    others = np.concatenate([usual, near_one, _EDGES]).astype(np.float32)
    return np.concatenate([anything, others])


@pytest.mark.parametrize("name", REFERENCES)
def test_float32_results_are_within_half_a_unit_in_the_last_place(name: str) -> None:
    x = _numbers()
    found = _rounded(name, x)
    with np.errstate(all="ignore"):
        exact = REFERENCES[name](x.astype(np.longdouble))
        rounded = exact.astype(np.float32)
    finite = np.isfinite(rounded)
    np.testing.assert_array_equal(found[~finite], rounded[~finite])
    units = np.abs(found[finite] - exact[finite]) / np.spacing(np.abs(rounded[finite]))
    assert units.max() < 0.50001


@pytest.mark.parametrize("name", REFERENCES)
def test_float64_results_have_fourteen_digits(name: str) -> None:
    x = np.random.default_rng(1).uniform(1e-3, 30, 5000)
    np.testing.assert_allclose(getattr(elementary, name)(x), REFERENCES[name](x), rtol=1e-14)


@pytest.mark.parametrize("x", [-746.0, -745.0, -720.0, -708.4, 709.7, 709.8])
def test_exp_goes_through_subnormal_float64_numbers(x: float) -> None:
    with elementary.ignoring_errors():
        np.testing.assert_allclose(elementary.exp64(np.array([x])), np.exp([x]), rtol=1e-9)


def test_log_takes_subnormal_float64_numbers() -> None:
    np.testing.assert_allclose(
        elementary.log64(np.array([5e-324, 1e-310])), np.log([5e-324, 1e-310])
    )


def test_powers_are_rounded_once() -> None:
    rng = np.random.default_rng(2)
    x, y = rng.lognormal(size=9000).astype("f4"), rng.normal(size=9000).astype("f4") * 5
    exact = np.power(x.astype(np.longdouble), y)
    rounded = exact.astype(np.float32)
    units = np.abs(_rounded("power64", x, y) - exact) / np.spacing(rounded)
    assert units.max() < 0.50001


def test_powers_of_zero_infinity_and_negative_numbers_are_those_of_c() -> None:
    bases = np.array([0.0, -0.0, -2.0, 1.0, -1.0, 2.0, 0.5, np.inf, -np.inf, np.nan], "f4")
    exponents = np.array([0, 1, 2, 3, -1, -2, 0.5, np.inf, -np.inf, np.nan], "f4")
    x, y = (grid.ravel() for grid in np.meshgrid(bases, exponents))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(_rounded("power64", x, y), np.power(x, y))


def test_a_turn_has_its_cosine_and_sine() -> None:
    x = np.linspace(0, 1, 1001)
    for found, function in zip(turn64(x), (np.cos, np.sin), strict=True):
        np.testing.assert_allclose(found, function(2 * np.pi * x.astype(np.longdouble)), atol=1e-15)


@pytest.mark.parametrize("shape", [(10, 10), (1, 3), (5, 1), (2, 3, 4)])
@pytest.mark.parametrize("axis", [0, -1])
def test_softmax_and_its_logarithm_agree_with_scipy(shape: tuple[int, ...], axis: int) -> None:
    x = (np.random.default_rng(3).normal(size=shape) * 20).astype("f4")
    for name in ("softmax", "log_softmax"):
        expected = getattr(special, name)(x.astype(np.float64), axis)
        np.testing.assert_allclose(
            getattr(elementary, name)(x, axis), expected, rtol=1e-7, atol=1e-45
        )


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softmax", "log_softmax"])
def test_a_result_has_the_type_of_its_argument_and_is_that_of_float64_rounded(name: str) -> None:
    x = (np.random.default_rng(4).normal(size=(7, 9)) * 20).astype("f4")
    axis = (-1,) if "softmax" in name else ()
    exact = getattr(elementary, f"{name}64")(x.astype("f8"), *axis)
    for given in (x, x.astype("f8")):
        found = getattr(elementary, name)(given)
        assert found.dtype == given.dtype
        np.testing.assert_array_equal(found, exact.astype(given.dtype))


def test_a_result_does_not_depend_on_what_is_beside_it() -> None:
    x = _numbers()
    for name in REFERENCES:
        some = np.ascontiguousarray(x[100:10_000:7])
        np.testing.assert_array_equal(_rounded(name, x)[100:10_000:7], _rounded(name, some))


@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_of_nothing_is_nothing(axis: int) -> None:
    nothing = np.empty((0, 4), np.float32)
    assert elementary.log_softmax(nothing, axis).shape == (0, 4)
    assert elementary.softmax(nothing, axis).shape == (0, 4)
