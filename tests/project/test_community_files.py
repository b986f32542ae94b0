"""What people who join look for is there, and says what is so."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from doc_blocks import DOCS, blocks, commands, prose
from places import ROOT

import afl_sim

sys.path.insert(0, str(DOCS))
import build_site
import notebook_page as notebook

MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = set(re.findall(r"^([a-z][\w-]*):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PAGES = ("CONTRIBUTING.md", "CODE_OF_CONDUCT.md", "SECURITY.md", ".github/PULL_REQUEST_TEMPLATE.md")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text("utf-8"))


# -- the version -------------------------------------------------------------------------------


def test_the_version_stands_in_one_place_and_the_citation_has_the_same() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == "afl_sim/__init__.py"
    assert read("CITATION.cff")["version"] == afl_sim.__version__


def test_the_build_takes_the_version_of_the_package() -> None:
    metadata = pytest.importorskip("hatchling.metadata.core")
    plugins = pytest.importorskip("hatchling.plugin.manager")
    found = metadata.ProjectMetadata(str(ROOT), plugins.PluginManager())
    assert found.version == afl_sim.__version__
    assert found.core.authors == [{"name": "afl_sim developers"}]


def test_a_citation_has_what_its_format_asks_for() -> None:
    citation = read("CITATION.cff")
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    assert citation["license"] == PROJECT["project"]["license"]
    assert citation["authors"][0]["name"].endswith(PROJECT["project"]["authors"][0]["name"])


def test_python_versions_are_claimed_only_as_far_as_they_were_tried() -> None:
    claimed = {
        found[1]
        for text in PROJECT["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", text))
    }
    (row,) = re.findall(r"^\| Python \| ([^|]*) \|", (DOCS / "platforms.md").read_text(), re.M)
    assert claimed == set(re.findall(r"3\.\d+", row))


# -- what runs elsewhere -----------------------------------------------------------------------


def test_the_workflow_runs_what_continuous_integration_runs_here() -> None:
    workflow = read(".github/workflows/ci.yml")
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["lint", "docs", "test"]


def test_the_hooks_before_a_commit_are_the_checks_of_make_lint() -> None:
    (local,) = read(".pre-commit-config.yaml")["repos"]
    assert local["repo"] == "local"
    hooks = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in local["hooks"]}
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    assert hooks == set(re.findall(r"\$\(BIN\)/([\w-]+)", lint))


def test_the_image_installs_the_package_and_ends_in_the_demo() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert text.rstrip().splitlines()[-1] == 'CMD ["make", "demo"]'
    assert {"install", "demo"} == set(re.findall(r"make\W+(install|demo)", text)) <= TARGETS
    (python,) = re.findall(r"^FROM python:([\d.]+)-", text, re.MULTILINE)
    assert f"Programming Language :: Python :: {python}" in PROJECT["project"]["classifiers"]


@pytest.mark.parametrize("form", ["bug", "idea", "paper"])
def test_a_form_for_an_issue_asks_for_something(form: str) -> None:
    content = read(f".github/ISSUE_TEMPLATE/{form}.yml")
    assert content.keys() >= {"name", "description", "body"}
    ids = [field["id"] for field in content["body"]]
    assert len(ids) == len(set(ids))
    assert any(field.get("validations", {}).get("required") for field in content["body"])
    assert all(field["attributes"]["label"] for field in content["body"])


# -- pages -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_links_and_make_targets_of_a_page_exist(name: str) -> None:
    page = ROOT / name
    text = page.read_text("utf-8")
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
        if not re.match(r"[a-z]+:", link):
            assert (page.parent / link.partition("#")[0]).exists(), link
    typed = [line for block in blocks(text) for line in commands(block)]
    named = re.findall(r"`make (\w+)`", text) + [line[1] for line in typed if line[0] == "make"]
    assert set(named) <= TARGETS
    for path in re.findall(r"`((?:afl_sim|analysis|docs|scenarios|tests)/[\w/.-]*)`", text):
        assert (ROOT / path).exists(), path


def test_the_navigation_names_every_page_and_every_page_that_it_names_exists() -> None:
    assert build_site.unlisted() == []


def test_every_link_of_the_site_leads_somewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build_site, "BUILD", tmp_path)
    monkeypatch.setattr(build_site, "STAGE", tmp_path / "docs")
    assert build_site.stage() == []
    staged = (tmp_path / "docs" / "api" / "running.md").read_text("utf-8")
    assert "\n::: afl_sim.simulate" in staged
    source = (tmp_path / "docs" / "schedules.md").read_text("utf-8")
    assert "](source/afl_sim/strategies/methods/fedbuff.py.md)" in source


def test_a_link_that_leads_nowhere_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / build_site.CONFIG).write_text("")
    (docs / "a.md").write_text("[x](../nothing.py) ![y](none.png) [z](b.md) `[c](d.md)`\n")
    (docs / "b.md").write_text("# b\n")
    for name, value in {
        "ROOT": tmp_path,
        "DOCS": docs,
        "BUILD": tmp_path / "build",
        "STAGE": tmp_path / "build" / "docs",
        "PROJECT": [],
    }.items():
        monkeypatch.setattr(build_site, name, value)
    assert build_site.stage() == ["docs/a.md: ../nothing.py", "docs/a.md: none.png"]


def test_the_glossary_is_in_alphabetical_order() -> None:
    terms = re.findall(r"^## (.*)$", (DOCS / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert len(terms) > 40
    assert terms == sorted(terms, key=str.lower)


# -- the notebook ------------------------------------------------------------------------------


def test_the_page_of_the_notebook_is_current() -> None:
    for path, content in notebook.files(notebook.read(notebook.NOTEBOOK.read_text())).items():
        assert path.read_bytes() == content, path.name


def test_the_notebook_prints_and_draws_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its numbers are those of schedules, which are the same wherever the tests run."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shown = notebook.read(notebook.NOTEBOOK.read_text("utf-8"))
    found = notebook.read(notebook.executed(tmp_path))
    cells = [pair for pair in zip(shown, found, strict=True) if pair[0]["cell_type"] == "code"]
    assert len(cells) > 5
    assert [notebook.printed(a) for a, _ in cells] == [notebook.printed(b) for _, b in cells]
    figures = [len(notebook.drawn(cell)) for _, cell in cells]
    assert figures == [len(notebook.drawn(cell)) for cell, _ in cells]
    assert sum(figures) == 2
