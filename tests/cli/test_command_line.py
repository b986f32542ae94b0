"""Help, listings, the schema, and the files of the repository that are generated from the code."""

from __future__ import annotations

import gc
import json
import re
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml
from commands import Command
from places import ROOT, SMALLEST

import afl_sim as package
from afl_sim.cli.importing import importing

HEAVY = ("torch", "torchvision", "scipy", "simpy", "pandas", "numpy", "pyarrow", "yaml")
SCHEMA_FILE = ROOT / "scenarios" / "scenario.schema.json"
YOUR_FILES = "your-files"  # scenarios that need data which is not in the package
SCENARIOS = sorted(
    path for path in (ROOT / "scenarios").rglob("*.yaml") if path.name != "target.yaml"
)
COMMANDS = ("run", "validate", "plot", "compare", "diff", "reproduce", "list", "schema")

LOADED = f"""
import sys
from afl_sim import cli
for arguments in (["--help"], ["--version"], *([name, "--help"] for name in {COMMANDS!r})):
    sys.argv = ["afl-sim", *arguments]
    try:
        cli.main()
    except SystemExit as ending:
        assert not ending.code, arguments
print("loaded:", sorted(set(sys.modules) & set({HEAVY!r})))
"""


def test_help_and_version_load_no_heavy_library(afl_sim: Command) -> None:
    printed = afl_sim.python(LOADED).succeeded().out
    assert printed.endswith("loaded: []\n")
    assert f"afl-sim {package.__version__}\n" in printed
    for name in COMMANDS:
        assert f" {name} " in printed
    for option in ("--out", "--set", "--seed", "--timing-only", "--plot", "--force", "--show"):
        assert option in printed


def test_while_a_command_imports_nothing_searches_for_garbage() -> None:
    with importing():
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), importing():
        raise ImportError
    assert gc.isenabled()


def test_the_console_script_and_the_module_are_the_same_command(afl_sim: Command) -> None:
    assert afl_sim("--version").succeeded().out == f"afl-sim {package.__version__}\n"
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"afl-sim": "afl_sim.cli:main"}
    assert project["dynamic"] == ["version"]  # of the package: tests/project compares the two


def test_python_runs_the_package_as_the_command(afl_sim: Command) -> None:
    assert afl_sim.line()[1:] == ["-m", "afl_sim"]
    shown = afl_sim("--help").succeeded().out
    assert "Usage: afl-sim" in shown
    assert " run " in shown
    wrong = afl_sim("runn")
    assert wrong.code == 2
    assert "runn" in wrong.err


PUBLIC = """
import pydoc
import afl_sim
import afl_sim.cli
print(*(name for name in dir(afl_sim) if not name.startswith("_")))
print(pydoc.plain(pydoc.render_doc(afl_sim)))
"""


def test_the_package_shows_its_public_names_and_no_others(afl_sim: Command) -> None:
    names, _, shown = afl_sim.python(PUBLIC).succeeded().out.partition("\n")
    assert names.split() == sorted(package.__all__)
    _, functions = shown.split("\nFUNCTIONS\n")
    listed = set(re.findall(r"^    (\w+)\(", functions, re.MULTILINE))
    assert listed == {name for name in package.__all__ if name.islower()}
    assert f"\nVERSION\n    {package.__version__}\n" in functions
    with pytest.raises(AttributeError, match="module 'afl_sim' has no attribute 'simulat'"):
        package.simulat  # noqa: B018


LISTS = {
    "strategies": {"fedavg", "fedprox", "fedasync", "fedbuff", "ringmaster", "quafl", "fedat"},
    "models": {"logistic", "mlp", "lenet", "cnn"},
    "datasets": {"mnist", "fashion_mnist", "kmnist", "emnist", "cifar10"},
    "partitions": {"iid", "dirichlet", "shards", "classes", "quantity", "sizes"},
    "distributions": {"lognorm", "expon", "gamma", "weibull_min", "poisson", "geom"},
    "figures": {"accuracy", "heterogeneity", "staleness", "timeline"},
    "scenarios": {"quickstart", "smallest"},
}


def test_lists_and_schema(afl_sim: Command) -> None:
    *results, wrong, schema = afl_sim.batch(
        [*(("list", what) for what in LISTS), ("list", "things"), ("schema",)]
    )
    for (what, names), result in zip(LISTS.items(), results, strict=True):
        lines = dict(line.split(maxsplit=1) for line in result.succeeded().out.splitlines())
        assert names <= set(lines), what
        assert all(lines.values()), what
    assert wrong.code == 2
    assert "expected one of strategies, models" in wrong.errors[0]
    assert json.loads(schema.succeeded().out) == json.loads(SCHEMA_FILE.read_text())


CHECK = f"""
import runpy, sys
sys.argv = [{str(ROOT / "docs" / "generate.py")!r}, "--check"]
sys.path.insert(0, {str(ROOT / "docs")!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as ending:
    print("ended with", ending.code or 0)
"""


def test_generated_pages_are_current(cache: Path) -> None:
    checked = Command(ROOT, cache).forked(CHECK).succeeded()
    assert checked.out.endswith("ended with 0\n"), checked.out + checked.err


def test_every_scenario_of_the_repository_is_valid(afl_sim: Command) -> None:
    complete = [path for path in SCENARIOS if path.parent.name != YOUR_FILES]
    assert len(complete) < len(SCENARIOS)
    result = afl_sim("validate", *complete, "quickstart").succeeded()
    told = result.out.splitlines()
    said = [
        line.partition(": ") for line in told if not line.startswith(("warning: ", "together: "))
    ]
    assert [name for name, _, _ in said] == [*map(str, complete), "quickstart"]
    assert all(verdict.startswith("ok, ") for _, _, verdict in said)
    assert said[-1][2] == "ok, 3 runs"


def test_a_scenario_for_files_of_yours_says_which_it_needs(afl_sim: Command) -> None:
    paths = [path for path in SCENARIOS if path.parent.name == YOUR_FILES]
    for result in afl_sim.batch([("validate", path) for path in paths]):
        assert result.code == 2
        assert len(result.errors) == 1
        assert "data.root" in result.errors[0]


_BOOL = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """YAML 1.2, as editors read it: 1e-3 is a number and `on` a word."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, form) for tag, form in resolvers if tag != _BOOL]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(_BOOL, re.compile("^(true|false)$"), list("tf"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$"),
    list("-+0123456789."),
)


@pytest.fixture(scope="module")
def editors_check() -> jsonschema.protocols.Validator:
    schema: dict[str, Any] = json.loads(SCHEMA_FILE.read_text())
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_editors_find_the_schema_and_no_fault(
    path: Path, editors_check: jsonschema.protocols.Validator
) -> None:
    text = path.read_text()
    found = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert found
    assert (path.parent / found[1]).resolve() == SCHEMA_FILE
    faults = [error.message for error in editors_check.iter_errors(yaml.load(text, _Loader))]
    assert faults == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"seeed": 1}, []),
        ({"seed": -1}, ["seed"]),
        ({"strategy": {"kind": "fedbuf"}}, ["strategy"]),
        ({"strategy": {"kind": "fedbuff", "bufer_size": 3}}, ["strategy"]),
        ({"model": "logistik"}, ["model"]),
        ({"clients": {"count": 0}}, ["clients", "count"]),
        ({"data": {"partition": {"kind": "iid", "sample": 3}}}, ["data", "partition"]),
    ],
)
def test_editors_find_mistakes(
    change: dict[str, Any], where: list[str], editors_check: jsonschema.protocols.Validator
) -> None:
    content = yaml.safe_load(SMALLEST.read_text()) | change
    faults = [list(error.absolute_path) for error in editors_check.iter_errors(content)]
    assert where in [path[: len(where)] for path in faults]
