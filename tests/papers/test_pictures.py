"""Pictures of papers draw every run to its end, as the project's own figures do."""

from curves import curve
from matplotlib.figure import Figure

from afl_sim.analysis.papers import fedprox, quafl
from afl_sim.analysis.theme import notes


def test_quafls_curves_go_on_with_the_seeds_that_do() -> None:
    runs = [
        curve("quafl-r0", [0.1, 0.5], seed=1),
        curve("quafl-r1", [0.1, 0.6, 0.7, 0.9], seed=2),
    ]
    figure = quafl.draw({"mnist": runs}, None)
    (axes,) = figure.axes
    whole, rest = [line for line in axes.get_lines() if len(line.get_xdata())]
    assert list(whole.get_xdata()) == [0, 1]
    assert list(rest.get_xdata()) == [1, 2, 3]
    assert list(rest.get_ydata()) == [60, 70, 90]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["QuAFL", "fewer seeds"]
    assert "QuAFL 1 of 2 from 1 s" in notes(figure)


def test_fedproxs_panels_go_on_with_the_seeds_that_do() -> None:
    strategy = {"kind": "fedprox", "partial": "drop", "mu": 0.0, "stragglers": 0.5}
    runs = [
        curve(f"a-r{seed}", accuracies, seed=seed)
        for seed, accuracies in enumerate(([0.1, 0.5], [0.1, 0.6, 0.7]))
    ]
    for run in runs:
        run.scenario["strategy"] = strategy
    axes = Figure().subplots()
    fedprox._panel(axes, runs, 0.5, "accuracy")
    whole, rest = axes.get_lines()
    assert list(whole.get_xdata()) == [0, 1]
    assert (list(rest.get_xdata()), list(rest.get_ydata())) == ([1, 2], [60, 70])
    assert rest.get_alpha() < 1
