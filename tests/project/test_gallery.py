"""docs/figures.md: a picture for every figure, beside the command that makes it."""

import re
import runpy
import shlex

import pytest
from places import ROOT

from afl_sim.analysis import FIGURES

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def gallery():
    return runpy.run_path(str(DOCS / "gallery.py"))


@pytest.fixture(scope="module")
def page():
    return (DOCS / "figures.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_script_writes(gallery, page):
    assert gallery["page"]() == page


def test_every_figure_has_its_picture_and_command(page):
    for name in FIGURES:
        (section,) = re.findall(rf"^## {name}\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE)
        commands = re.findall(r"^\$ (.*)$", section, re.MULTILINE)
        pictures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", section)
        assert len(commands) == len(pictures) > 0
        for command, picture in zip(commands, pictures, strict=True):
            words = shlex.split(command)
            assert words[:2] == ["afl-sim", "plot"]
            assert words[words.index("--figure") + 1] == name
            content = (DOCS / picture).read_bytes()
            assert content.startswith(b"\x89PNG")
            assert len(content) < 150_000


def test_the_runs_that_are_drawn_are_the_runs_that_are_made(gallery):
    for place, command in gallery["RUNS"].items():
        words = shlex.split(command)
        assert words[words.index("--out") + 1] == place
    assert {place for places in gallery["DRAWN"].values() for place in places} == set(
        gallery["RUNS"]
    )
