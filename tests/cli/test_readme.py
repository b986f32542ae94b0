"""Everything in the README, and in the pages that go on from it, is run.

Their files are written, their commands typed, their Python executed.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from commands import Command
from doc_blocks import PAGES, READ_IN_ORDER, blocks, commands, prose
from places import ROOT

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


BLOCKS = blocks(README)
# In the order in which they are read: a page may use what the pages before it have made.
FOLLOWED = {
    str(page.relative_to(ROOT)): blocks(page.read_text(encoding="utf-8")) for page in READ_IN_ORDER
}


def test_there_is_something_to_run() -> None:
    every = [block for page in FOLLOWED.values() for block in page]
    found = {
        language: [b for b in every if b.language == language] for language in ("console", "python")
    }
    assert sum(len(commands(block)) for block in found["console"]) >= 8
    assert any(block.file is None for block in found["python"])
    assert {"fleet.yaml", "halves.py"} <= {block.file for block in BLOCKS}
    assert "concurrency.yaml" in {block.file for block in FOLLOWED["docs/studies.md"]}
    for name, page in FOLLOWED.items():
        assert (ROOT / name).read_text().count("```") == 2 * len(page)


def test_every_block_works_in_the_order_of_the_pages(afl_sim: Command, tmp_path: Path) -> None:
    """One reader's folder: files are written as they come, and later blocks use them."""
    for name, block in ((name, block) for name, page in FOLLOWED.items() for block in page):
        place = f"{name}:{block.line}"
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python":
            result = afl_sim.forked(block.text)
            assert result.code == 0, f"{place}\n{result.out}\n{result.err}"
            assert result.out.strip()
        elif block.language == "console":
            typed = [line[1:] for line in commands(block) if line[0] == "afl-sim"]
            for line, result in zip(typed, afl_sim.batch(typed) if typed else [], strict=True):
                assert result.code == 0, f"{place}: {line}\n{result.out}{result.err}"
                assert result.out.strip()
    assert (tmp_path / "runs" / "fleet" / "figures" / "timeline.png").is_file()
    assert (tmp_path / "runs" / "concurrency" / "comparison.csv").is_file()
    assert (tmp_path / "runs" / "halves" / "model.safetensors").is_file()
    # The run folder that docs/runs.md describes is the one that a run leaves.
    page = blocks((ROOT / "docs" / "runs.md").read_text())
    (described,) = (b.text for b in page if b.language == "" and "scenario.yaml" in b.text)
    names = {line.split()[0] for line in described.splitlines()}
    assert names == {path.name for path in (tmp_path / "runs" / "halves").iterdir()}


def test_commands_are_either_ours_or_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
    every = [block for page in FOLLOWED.values() for block in page]
    typed = [line for block in every if block.language == "console" for line in commands(block)]
    text = "".join((ROOT / name).read_text() for name in FOLLOWED)
    named = [found.split() for found in re.findall(r"`(make [\w-]+)`", text)]
    assert {line[0] for line in typed} == {"afl-sim", "make"}
    for line in typed + named:
        if line[0] == "make":
            assert line[1] in targets


def test_commands_in_the_text_exist() -> None:
    from typer.main import get_command

    from afl_sim.cli import app

    known = get_command(app)
    text = "".join((ROOT / name).read_text() for name in FOLLOWED)
    named = re.findall(r"`afl-sim ([a-z]+)((?: [^`]*)?)`", text)
    assert named
    for name, rest in named:
        command = known.commands[name]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", rest)) <= options
    for option in re.findall(r"`(--[\w-]+)", text):
        assert any(
            option in parameter.opts
            for command in known.commands.values()  # type: ignore[attr-defined]
            for parameter in command.params
        ), option


@pytest.mark.parametrize("place", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(place: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(place.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (place.parent / path) if path else place
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in anchors, target


def test_the_scenario_of_the_page_is_short_and_explained() -> None:
    (fleet,) = (block.text for block in BLOCKS if block.file == "fleet.yaml")
    assert len(fleet.splitlines()) <= 22
    assert set(yaml.safe_load(fleet)) >= {"data", "model", "clients", "strategy", "stop"}


def test_what_lists_the_page_names_are_the_ones_there_are(afl_sim: Command) -> None:
    (first, others) = re.findall(r"afl-sim list (\w+)`.*?It also lists (.*?)\.", README, re.S)[0]
    named = [first, *re.findall(r"`([\w-]+)`", others)]
    (result,) = afl_sim.batch([("list", "?")])
    assert result.code == 2
    expected = result.errors[0].partition("expected one of ")[2]
    assert expected.split(", ") == named
