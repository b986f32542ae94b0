"""The optional build: the same schedules, to the digest, from compiled modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import ROOT, SMALLEST, TESTS

COMPILER = (os.environ.get("CC") or "cc").split()[0]

SAME = """
import json

import afl_sim
from afl_sim.machine import compiled
from golden_schedules import STRATEGIES, facts, golden, scenario
from afl_sim.run.api import simulate

assert compiled(), afl_sim.__file__
wanted = golden()
different = [
    kind for kind in STRATEGIES
    if facts(simulate(scenario(kind), timing_only=True)) != wanted[kind]
]
print(json.dumps(different))
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that has the wheel of the optional build, unpacked."""
    for module in (
        "build",
        "hatchling",
        "mypyc",
        "setuptools",
    ):  # their import may replace distutils
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    if shutil.which(COMPILER) is None:
        pytest.skip(f"there is no C compiler ({COMPILER})")
    folder = tmp_path_factory.mktemp("compiled")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", folder, ROOT],
        env={**os.environ, "AFL_SIM_COMPILE": "0"},  # the compiler's own optimisation takes longest
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout[-5000:] + built.stderr[-5000:]
    (wheel,) = folder.glob("*.whl")
    assert "none-any" not in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def python(site: Path, *arguments: str) -> str:
    """What Python prints with the package of a folder."""
    path = os.pathsep.join([str(site), str(TESTS / "support")])
    done = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        cwd=site,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_schedule_of_every_strategy_is_the_golden_one(site: Path) -> None:
    assert python(site, "-c", SAME) == "[]\n"


TRAINED = """
import gc
import sys
from contextlib import suppress
from pathlib import Path

from afl_sim import load_scenario, simulate
from afl_sim.run.api import resume

gc.set_threshold(50)  # what is held weakly has to survive many searches for garbage
scenario = load_scenario(Path(sys.argv[1]), ["stop.updates=200"])
reached = 0


def progress(at):
    global reached
    reached = at.version


with suppress(KeyboardInterrupt):
    simulate(scenario, sys.argv[2], progress=progress, stop_wanted=lambda: reached >= 20)
run = resume(sys.argv[2])
print(run.status, run.summary["schedule_digest"], run.summary["model_digest"])
"""


def test_a_run_trains_and_is_resumed_with_the_same_digests(site: Path, tmp_path: Path) -> None:
    found = {
        python(place, "-c", TRAINED, str(SMALLEST), str(tmp_path / place.name))
        for place in (site, ROOT)
    }
    assert len(found) == 1
    assert found.pop().startswith("complete ")


def test_errors_are_the_same(site: Path, tmp_path: Path) -> None:
    """A schedule that breaks a rule is told the same, with the line of its own code."""
    own = tmp_path / "own_schedule.py"
    own.write_text(
        "from afl_sim.strategies import FedAsync\n"
        "class Wrong(FedAsync):\n"
        "    def schedule(self, server):\n"
        "        server.send(2)\n"
        "        yield 5\n"
    )
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from afl_sim import load_scenario, simulate\n"
        "from afl_sim.errors import AflSimError\n"
        "try:\n"
        "    own = 'strategy={kind: own_schedule:Wrong, concurrency: 2}'\n"
        "    simulate(load_scenario(sys.argv[2], [own]), timing_only=True)\n"
        "except AflSimError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    compiled = python(site, "-c", program, str(tmp_path), str(SMALLEST))
    assert "own_schedule.py:5" in compiled
    assert compiled == python(ROOT, "-c", program, str(tmp_path), str(SMALLEST))


def test_the_command_says_which_build_it_is(site: Path) -> None:
    plain = python(ROOT, "-m", "afl_sim", "--version")
    assert python(site, "-m", "afl_sim", "--version") == f"{plain.rstrip()} (compiled)\n"
    assert "compiled" not in plain
