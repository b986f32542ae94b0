"""Commands that handle no tensor load no PyTorch, and none loads more than it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command
from places import SMALLEST

TENSORS = {"torch", "torchvision", "peft", "ray"}
DRAWING = {"matplotlib", "seaborn"}
TABLES = {"pandas", "pyarrow"}
STATISTICS = {"scipy.stats"}
BLOCKS = {"afl_sim.scenario.scenario"}  # which imports every block of a scenario

LOADED = """
import sys
from afl_sim import cli
sys.argv = ["afl-sim", *{arguments!r}]
try:
    cli.main()
except SystemExit as ending:
    assert (ending.code or 0) == {code}, ending.code
print("loaded:", *sorted(set(sys.modules) & {heavy!r}))
"""


def loaded(afl_sim: Command, *arguments: object, code: int = 0) -> set[str]:
    """Which of the heavy libraries a command loads that ends with an exit code."""
    heavy = TENSORS | DRAWING | TABLES | STATISTICS | BLOCKS
    script = LOADED.format(arguments=list(map(str, arguments)), heavy=heavy, code=code)
    *_, last = afl_sim.python(script).succeeded().out.splitlines()
    return set(last.removeprefix("loaded:").split())


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Path, set[str]]:
    """A run without training, and what was loaded for it."""
    folder = tmp_path_factory.mktemp("timed")
    arguments = "run", "smallest", "--timing-only", "--out", folder / "run"
    return folder / "run", loaded(Command(folder, cache), *arguments)


def test_a_run_without_training_loads_no_tensors(timed: tuple[Path, set[str]]) -> None:
    assert timed[1] == {"pyarrow"} | BLOCKS  # pyarrow writes the log


TELLING = """
import sys
from pathlib import Path
from afl_sim import Strategy

class Telling(Strategy):
    def schedule(self, server):
        server.dispatch_many(server.pick(2))
        while True:
            update = yield server.arrival()
            here = Path(__file__).parent / f"{server.version}-loaded"
            here.write_text(" ".join(sys.modules))
            yield server.aggregate([update])
            server.dispatch(server.pick_one())
"""


def test_a_study_without_training_loads_no_tensors_in_its_workers_either(afl_sim: Command) -> None:
    (afl_sim.folder / "telling.py").write_text(TELLING)
    settings = ("strategy={kind: 'telling:Telling'}", "replications=2", "stop.updates=2")
    sets = [word for setting in settings for word in ("--set", setting)]
    workers = ("--workers", "2", "--out", "study")
    assert not loaded(afl_sim, "run", SMALLEST, "--timing-only", *sets, *workers) & TENSORS
    for version in (0, 1):
        told = set((afl_sim.folder / f"{version}-loaded").read_text().split())
        assert "afl_sim.study.whole_runs" in told  # it is a worker that tells
        assert not told & (TENSORS | DRAWING)


def test_the_first_difference_of_two_runs_is_found_without_tables(
    afl_sim: Command, timed: tuple[Path, set[str]]
) -> None:
    other = ("--timing-only", "--set", "seed=2", "--out", "other")
    afl_sim("run", SMALLEST, *other).succeeded()
    assert loaded(afl_sim, "diff", timed[0], timed[0]) == {"pyarrow"}
    assert loaded(afl_sim, "diff", timed[0], "other", code=1) == {"pyarrow"}


def test_finished_runs_are_compared_without_tensors_and_distributions(afl_sim: Command) -> None:
    afl_sim(
        *("run", SMALLEST, "--timing-only", "--set", "replications=2", "--out", "study")
    ).succeeded()
    assert loaded(afl_sim, "compare", "study") == TABLES


@pytest.mark.parametrize(
    "arguments",
    [
        ["validate", SMALLEST],
        ["validate", SMALLEST, "--timing-only", "--show"],
        [
            "validate",
            SMALLEST,
            "--set",
            "strategy={kind: fedasync, concurrency: 2}",
            "--set",
            "model=resnet",
        ],
        ["validate", SMALLEST, "--set", "training.augment=[random_crop, horizontal_flip]"],
        ["validate", "model-by-device"],  # whose models' operations and memory are counted
        ["list", "models"],
        ["list", "strategies"],
        ["schema"],
    ],
    ids=lambda arguments: " ".join(getattr(each, "name", each) for each in arguments),
)
def test_a_command_without_runs_loads_no_tables_either(
    afl_sim: Command, arguments: list[object]
) -> None:
    assert not loaded(afl_sim, *arguments) - BLOCKS


@pytest.mark.parametrize("scenario", ["diabetes", "addresses"])
def test_data_from_files_and_functions_is_dealt_out_without_tensors(
    afl_sim: Command, scenario: str
) -> None:
    one = ("--timing-only", "--set", "stop.updates=4", "--set", "replications=1")
    assert not loaded(afl_sim, "run", scenario, *one, "--out", "run") & TENSORS


def test_the_comparisons_with_theory_load_no_tensors(afl_sim: Command) -> None:
    code = """
import sys, afl_sim.theory.report
from afl_sim.theory.oracles import chosen
chosen([])
print({"torch", "pandas", "matplotlib"} & set(sys.modules))
"""
    assert afl_sim.python(code).succeeded().out == "set()\n"


def test_the_names_of_the_package_are_imported_when_they_are_used(afl_sim: Command) -> None:
    code = """
import sys, afl_sim
assert not {"numpy", "pydantic", "torch"} & set(sys.modules)
from afl_sim import Strategy, load_scenario, simulate, run_study, load_run
run = simulate(load_scenario("SCENARIO"), timing_only=True)
assert not {"torch", "matplotlib"} & set(sys.modules)
print(run.summary["versions"])
"""
    assert afl_sim.python(code.replace("SCENARIO", str(SMALLEST))).succeeded().out == "12\n"


def test_a_block_is_checked_even_if_nothing_but_its_module_was_imported(afl_sim: Command) -> None:
    code = """
import sys
from afl_sim.scenario.sections.network import Link
assert "afl_sim.scenario.scenario" not in sys.modules
try:
    Link(latncy=3)
except Exception as error:
    print(type(error).__name__, error)
print(Link(latency=3).latency.mean())
"""
    told, mean = afl_sim.python(code).succeeded().out.splitlines()
    assert told.startswith("SettingsError latncy: unknown key;")
    assert told.endswith("did you mean 'latency'?")
    assert float(mean) == 3
