"""Colours and labels of all figures."""

import pytest
import seaborn as sns
from figure_checks import LONG, relative_luminance
from matplotlib.ticker import FixedLocator, PercentFormatter

from afl_sim.analysis import theme
from afl_sim.analysis.replications import named, short_labels, shorten

pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning", "error::UserWarning")


def test_the_palette_is_colour_blind_safe():
    assert set(theme.PALETTE) <= set(sns.color_palette("colorblind").as_hex())
    assert len(set(theme.PALETTE)) == len(theme.MARKERS) == 8
    assert len(set(theme.PALETTE_ON_DARK)) == 8


@pytest.mark.parametrize("colors", [theme.LIGHT, theme.DARK])
def test_lines_stand_out_from_the_page(colors):
    page = relative_luminance(colors.page)
    for color in (*colors.palette, colors.ink, *colors.legs):
        light, dark = sorted((relative_luminance(color), page), reverse=True)
        # WCAG asks 3 of graphics; the lightest of the palette's hues has 2.3 on white.
        assert (light + 0.05) / (dark + 0.05) > 2.2, color
    light, dark = sorted((relative_luminance(colors.ink), page), reverse=True)
    assert (light + 0.05) / (dark + 0.05) > 7


def test_labels_are_short_and_unique(runs):
    labels = short_labels([LONG, LONG, "fedavg"])
    assert len(set(labels)) == 3
    assert labels[2] == "fedavg"
    assert all(len(label) <= 40 for label in labels)
    assert labels[0].startswith("fedasync-with")
    assert labels[0].endswith("term")
    assert len(shorten("x" * 100, 20)) == 20


def test_labels_in_a_sentence_are_few():
    assert named(["a", "b"]) == "a, b"
    assert named([str(n) for n in range(9)], most=4) == "0, 1, 2 and 6 more"


def test_numbers_at_ticks_are_written_out_unless_a_figure_says_how():
    with theme.themed() as style:
        figure = style.new_figure(4.0)
        linear, other, log = figure.subplots(1, 3)
    linear.set(xlim=(-3e6, 3e6), ylim=(-0.5, 2.5))
    linear.xaxis.set_major_locator(FixedLocator([-2.5e6, 0, 2.5e6]))
    linear.yaxis.set_major_locator(FixedLocator([-0.25, 0, 2]))
    other.yaxis.set_major_formatter(PercentFormatter(1.0))
    other.yaxis.set_major_locator(FixedLocator([0.5]))
    log.set_xscale("log")
    figure.draw_without_rendering()
    assert texts(linear.get_xticklabels()) == ["−2,500,000", "0", "2,500,000"]
    assert texts(linear.get_yticklabels()) == ["−0.25", "0", "2"]
    assert texts(other.get_yticklabels()) == ["50%"]
    assert "10^{0}" in texts(log.get_xticklabels())[1]


def texts(labels):
    return [label.get_text() for label in labels]
