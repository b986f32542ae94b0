"""The packages in ``examples/``, built and installed as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from places import ROOT

OWN_TESTS = """
import pytest
assert pytest.main(["-q", "-p", "no:cacheprovider", "tests"]) == 0
"""
"""Runs the tests in a folder ``tests``."""


def with_wheel(example: Path, folder: Path) -> str:
    """A module path that has an example's wheel, unpacked into ``folder``."""
    pytest.importorskip("build")
    pytest.importorskip("hatchling")
    source = shutil.copytree(example, folder / "source")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, source]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return os.pathsep.join(
        [str(folder / "site"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
