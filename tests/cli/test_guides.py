"""Everything in the tutorial and in the how-to pages is run, as a reader would, page by page."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Command, Result
from doc_blocks import GUIDES, Block, blocks, commands
from places import ROOT

LEAVES = {
    "tutorial.md": "runs/servers/figures/accuracy.pdf",
    "own-data.md": "runs/mine/model.safetensors",
    "own-model.md": "runs/narrow/model.safetensors",
    "own-strategy.md": "runs/cutting/model.safetensors",
    "own-metric.md": "runs/small/summary.json",
    "own-figure.md": "figures/staleness_figure-ecdf.pdf",
    "own-selection.md": "runs/hardest/model.safetensors",
    "own-staleness-weight.md": "runs/weighed/model.safetensors",
    "adaptive-server.md": "runs/careful/model.safetensors",
    "own-attack.md": "runs/mislabelled/model.safetensors",
    "own-compressor.md": "runs/signs/model.safetensors",
    "energy.md": "runs/joules/summary.json",
    "referee.md": "judged.py",
    "cluster.md": "runs/one/summary.json",
    "import-traces.md": "runs/bus/summary.json",
    "which-server.md": "runs/winner/model.safetensors",
    "resume.md": "runs/stopped/model.safetensors",
}


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_every_block_of_a_guide_works_in_the_order_of_the_page(
    page: Path, afl_sim: Command, tmp_path: Path
) -> None:
    shown = ""
    for block in blocks(page.read_text("utf-8")):
        where = f"{page.name}:{block.line}"
        if block.file is not None:
            (tmp_path / block.file).write_text(block.text)
        elif block.language == "python":
            result = afl_sim.forked(block.text)
            assert result.code == 0, f"{where}\n{result.out}\n{result.err}"
            assert result.out.strip(), where
        elif block.language == "console":
            shown = "".join(result.out for result in typed(block, afl_sim, where))
        elif block.language == "text":
            assert lines(block.text) <= lines(shown), f"{where}\n{shown}"
    assert (tmp_path / LEAVES[page.name]).is_file()


def typed(block: Block, afl_sim: Command, where: str) -> list[Result]:
    """What the commands of a block print; those of `make` are the set-up of the tests."""
    found = commands(block)
    assert {line[0] for line in found} <= {"afl-sim", "python", "make"}, where
    results = [
        afl_sim.forked(f"import runpy; runpy.run_path({line[1]!r})")
        for line in found
        if line[0] == "python"
    ]
    ours = [line[1:] for line in found if line[0] == "afl-sim"]
    results += afl_sim.batch(ours) if ours else []
    for result in results:
        assert result.code == 0, f"{where}\n{result.out}\n{result.err}"
    return results


def lines(text: str) -> set[str]:
    return {" ".join(line.split()) for line in text.splitlines()}


def test_every_guide_is_run() -> None:
    assert LEAVES.keys() == {page.name for page in GUIDES}
    assert ROOT in GUIDES[0].parents
