"""Draws have the same bits on every processor, so that schedules have the same microseconds."""

from __future__ import annotations

import ast
import json
import os
import platform
import shutil
import subprocess
import sys

import family_draws
import pytest
from numpy._core import _multiarray_umath as numpy_core
from places import ROOT

from afl_sim.scenario.distributions.families import FAMILIES

SCRIPT = family_draws.__file__
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


def printed(*command: str, **environment: str) -> dict[str, str]:
    """What the script prints, run by a command under more environment variables."""
    done = subprocess.run(
        [*command, SCRIPT, str(family_draws.COUNT), "nchypergeom_wallenius"],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    # An emulator may break down at the very end, when everything has been printed.
    assert done.stdout.endswith("}"), done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_every_family_has_an_example() -> None:
    assert set(family_draws.EXAMPLES) == set(FAMILIES)


@on_promised_machines
def test_draws_have_the_golden_bits() -> None:
    """Where the change is meant: python tests/support/family_draws.py --write"""
    assert family_draws.draws(family_draws.COUNT) == golden()


def test_draws_do_not_depend_on_the_code_that_numpy_chooses() -> None:
    without = " ".join(numpy_core.__cpu_dispatch__)
    here = family_draws.draws(family_draws.COUNT, ("nchypergeom_wallenius",))
    assert printed(sys.executable, NPY_DISABLE_CPU_FEATURES=without) == here


@on_promised_machines
@pytest.mark.skipif(shutil.which("qemu-x86_64") is None, reason="needs Debian's qemu-user")
def test_draws_are_the_same_on_an_emulated_haswell() -> None:
    found = printed("qemu-x86_64", "-cpu", "Haswell", sys.executable)
    assert len(found) > 90
    assert found == {name: golden()[name] for name in found}


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
