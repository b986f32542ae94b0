"""The optional build: the same schedules, to the digest, from compiled modules."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from places import ROOT, SMALLEST, TESTS

from afl_sim.scenario.bundled import scenario_folder

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


def python(site: Path, *arguments: Path | str) -> str:
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
import json
import sys
from contextlib import suppress
from pathlib import Path

from afl_sim import load_scenario, simulate
from afl_sim.run.api import resume

gc.set_threshold(50)  # objects of compiled classes have to survive many searches for garbage
smallest, cases, folder = Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])


def run(name, settings):
    reached = 0

    def progress(at):
        nonlocal reached
        reached = at.version

    with suppress(KeyboardInterrupt):
        simulate(
            load_scenario(smallest, settings),
            folder / name,
            progress=progress,
            stop_wanted=lambda: reached >= 3,
        )
    done = resume(folder / name)
    digests = [done.summary[f"{half}_digest"] for half in ("schedule", "model")]
    return [done.status, reached, *digests]


if __name__ == "__main__":
    print(json.dumps({name: run(name, settings) for name, settings in cases.items()}))
"""

VARYING = f"bandwidth_trace: {{trace: {scenario_folder() / 'traces' / 'uplinks.csv'}}}"
CASES = {
    "usual": ["stop.updates=200"],
    "workers": ["execution.workers=2"],
    "fedavg": ["strategy={kind: fedavg, clients_per_round: 4, over_selection: 0.5}"],
    "every arrival": ["strategy={kind: fedasync, concurrency: 4, max_staleness: 2}"],
    "own models": ["strategy={kind: asofed, concurrency: 5}"],
    "polled": ["strategy={kind: quafl, clients_per_round: 3, local_steps: 6}"],
    "fresh models": ["strategy={kind: fedasmu, concurrency: 6, staleness_limit: 12}"],
    "used again": ["strategy={kind: fedfa, concurrency: 5, queue_size: 4}"],
    "varying links": [f"clients.network.upload={{latency: 0.1, loss: 0.2, {VARYING}}}"],
    "faults": ["clients.faults={crash: 0.1, upload_loss: {probability: 0.2, timeout: 0.5}}"],
    "churn": [
        "clients.availability={kind: on_off, on: {dist: expon, scale: 3}, off: {dist: expon}, "
        "on_leave: paused}"
    ],
    "all at once": [
        f"clients.network.upload={{latency: 0.1, loss: 0.2, {VARYING}}}",
        "clients.faults={crash: 0.1, upload_loss: {probability: 0.2, timeout: 0.5}}",
        "clients.availability={kind: on_off, on: {dist: expon, scale: 3}, off: {dist: expon}, "
        "on_leave: paused}",
        "server.upload={kind: shared, bandwidth: 1e5}",
    ],
}


def test_runs_train_and_are_resumed_with_the_same_digests(site: Path, tmp_path: Path) -> None:
    program = tmp_path / "trained.py"
    program.write_text(TRAINED)
    compiled, plain = (
        json.loads(python(place, program, SMALLEST, json.dumps(CASES), tmp_path / place.name))
        for place in (site, ROOT)
    )
    assert compiled == plain
    assert set(plain) == set(CASES)
    for status, reached, *_ in plain.values():
        assert status == "complete"
        assert reached >= 3  # it was interrupted, and went on


HELD_WEAKLY = """
import weakref

from afl_sim.world.tasks.task import Task

try:
    weakref.ref(Task(0, 0, 0, 1, 1, 0))
except TypeError as error:
    print(error)
"""


def test_a_task_cannot_be_held_weakly(site: Path) -> None:
    assert python(site, "-c", HELD_WEAKLY) == "cannot create weak reference to 'Task' object\n"


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
