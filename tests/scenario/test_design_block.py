"""The block `design:` of a scenario: its forms, its mistakes, and that no run has it."""

from __future__ import annotations

import pytest
from designs import BASE, VARY, design

from afl_sim.errors import ScenarioError
from afl_sim.run.loading import read_study
from afl_sim.scenario import Scenario, dump_scenario, scenario_id
from afl_sim.scenario.sections.design import Design


def scenario_with(block: str) -> Scenario:
    return read_study(BASE + block).cases[0].scenario


def block(text: str) -> Design:
    found = scenario_with(text).design
    assert found is not None
    return found


def message(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        scenario_with(text)
    return str(caught.value)


def test_it_has_no_part_in_a_run() -> None:
    plain, designed = read_study(BASE).cases[0].scenario, scenario_with(design())
    assert scenario_id(designed) == scenario_id(plain)
    assert dump_scenario(designed) == dump_scenario(plain)


@pytest.mark.parametrize(
    "form", ["time_to_accuracy 0.95", "'time_to_accuracy: 0.95'", "{time_to_accuracy: 0.95}"]
)
def test_an_objective_has_several_forms(form: str) -> None:
    goal = block(design(minimize=form)).minimize
    assert (goal.cost, goal.metric, goal.target) == ("time", "accuracy", 0.95)
    assert goal.name == "time_to_accuracy"


def test_costs_and_metrics_combine() -> None:
    goal = block(design(minimize="{energy_to_rmse: 3}")).minimize
    assert (goal.cost, goal.metric, goal.target) == ("energy", "rmse", 3)


def test_a_constraint_is_text_or_a_list_of_texts_and_words_may_be_apart() -> None:
    one = block(design(more="  constraints: staleness p95 <= 20\n")).constraints
    two = block(design(more="  constraints: [bytes <= 1e9, idle_fraction<=.5]\n")).constraints
    assert [str(each) for each in one] == ["staleness_p95 <= 20"]
    assert [str(each) for each in two] == ["bytes <= 1e+09", "idle_fraction <= 0.5"]
    more = "  constraints: [energy joules <= 50 kJ, seconds<=2 min, bytes <= 4 MB, price >= 3]\n"
    assert [each.value for each in block(design(more=more)).constraints] == [5e4, 120, 4e6, 3]
    assert one[0].is_met(20)
    assert not one[0].is_met(20.5)
    assert not one[0].is_met(None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (design(more="  seds: 3\n"), "design.seds: unknown key"),
        (design(more="  seds: 3\n"), "did you mean 'seeds'?"),
        ("design: {minimize: time_to_accuracy 0.9}\n", "design.vary: missing"),
        ("design: {vary: {}, minimize: time_to_accuracy 0.9}\n", "there is nothing to choose from"),
        (design("    training.epochs: []\n"), "training.epochs: got an empty list"),
        (design("    training.epochs: 3\n"), "training.epochs: got 3; expected a list of choices"),
        (design("    training.epochs: {integers: [5, 1]}\n"), "5 and 1, an empty range"),
        (design("    training.epochs: {integers: [1, 2.5]}\n"), "1 and 2.5; expected whole"),
        (design("    training.epochs: {integers: 5}\n"), "got 5; expected [LOW, HIGH]"),
        (
            design("    training.optimizer.lr: {numbers: [0, 1], log: true}\n"),
            "got 0; expected numbers above 0 on a logarithmic scale",
        ),
        (
            design("    training.optimizer.lr: {numbers: [0.1, 1], lgo: true}\n"),
            "training.optimizer.lr.lgo: unknown key; expected choices, integers, numbers, log; "
            "did you mean 'log'?",
        ),
        (
            design("    strategy: [{kind: fedbuff, buffer_size: {integers: [9, 2]}}]\n"),
            "strategy.0.buffer_size.integers: got 9 and 2, an empty range",
        ),
        (design(minimize="{tiem_to_accuracy: 0.9}"), "did you mean 'time_to_accuracy'?"),
        (design(minimize="{accuracy: 0.9}"), "unknown objective 'accuracy'; expected one of time_"),
        (design(minimize="{time_to_accuracy: high}"), "got 'high'; expected the target, a number"),
        (design(minimize="soon"), "got 'soon'; expected a cost to a target"),
        (design(more="  constraints: stalenes_p95 <= 3\n"), "did you mean 'staleness_p95'?"),
        (
            design(more="  constraints: energy_joules <= 50 kW\n"),
            "energy_joules: got '50 kW', but 'kW' is no unit here; expected joules, or text with",
        ),
        (design(more="  constraints: samples <= 5 k\n"), "got 'samples <= 5 k'; expected a measu"),
        (
            design(minimize="{time_to_accuracy: 0.9, bytes_to_accuracy: 0.9}"),
            "has time_to_accuracy and bytes_to_accuracy; expected one cost to a target",
        ),
        (design(more="  constraints: staleness_p95 = 3\n"), "expected a measure, <= or >=, and"),
        (design(more="  budget: {samples: 5, share: 0.1}\n"), "has both share and samples"),
        (design(more="  budget: {share: 2}\n"), "design.budget.share: got 2; expected at most 1"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_line(text: str, told: str) -> None:
    found = message(text)
    assert told in found
    line = int(found.split(":")[1])
    assert line > len(BASE.splitlines())


def test_it_cannot_be_swept() -> None:
    assert "design cannot be swept" in message("sweep: {design.seeds: [1, 2]}\n" + design(VARY))
