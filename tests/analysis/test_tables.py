"""Tables as text: whatever a run is called, it stays one cell that says so."""

import csv
import io

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from afl_sim.analysis.tables import to_csv, to_latex, to_markdown
from afl_sim.scenario.wording import one_line

NAMES = [
    "plain-name_with.dots",
    "a|b",
    "*bold* _slanted_ __init__ ~~gone~~",
    "`code` \\| back\\slash",
    "<b>&amp;</b> <!-- x -->",
    "[text](http://x) ![p](q) [a][b] [1.2, 3.4]",
    "$5 to $6, 95 % CI",
]


def test_a_markdown_cell_reads_as_it_was_given():
    text = to_markdown([("run", NAMES), ("value", ["1"] * len(NAMES))])
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds == {"text", "text_special"} or kinds == {"text"}
    cells = ["".join(c.content for c in token.children) for token in tokens if token.children]
    assert cells[2::2] == NAMES
    # Names as studies make them need no escapes.
    assert "| concurrency=20_lr=0.05-r1 |" in to_markdown([("a", ["concurrency=20_lr=0.05-r1"])])


def test_latex_takes_no_name_for_a_command():
    line = to_latex([("run", ["a_b & 50 % $x$ #1 {y} ~ ^ \\z [5] <c> 2--3"])]).splitlines()[4]
    assert line == (
        r"a\_b \& 50 \% \$x\$ \#1 \{y\} \textasciitilde{} \textasciicircum{} "
        r"\textbackslash{}z {[}5{]} \textless{}c\textgreater{} 2-{}-3 \\"
    )


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C x'!A0", "@SUM(A1)", "-2+3+x!"])
def test_a_spreadsheet_finds_no_formula_in_a_name(name):
    text = to_csv(pd.DataFrame({"run": [name, "b"], "value": [-1.5, 2]}))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows == [["run", "value"], [f"'{name}", "-1.5"], ["b", "2.0"]]


def test_names_that_a_scenario_may_have_are_written_as_they_are():
    frame = pd.DataFrame({"run": ["-5", "--x", ".a", 'say "a, b"'], "none": [None] * 4})
    assert pd.read_csv(io.StringIO(to_csv(frame)), dtype=str)["run"].tolist() == list(frame["run"])


def test_what_cannot_be_seen_is_escaped():
    assert one_line("a b\u00e9\u4e2d-_.") == "a b\u00e9\u4e2d-_."
    for odd in ("\n", "\x1b", "\u2028", "\u202e", "\udcff", "\x00"):
        assert one_line(f"a{odd}b") == f"a{ascii(odd)[1:-1]}b"
