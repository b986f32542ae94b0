"""Draws have the same bits on every processor, so that schedules have the same microseconds."""

from __future__ import annotations

import ast
import json
import platform

import family_draws
import long_tasks
import pytest
from emulation import PROCESSORS, needs_emulator, printed, start
from numpy._core import _multiarray_umath as numpy_core
from places import ROOT

from afl_sim.scenario.distributions.families import FAMILIES

SCRIPT = family_draws.__file__
WITHOUT = " ".join(numpy_core.__cpu_dispatch__)
PACKAGE = ROOT / "afl_sim"
LIBRARY, VERSION = platform.libc_ver()

on_promised_machines = pytest.mark.skipif(
    platform.machine() != "x86_64"
    or not numpy_core.__cpu_features__["FMA3"]
    or LIBRARY != "glibc"
    or tuple(map(int, VERSION.split("."))) < (2, 35),
    reason="bits are promised for x86-64 with FMA and glibc 2.35 or later",
)


def golden() -> dict[str, str]:
    found: dict[str, str] = json.loads(family_draws.FILE.read_text())
    return found


SLOWEST = "nchypergeom_wallenius"
ARGUMENTS = (str(family_draws.COUNT), SLOWEST)  # everything but the slowest


def test_every_family_has_an_example() -> None:
    assert set(family_draws.EXAMPLES) == set(FAMILIES)


@on_promised_machines
def test_draws_have_the_golden_bits() -> None:
    """Where the change is meant: python tests/support/family_draws.py --write"""
    assert dict(family_draws.draws(family_draws.COUNT)) == golden()


def test_draws_do_not_depend_on_the_code_that_numpy_chooses() -> None:
    here = dict(family_draws.draws(family_draws.COUNT, (SLOWEST,)))
    process = start(SCRIPT, ARGUMENTS, variables={"NPY_DISABLE_CPU_FEATURES": WITHOUT})
    assert printed(process, list(here)) == here


@on_promised_machines
@needs_emulator
def test_draws_are_the_same_on_emulated_processors_of_both_vendors() -> None:
    expected = {name: found for name, found in golden().items() if name != SLOWEST}
    started = {vendor: start(SCRIPT, ARGUMENTS, name) for vendor, name in PROCESSORS.items()}
    for vendor, process in started.items():
        assert printed(process, list(expected)) == expected, vendor


@on_promised_machines
def test_a_schedule_of_long_tasks_has_the_same_microseconds_everywhere() -> None:
    """Of durations of 10^6 s, a difference in the last bit moves one in 10^4."""
    process = start(long_tasks.__file__, variables={"NPY_DISABLE_CPU_FEATURES": WITHOUT})
    assert long_tasks.digest() == long_tasks.GOLDEN["fisk"]
    assert printed(process) == long_tasks.GOLDEN


DRAWING = [
    PACKAGE / "streams.py",
    *(PACKAGE / "scenario").rglob("*.py"),
    *(PACKAGE / "world").rglob("*.py"),
    *(PACKAGE / "strategies").rglob("*.py"),
    *(PACKAGE / "learning" / "partition").rglob("*.py"),
]
DISPATCHED = """
    exp exp2 expm1 log log2 log10 log1p power float_power sin cos tan arcsin arccos arctan arctan2
    sinh cosh tanh arcsinh arccosh arctanh cbrt hypot logaddexp logaddexp2
"""


def test_what_draws_uses_none_of_numpys_functions_that_differ_between_processors() -> None:
    """The test above sees a difference only on a processor that NumPy has other code for."""
    used = [
        f"{file.relative_to(PACKAGE)}:{node.lineno}: np.{node.attr}"
        for file in DRAWING
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("np", "numpy")
        and node.attr in DISPATCHED.split()
    ]
    assert not used
