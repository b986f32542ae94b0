"""FedProx: its devices at small scale, and what its analysis makes of runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic import run_of

from afl_sim.analysis.papers.fedprox import draw, measure, roughness
from afl_sim.papers.judging import judged
from afl_sim.papers.reproducing import Asked, reproduce
from afl_sim.papers.target import find_target
from afl_sim.recording import Run
from afl_sim.run.api import read_study

TARGET = find_target("fedprox")


def test_the_devices_are_as_many_and_as_large_as_the_paper_says(tmp_path: Path) -> None:
    results, _ = reproduce(TARGET, Asked("small", tmp_path, only=["devices"]))
    rows = {each.row: each for each in judged(TARGET, results) if each.quantity == "devices"}
    assert rows["mean"].measured == 70.0  # 70,000 images, of which the authors lose 965
    assert rows["mean"].within
    spread = rows["standard deviation"].measured
    narrower = rows["standard deviation, sigma 1.5"].measured
    assert spread is not None
    assert narrower is not None
    assert narrower < spread < 250


def test_stragglers_are_dropped_or_kept_as_each_method_has_it() -> None:
    study = read_study(TARGET.file("figure7"))
    kinds = {
        case.label: case.scenario.strategy.model_dump()
        for case in study.cases
        if case.scenario.seed == study.cases[0].scenario.seed
    }
    assert len(kinds) == 8
    for label, strategy in kinds.items():
        assert strategy["partial"] == ("drop" if "FedAvg" in label else "keep"), label
        assert strategy["straggler_epochs"] == 20


def made_up(name: str, share: float, seed: int, accuracy: list[float]) -> Run:
    partial = "drop" if name == "FedAvg" else "keep"
    mu = 0.0 if name == "FedAvg" else float(name)
    strategy = {"kind": "fedprox", "mu": mu, "stragglers": share, "partial": partial}
    return run_of({"seed": seed, "strategy": strategy}, accuracy, loss=[1 - a for a in accuracy])


def curve(level: float, jump: float = 0.0) -> list[float]:
    """101 evaluations that alternate about a level."""
    return [level + (jump if k % 2 else -jump) / 2 for k in range(101)]


def figure7(seed: int, partial_work: float, steady: float) -> list[Run]:
    runs = [
        made_up("FedAvg", 0.0, seed, curve(0.8, 0.1)),
        made_up("FedAvg", 0.5, seed, curve(0.7, 0.1)),
        made_up("FedAvg", 0.9, seed, curve(0.6, 0.1)),
        made_up("0", 0.5, seed, curve(partial_work, 0.1)),
        made_up("0", 0.9, seed, curve(partial_work, 0.1)),
    ]
    return runs + [made_up("1", share, seed, curve(0.85, steady)) for share in (0.0, 0.5, 0.9)]


def test_accuracies_are_means_over_the_last_quarter_and_claims_are_paired_by_seed() -> None:
    found = measure({"figure7": [*figure7(2, 0.5, 0.2), *figure7(1, 0.75, 0.01)]})
    table = found["accuracy"]
    assert isinstance(table, dict)
    assert table["mu = 1, 90 % stragglers"] == pytest.approx([0.85, 0.85], abs=0.005)
    assert table["mu = 0, 90 % stragglers"] == pytest.approx([0.75, 0.5], abs=0.005)
    assert found["partial_work_helps"] == [True, False]  # seed 1, then seed 2
    assert found["proximal_term_helps"] == [True, True]
    assert found["proximal_term_steadies"] == [True, False]
    assert found["stragglers_hurt_fedavg"] == [True, True]


def test_losses_are_means_over_the_last_quarter() -> None:
    found = measure({"figure1": [*figure7(2, 0.5, 0.2), *figure7(1, 0.75, 0.01)]})
    table = found["loss"]
    assert isinstance(table, dict)
    assert set(table) > set(TARGET.tables["loss"].rows)
    assert table["mu = 0, 90 % stragglers"] == pytest.approx([0.25, 0.5], abs=0.005)
    assert found["partial_work_lowers_loss"] == [True, False]
    assert found["proximal_term_lowers_loss"] == [True, True]


def test_without_stragglers_mu_0_is_fedavg() -> None:
    runs = [
        made_up("FedAvg", 0.0, 1, [0.1, 0.83]),
        made_up("2", 0.0, 1, [0.1, 0.85]),
    ]
    rows = measure({"flower": runs})["accuracy100"]
    assert isinstance(rows, dict)
    assert rows["mu = 0, 0 % stragglers"] == rows["FedAvg, 0 % stragglers"] == [0.83]
    assert rows["mu = 2, 0 % stragglers"] == [0.85]


def test_rounds_are_counted_by_the_clock_where_a_round_may_be_empty() -> None:
    study = read_study(TARGET.file("flower"), ["replications=1"])
    cases = {case.label: case.scenario for case in study.cases}
    assert len(cases) == 8
    assert cases["FedAvg-90"].clients.faults.noticed_after == 1  # as long as a round lasts
    assert cases["mu-2-90"].strategy.model_dump()["partial"] == "keep"


def test_the_mean_from_round_50_on_leaves_out_what_comes_before() -> None:
    runs = [
        run_of(
            {
                "seed": 1,
                "strategy": {"kind": "fedavg"},
                "clients": {"faults": {"crash": 0.9}},
            },
            [0.0] * 25 + [0.6] * 26,
        )
    ]
    rows = measure({"flower": runs})["accuracy50to100"]
    assert isinstance(rows, dict)
    assert rows["FedAvg, 90 % stragglers"] == [pytest.approx(0.6)]


def test_roughness_is_the_root_mean_square_change_of_the_second_half() -> None:
    assert roughness(np.array([0.0, 1.0, 0.5, 0.8, 0.4])) == pytest.approx(
        np.sqrt((0.3**2 + 0.4**2) / 2)
    )


def test_the_figure_has_a_panel_for_each_share_and_the_published_points() -> None:
    second = [
        made_up(name, share, 1, curve(0.7))
        for name in ("FedAvg", "0", "2")
        for share in (0.0, 0.5, 0.9)
        if (name, share) != ("0", 0.0)
    ]
    first = figure7(1, 0.75, 0.01)
    figure = draw({"figure1": first, "figure7": first, "flower": second}, TARGET)
    assert len(figure.axes) == 9
    assert figure.axes[6].lines[0].get_ydata()[0] == pytest.approx(1 - first[0].metrics.accuracy[0])
    readings = [line for line in figure.axes[5].lines if line.get_marker() == "o"]
    assert [line.get_ydata()[0] for line in readings] == pytest.approx([64, 80, 85])
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["FedAvg", "mu = 0", "mu = 1 / mu = 2"]


def test_sensitivity_rows_are_told_apart_by_the_setting_that_differs() -> None:
    cases = read_study(TARGET.file("sensitivity"), ["replications=1"]).cases
    runs = [
        run_of(case.scenario.model_dump(mode="json", by_alias=True), [0.0] * 25 + [0.5] * 25 + [k])
        for k, case in enumerate(cases)
    ]
    found = measure({"sensitivity": runs})
    rows = found["sensitivity"]
    assert isinstance(rows, dict)
    assert set(rows) == set(TARGET.tables["sensitivity"].rows)
    assert rows["as in Flower's baseline"] == [pytest.approx(12.5 / 26)]
    assert found["lowest"]["as in Flower's baseline"] == [0.0]  # type: ignore[call-overload]
