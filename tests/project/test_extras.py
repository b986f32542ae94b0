"""constraints.txt pins versions that install together, whichever extras are asked for."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONSTRAINTS = ROOT / "constraints.txt"
DRY = ["install", "--dry-run", "--quiet"]
PIP = [sys.executable, "-m", "pip", *DRY, "--disable-pip-version-check"]
UV = [sys.executable, "-m", "uv", "pip", *DRY, "--python", sys.executable]  # pip takes 20 s for it


def required() -> list[str]:
    """What the package needs, and what each of its extras does."""
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]


def pins() -> dict[str, str]:
    """What is pinned for this version of Python."""
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    found = {}
    for pin in map(Requirement, lines):
        (specifier,) = pin.specifier
        assert specifier.operator == "=="
        if pin.marker is None or pin.marker.evaluate():
            found[canonicalize_name(pin.name)] = specifier.version
    return found


def test_every_requirement_is_pinned_within_its_range() -> None:
    pinned = pins()
    assert list(pinned) == sorted(pinned)
    for line in required():
        requirement = Requirement(line)
        version = pinned[canonicalize_name(requirement.name)]
        assert version in requirement.specifier, f"{line}, pinned to {version}"


@pytest.mark.skipif(not find_spec("pip") or not find_spec("uv"), reason="pip or uv is missing")
def test_all_extras_install_together_under_the_constraints() -> None:
    """If all of them do, then so does each: its packages are among those found for all."""
    one = [*PIP, "--no-deps", "--ignore-installed", "--retries=0", "--timeout=15"]
    if subprocess.run([*one, f"six=={pins()['six']}"], capture_output=True).returncode:
        pytest.skip("no package index can be reached")
    found = subprocess.run([*UV, "-c", CONSTRAINTS, *required()], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
