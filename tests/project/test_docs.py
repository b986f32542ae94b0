"""The documentation: every block works or is checked, and every name in it exists.

The blocks of the README and of the pages that go on from it are run by tests/cli/test_readme.py.
"""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd
import pytest
import yaml
from doc_blocks import DOCS, GUIDES, PAGES, READ_IN_ORDER, ROOT, Block, blocks, code, commands
from places import SMALLEST
from safetensors.torch import save_file
from typer.main import get_command

from afl_sim import Candidates, Run, Study
from afl_sim.analysis import FIGURES
from afl_sim.cli import app
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.models.built_in import MODELS, build_model
from afl_sim.learning.models.spec import ModelSpec
from afl_sim.papers.target import Target, target_names
from afl_sim.run.api import load_scenario, simulate
from afl_sim.run.kinds import catalogue
from afl_sim.run.validation import check_study
from afl_sim.scenario import json_schema
from afl_sim.strategies import strategies
from afl_sim.strategies.base import Client, ServerView, Update
from afl_sim.strategies.methods.fedcompass import Compass
from afl_sim.strategies.methods.fedqueue import Queues
from afl_sim.theory.oracles import chosen
from afl_sim.world.server.server import Server

PAGE = {
    str(page.relative_to(DOCS)) if DOCS in page.parents else page.name: page.read_text("utf-8")
    for page in PAGES
}
RUN_AS_A_WHOLE = {str(page.relative_to(DOCS)) for page in GUIDES}
FOLLOWED = {page.name for page in READ_IN_ORDER}
RUN_ELSEWHERE = {"notebook.md", "staleness.md", *FOLLOWED, *RUN_AS_A_WHOLE}
OWN_MODULE = re.compile(
    "|".join(
        rf"\b{Path(block.file).stem}:\w"
        for text in PAGE.values()
        for block in blocks(text)
        if block.file is not None and block.file.endswith(".py")
    )
)
COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
SCHEMA = json_schema(catalogue())


def of(language: str, name: str) -> list[Block]:
    return [block for block in blocks(PAGE[name]) if block.language == language]


# -- commands ----------------------------------------------------------------------------------


def lines() -> Iterator[tuple[str, list[str]]]:
    """Every command line of the pages, in blocks and in the text, with its page."""
    for name, text in PAGE.items():
        for block in blocks(text):
            if block.language == "console":
                yield from ((name, without_assignments(line)) for line in commands(block))
            elif block.language in {"bash", ""}:
                for line in block.text.splitlines():
                    if line.startswith("afl-sim "):
                        yield name, shlex.split(line)
        for span in code(text):
            if re.match(r"afl-sim [a-z]+ [^.…|]", span) and span.split()[1] in COMMANDS:
                yield name, shlex.split(span)


def without_assignments(line: list[str]) -> list[str]:
    return list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), line))


PLACES = {"NAME", "path/to/folder"}  # of one's own
LINES = list(lines())
OURS = [line for _, line in LINES if line[0] == "afl-sim"]


def test_there_are_commands_to_check() -> None:
    assert len(OURS) > 60
    assert {line[1] for line in OURS} >= {"run", "plot", "report", "compare", "calibrate", "theory"}


@pytest.mark.parametrize("name", sorted({line[1] for line in OURS}))
def test_every_command_line_is_one_that_can_be_typed(name: str) -> None:
    for line in OURS:
        if line[1] != name:
            continue
        try:
            parsed = COMMANDS[name].make_context(name, line[2:]).params
        except Exception as error:  # whatever the parser in use raises
            pytest.fail(f"{shlex.join(line)}: {error}")
        figures = {figure for figure in parsed.get("figure") or () if ":" not in figure}
        assert figures <= set(FIGURES)  # a page's own are drawn by tests/cli/test_guides.py
        if name == "theory":
            assert chosen(parsed["names"] or [])
        if name == "reproduce":
            assert set(parsed["names"] or ()) <= {*target_names(), *PLACES}
        if OWN_MODULE.search(" ".join(line)):
            continue  # tests/cli/test_guides.py types it where the page's module is
        for file in parsed["scenarios"] if name == "run" else ():
            if (ROOT / "scenarios" / f"{file}.yaml").exists():
                load = [file, parsed["settings"] or [], parsed["seed"]]
                assert studied(*load), shlex.join(line)


def studied(name: str, settings: list[str], seed: int | None) -> bool:
    from afl_sim.run.api import read_study
    from afl_sim.scenario.bundled import find_scenario

    return bool(read_study(find_scenario(name), settings, seed).cases)


def test_other_commands_are_of_known_tools_and_of_files_that_exist() -> None:
    for page, line in LINES:
        if line[0] == "afl-sim" or page in RUN_AS_A_WHOLE:
            continue
        tool = Path(line[0]).name
        assert tool in {"make", "python", "ray", "chmod"}, (page, line)
        for word in line[1:]:
            if word.endswith(".py") or word.startswith("docs/"):
                assert (ROOT / word).exists(), (page, line)
        script = next((word for word in line if word.endswith(".py")), None)
        if script:
            text = (ROOT / script).read_text()
            assert all(word in text for word in line if word.startswith("--")), (page, line)


# -- YAML --------------------------------------------------------------------------------------

# Where keys belong that are shown without what they stand in.
WITHIN = {
    "devices": "clients",
    "compute": "clients",
    "availability": "clients",
    "seconds_per_sample": "clients.compute",
}
TRACES = {
    "phones.csv": "seconds_per_sample,upload_bandwidth\n0.01,9e3\n0.02,9e4\n0.03,1e4\n",
    "laptops.csv": "median\n1\n2\n",
    "nights.csv": "client,start,end\n"
    + "".join(f"{name},2024-03-01T22:00,2024-03-02T06:00\n" for name in ("a", "b", "c")),
    "shifts.csv": "hours\n8\n12\n24\n",
    "uplinks.csv": "start,end,bandwidth\n0,10,5000\n10,15,0\n",
    "here.csv": "seconds_per_sample\n0.01\n0.02\n",
    "fleet.csv": "GFLOP_per_s,memory_GB,samples,on_h,off_h\n40,3,42,9,3\n4,1,6,2,10\n",
    "presence.csv": "client,start,end\n0,0,50000\n1,10,60000\n2,0,86400\n",
}


def fragments() -> list[tuple[str, str]]:
    """Parts of scenarios that pages show; a key that is shown twice makes two of them."""
    found = []
    for name in PAGE:
        if name in RUN_ELSEWHERE | {"targets.md"}:  # run as they are; no scenario
            continue
        for block in of("yaml", name):
            first = block.text.split(":")[0]
            lines = block.text.splitlines()
            alone = block.text.count(f"\n{first}:") > 0
            alone |= all(line.split(":")[0] in WITHIN for line in lines)  # one way each
            found += [(name, text) for text in (lines if alone else [block.text])]
    return found


def with_text_keys(value: Any) -> Any:
    """The same with ``on`` and ``off`` as keys, which YAML 1.1 takes for true and false."""
    if isinstance(value, dict):
        words = {True: "on", False: "off"}
        return {words.get(key, key): with_text_keys(item) for key, item in value.items()}
    return [with_text_keys(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("page", "text"), fragments(), ids=lambda text: text.split("\n")[0][:50])
def test_every_part_of_a_scenario_is_accepted(
    page: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = yaml.safe_load(SMALLEST.read_text())
    scenario["clients"]["count"] = 3
    scenario["data"]["partition"]["replacement"] = True  # for any number of clients
    for key, value in with_text_keys(yaml.safe_load(text)).items():
        block = scenario
        for part in filter(None, WITHIN.get(key, "").split(".")):
            block = block[part]
        if key == "clients":
            block[key] = {**block[key], **value}
        else:
            block[key] = value
    if "devices" in scenario["clients"]:  # they have a speed of their own
        scenario["clients"]["compute"].pop("seconds_per_sample", None)
    scenario["strategy"]["concurrency"] = 3
    for name, content in TRACES.items():
        (tmp_path / name).write_text(content)
    if "pretrained" in text:
        other = build_model(MODELS["resnet"](), SampleForm((1, 28, 28), 100), 0)
        save_file(other.state_dict(), tmp_path / "cifar100.safetensors")
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(scenario))
    for block in of("python", page):
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    monkeypatch.syspath_prepend(tmp_path)
    assert check_study(tmp_path / "scenario.yaml").cases


# -- Python ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small run, where the pages say that one is."""
    settings = ["stop.updates=10", "evaluation.samples=10", "model=logistic"]
    place = tmp_path_factory.mktemp("reader") / "runs" / "quickstart"
    return simulate(load_scenario(SMALLEST, settings), place)


def test_every_python_block_is_known_to_the_tests() -> None:
    found = {name: len(of("python", name)) for name in PAGE if of("python", name)}
    assert sum(found.get(name, 0) for name in FOLLOWED) >= 2
    found = {name: count for name, count in found.items() if name not in RUN_ELSEWHERE}
    assert found == {"figures.md": 1, "scenario.md": 2, "targets.md": 1}


def test_a_figure_is_drawn_as_the_page_says(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = run.path.parents[1]
    monkeypatch.chdir(folder)
    (block,) = of("python", "figures.md")
    names: dict[str, Any] = {}
    exec(compile(block.text, "docs/figures.md", "exec"), names)
    assert isinstance(names["figure"], matplotlib.figure.Figure)
    assert (folder / "staleness.pdf").read_bytes().startswith(b"%PDF")


def test_the_model_of_a_run_is_loaded_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory, loads = of("python", "scenario.md")
    (tmp_path / str(factory.file)).write_text(factory.text)
    monkeypatch.syspath_prepend(tmp_path)
    (model,) = [b.text for b in of("yaml", "scenario.md") if "narrow:build" in b.text]
    settings = ["stop.updates=10", "evaluation.samples=10"]
    settings.append(f"model={yaml.safe_load(model)['model']}")
    run = simulate(load_scenario(SMALLEST, settings), tmp_path / "run")
    monkeypatch.chdir(run.path)
    names: dict[str, Any] = {}
    exec(compile(loads.text, "docs/scenario.md", "exec"), names)
    held = names["module"].state_dict()
    assert held.keys() == run.model().keys()
    assert all((held[name].numpy() == value).all() for name, value in run.model().items())


def test_a_targets_module_measures_as_the_page_says(run: Run) -> None:
    (block,) = of("python", "targets.md")
    names: dict[str, Any] = {}
    exec(compile(block.text, "docs/targets.md", "exec"), names)
    (target,) = of("yaml", "targets.md")
    rows = yaml.safe_load(target.text)["tables"][0]["rows"]
    run.summary["time_to_accuracy"] = {"0.9": 12.0}
    measured = names["measure"]({"rounds": [run], "curves": [run]})
    assert set(measured["round_seconds"]) == set(rows)
    length = run.summary["virtual_seconds"] / run.summary["versions"]
    assert [value for row in measured["round_seconds"].values() for value in row] == [length]
    assert measured["fedbuff_arrives"] == [True]
    assert names["measure"]({})["fedbuff_arrives"] == []


# -- names in the text -------------------------------------------------------------------------

OBJECTS: dict[str, tuple[type, ...]] = {
    "run": (Run,),
    "study": (Study,),
    "study.frame": (pd.DataFrame,),
    "Compass": (Compass,),
    "Queues": (Queues,),
    "server": (Server, ServerView),
    "ServerView": (ServerView,),
    "update": (Update,),
    "client": (Client,),
    "candidates": (Candidates,),
    "target": (Target,),
    "ModelSpec": (ModelSpec,),
}
WRITTEN = {
    *("study.json", "study.yaml", "table.csv", "table.md", "comparison.csv", "report.html"),
    *("personal.safetensors", "models/version-12.safetensors"),
    *("bus.yaml", "bus.csv", "bus-links.csv"),
    *("winner.yaml", "candidates.csv", "runs/looked/candidates.csv", "design.json"),
}
PLACEHOLDERS = {"package.module", "KEY.PATH"}
SUFFIXES = (
    "py",
    "md",
    "toml",
    "cff",
    "yaml",
    "json",
    "png",
    "csv",
    "txt",
    "html",
    "parquet",
    "safetensors",
)


def dotted() -> list[tuple[str, str]]:
    """Names with dots that stand in code in the text, each once for a page."""
    found = {}
    for page, text in PAGE.items():
        for span in code(text):
            if span.startswith("afl-sim ") or re.match(r"[A-Z_]+=", span):
                continue
            plain = re.sub(r"\{[^}]*\}|'[^']*'|\"[^\"]*\"", "", span)
            for name in re.findall(r"[A-Za-z_][\w/-]*(?:\.[A-Za-z_]\w*)+", plain):
                found[page, name] = None
    return list(found)


def is_file(name: str, run: Run) -> bool:
    here = {path.name for path in run.path.iterdir()} | {"partition.parquet"} | WRITTEN
    return (
        name in here
        or (ROOT / name).exists()
        or ("/" not in name and any(ROOT.glob(f"[!.]*/**/{name}")))
    )


def is_setting(path: str) -> bool:
    """Whether a scenario has a key, by its schema."""
    nodes = [SCHEMA]
    for part in path.split("."):
        nodes = [child for node in nodes for child in children(node, part)]
    return bool(nodes)


def children(node: Any, key: str, depth: int = 0) -> list[Any]:
    """What a key may hold, in any of the forms that a node of the schema allows."""
    if not isinstance(node, dict) or depth > 8:
        return []
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return children(SCHEMA["$defs"][name], key, depth + 1)
    found = [node["properties"][key]] if key in node.get("properties", {}) else []
    for form in ("anyOf", "oneOf", "allOf"):
        for each in node.get(form, ()):
            found += children(each, key, depth + 1)
    items = node.get("items")
    if isinstance(items, dict):  # blocks of a list go by their names, and their keys are meant too
        found += children(items, key, depth + 1) or (
            [items] if children(items, "name", depth + 1) else []
        )
    return found


def is_importable(name: str) -> bool:
    """Whether a module has it, of this package or of a library."""
    aliases = {"nn": "torch.nn"}
    first, *rest = name.split(".")
    parts = [*aliases.get(first, first).split("."), *rest]
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:length]))
        except ImportError:
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


def is_attribute(name: str) -> bool:
    """Whether what the pages call by this name has it: a run, the server of a schedule, ..."""
    first, _, rest = name.rpartition(".")
    return any(
        hasattr(kind, rest) or any(rest in inspect.get_annotations(base) for base in kind.__mro__)
        for kind in OBJECTS.get(first, ())
    )


def is_stream(name: str) -> bool:
    code = [*(ROOT / "afl_sim").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")]
    return any(f'"{name}"' in path.read_text() for path in code)


def test_every_dotted_name_in_the_text_exists(run: Run) -> None:
    found = dotted()
    assert len(found) > 150
    unknown = [
        f"{page}: {name}"
        for page, name in found
        if name not in PLACEHOLDERS
        and not (
            is_file(name, run)
            if name.rpartition(".")[2] in SUFFIXES
            else is_attribute(name) or is_setting(name) or is_importable(name) or is_stream(name)
        )
    ]
    assert unknown == []


def test_the_strategies_that_follow_a_controller_are_those_that_the_page_names() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| (`[^|]*) \|$", PAGE["how-to/adaptive-server.md"], re.M)
    names = re.compile(r"`(\w+)`").findall
    known = strategies()
    told = {kind: tuple(names(what)) for what, kinds in rows for kind in names(kinds)}
    told = {kind: settings for kind, settings in told.items() if kind in known}
    assert told == {kind: each.adapts for kind, each in known.items() if each.adapts}


def test_the_words_of_a_schedule_take_what_the_page_says() -> None:
    calls = [
        (name, re.findall(r"(\w+)=", given))
        for span in code(PAGE["schedules.md"])
        for name, given in re.findall(r"server\.(\w+)\(([^)]*)\)", span)
    ]
    assert len(calls) > 15
    for name, keywords in calls:
        assert set(keywords) <= set(inspect.signature(getattr(Server, name)).parameters), name


@pytest.mark.parametrize(
    "name", ["run.partition", "server.pik", "training.optimiser", "torch.nothing", "clients.fault"]
)
def test_a_name_that_does_not_exist_would_be_found(name: str) -> None:
    assert not is_attribute(name)
    assert not is_setting(name)
    assert not is_importable(name)
    assert not is_stream(name)


def test_what_is_in_the_schema_is_found() -> None:
    assert is_setting("clients.faults.upload_loss")
    assert is_setting("training.compression.upload")
