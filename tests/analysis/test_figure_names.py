"""Names of settings in figures: whatever a run is called, it is shown as it is."""

import re
from xml.etree import ElementTree

import pytest
from fake_runs import fake_run
from figure_checks import legend_of, shown_by, texts_on

from afl_sim.analysis import FIGURES
from afl_sim.analysis.report.svg import inline_svg

STUDY = ("sweep-map", "differences")
OF_FLEETS = "presence"  # which names settings only where their fleets differ
ODD_NAMES = [r"$\foo$", "_hidden", "a $5 to $6", "x^2_3", 'id="a" url(#b) font: 9px']


@pytest.fixture(scope="module")
def oddly_named(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    return [
        fake_run(folder / f"r{n}", label=name, strategy=("fedavg", f"k{n}")[n > 0], updates=30)
        for n, name in enumerate(ODD_NAMES)
    ]


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in (*STUDY, OF_FLEETS)])
def test_names_are_no_formulas_and_hide_from_no_legend(oddly_named, name):
    runs = shown_by(name, oddly_named, 5)
    figure = FIGURES[name].function(runs)
    drawn = [text for text, _ in texts_on(figure)]
    if name in {
        "accuracy",
        "learning",
        "gradient-norm",
        "fairness",
        "stragglers",
        "staleness-speed",
    }:
        assert [label.strip().replace(r"\$", "$") for label in legend_of(figure)] == ODD_NAMES
    if name != "heterogeneity":  # one fleet, which has no name
        assert any("foo" in text for text in drawn)
        assert any("hidden" in text for text in drawn)


def test_in_a_page_a_name_stays_as_it_is(oddly_named):
    text = inline_svg(FIGURES["accuracy"].function(oddly_named), "here")
    written = [node.text for node in ElementTree.fromstring(text).iter() if node.text]
    assert set(ODD_NAMES) <= {line.strip() for line in written}
    ids = re.findall(r' id="([^"]+)"', text.replace('id="a"', ""))
    assert ids
    assert all(name.startswith("here-") for name in ids)
