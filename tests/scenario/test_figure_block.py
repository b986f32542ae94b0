"""The block `figure:` of a scenario: its forms, its mistakes, and that it changes nothing else."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from places import SMALLEST

from afl_sim.analysis.curves import AXES
from afl_sim.analysis.theme import NARROW, STYLES
from afl_sim.errors import ScenarioError
from afl_sim.run.validation import check_study
from afl_sim.scenario import Scenario, dump_scenario, scenario_id
from afl_sim.scenario.sections.figure import Along, FigureBlock, inches

TEXT = SMALLEST.read_text(encoding="utf-8")


def scenario_with(figure: str) -> Scenario:
    return check_study(f"{TEXT}\nfigure: {figure}\n", timing_only=True).cases[0].scenario


def message(figure: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        scenario_with(figure)
    return str(caught.value)


def test_a_name_a_block_and_a_list_are_forms_of_it() -> None:
    for form in ("accuracy", "{name: accuracy}", "[accuracy]", "[{name: accuracy}]"):
        assert [block.name for block in scenario_with(form).figure] == ["accuracy"]
    many = scenario_with("[accuracy, {name: staleness, log: y, ylim: [1, null]}]").figure
    assert [block.name for block in many] == ["accuracy", "staleness"]
    assert (many[1].log, many[1].ylim) == (("y",), (1.0, None))


def test_it_has_no_part_in_the_identity_and_is_kept_in_the_resolved_file() -> None:
    plain = check_study(TEXT, timing_only=True).cases[0].scenario
    steered = scenario_with("{name: accuracy, x: updates, width: 84mm, settings: a, order: [b, 5]}")
    assert scenario_id(steered) == scenario_id(plain)
    assert dump_scenario(plain).endswith("figure: []\nsweep: null\n")
    again = check_study(dump_scenario(steered), timing_only=True).cases[0].scenario
    assert again == steered
    assert again.figure[0].order == ("b", "5")


@pytest.mark.parametrize(
    ("figure", "told"),
    [
        ("acuracy", "figure.name: there is no figure 'acuracy'"),
        ("acuracy", "did you mean 'accuracy'?"),
        ("{name: accuracy, widht: 84mm}", "figure.widht: unknown key"),
        ("{name: accuracy, widht: 84mm}", "did you mean 'width'?"),
        ("{width: 84}", "figure.width: got 84; expected a length with its unit: mm, cm, in or pt"),
        ("{width: 84 mn}", "got '84 mn' with the unknown unit 'mn'"),
        ("{width: 2 mm}", "got '2 mm'; expected from 20 mm to 1 m"),
        ("{name: accuracy, x: joules}", "figure.x: got 'joules'; expected one of time, versions"),
        ("{name: accuracy, xlim: 5}", "figure.xlim: got 5; expected two numbers"),
        ("{name: accuracy, xlim: [5, 1]}", "got 5 and 1; expected the lower one first"),
        ("{name: accuracy, xlim: [true, 1]}", "figure.xlim: got true for one of them"),
        ("{name: accuracy, xlim: [a, 1]}", "got 'a'; expected a number in the unit of the axis"),
        ("{name: accuracy, xlim: ['2', 3]}", "got '2'; expected a number in the unit of the axis"),
        ("{name: accuracy, xlim: [0, 2 hrs]}", "such as 2 h, 5 MB or 3 kJ; did you mean 'h'?"),
        ("{name: accuracy, xlim: [2 h, 60]}", "got 2 h and 60; expected the lower one first"),
        (
            "{name: accuracy, x: updates, xlim: [0, 2 h]}",
            "figure.xlim: got '2 h', but the horizontal axis shows updates; expected a number",
        ),
        (
            "{name: accuracy, xlim: [0, 2 MB]}",
            "figure.xlim: got '2 MB', but the horizontal axis shows time; expected a number",
        ),
        (
            "{name: accuracy, ylim: [0, 2 h]}",
            "figure.ylim: got '2 h', but the vertical axis of accuracy has a unit of its own",
        ),
        (
            "{name: staleness, xlim: [0, 2 h]}",
            "figure.xlim: got '2 h', but the horizontal axis of staleness has a unit of its own",
        ),
        ("{name: accuracy, log: x, xlim: [0 s, 1 s]}", "xlim: got 0; expected numbers above 0"),
        ("{name: accuracy, log: x, xlim: [0, 1]}", "xlim: got 0; expected numbers above 0"),
        ("{xlim: [0, 1]}", "figure.xlim: for which figure? expected `name` beside it"),
        ("{name: heterogeneity, ylim: [0, 1]}", "figure.ylim: the figure heterogeneity has no use"),
        ("{name: staleness, log: x}", "figure.log: the figure staleness has no use for log x"),
        ("{name: learning, xlim: [0, 1]}", "learning has four horizontal axes; expected an x"),
        ("[accuracy, {name: accuracy, x: updates}]", "figure.1.file: the files of two blocks"),
        ("[accuracy, {name: loss:x, style: wide}]", "figure.1.style: got 'wide'; expected one of"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(figure: str, told: str) -> None:
    text = message(figure)
    assert told in text
    assert text.startswith(f"<text>:{len(TEXT.splitlines()) + 2}: figure")


def test_a_figure_of_the_users_own_is_not_imported_before_it_is_drawn() -> None:
    assert scenario_with("'no_module_of_this_name:draw'").figure[0].name is not None


def test_it_cannot_be_swept() -> None:
    with pytest.raises(ScenarioError, match="figure cannot be swept"):
        check_study(f"{TEXT}\nsweep: {{figure.width: [84mm, 10cm]}}\n", timing_only=True)


@pytest.mark.parametrize(
    ("length", "expected"),
    [("25.4mm", 1.0), ("2.54 cm", 1.0), ("3IN", 3.0), ("72.27 pt", 1.0), (".5in", 0.5)],
)
def test_lengths_have_units(length: str, expected: float) -> None:
    assert inches(length) == pytest.approx(expected)


def test_what_the_reader_accepts_is_what_figures_know() -> None:
    assert set(get_args(Along)) == set(AXES)
    styles: Any = FigureBlock.model_fields["style"].annotation
    assert set(get_args(get_args(styles)[0])) == set(STYLES)
    assert pytest.approx(127) == NARROW * 25.4
