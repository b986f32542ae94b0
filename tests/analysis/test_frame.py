"""The table of all runs: what varies, in which units, and what is left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from fake_runs import fake_run

from afl_sim.analysis.compared_runs import comparison
from afl_sim.analysis.frame import runs_frame, varying
from afl_sim.recording import Run


def run(**scenario: Any) -> Run:
    return Run(Path(str(id(scenario))), "x", "x", scenario, {}, {})


def test_settings_that_vary_are_columns_and_others_are_not() -> None:
    runs = [
        run(seed=1, name="a", training={"lr": 0.1, "epochs": 1}, stop={"updates": 5}),
        run(seed=2, name="b", training={"lr": 0.2, "epochs": 1}, stop={"updates": 5}),
    ]
    assert varying(runs) == {"training.lr": [0.1, 0.2]}


def test_a_setting_that_goes_with_a_kind_is_left_out_unless_it_varies_within_it() -> None:
    kinds = [
        {"kind": "fedavg", "per_round": 5},
        {"kind": "fedbuff", "buffer": 2, "rate": 1.0},
        {"kind": "fedbuff", "buffer": 4, "rate": 1.0},
    ]
    found = varying([run(strategy=block) for block in kinds])
    assert list(found) == ["strategy.buffer"]
    assert found["strategy.buffer"].tolist() == [pd.NA, 2, 4]
    models = [{"kind": "mlp", "hidden": [8]}, {"kind": "lenet"}]
    assert varying([run(model=block) for block in models]) == {"model.kind": ["mlp", "lenet"]}


def test_a_block_that_is_null_in_some_runs_has_its_keys_only() -> None:
    guarded = [run(server={"guard": None}), run(server={"guard": {"max_norm": 3.0}})]
    assert varying(guarded) == {"server.guard.max_norm": [None, 3.0]}


def test_lists_are_tuples_so_that_they_can_be_grouped_by() -> None:
    frame = pd.DataFrame(varying([run(model={"hidden": [8]}), run(model={"hidden": [8, 4]})]))
    assert frame.groupby("model.hidden").size().to_dict() == {(8,): 1, (8, 4): 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    return [fake_run(folder / str(seed), seed=seed) for seed in (1, 2)]


def test_measures_have_the_units_of_the_printed_tables(runs: list[Run]) -> None:
    frame, printed = runs_frame(runs), comparison(runs)
    assert frame["final_accuracy_percent"].tolist() == (100 * printed["final_accuracy"]).tolist()
    assert frame["idle_percent"].tolist() == (100 * printed["idle_fraction"]).tolist()
    assert frame["mean_staleness"].tolist() == printed["mean_staleness"].tolist()
    headings = frame.attrs["headings"]
    assert headings["final_accuracy_percent"] == "final accuracy (%)"
    assert list(frame)[: -len(headings)] == ["run", "setting", "strategy", "seed", "status"]
    assert frame["setting"].nunique() == 1
    assert frame["seed"].tolist() == [1, 2]
