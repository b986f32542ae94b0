"""SAFA's rounds: picks and lengths worked out by hand, and the timing tables at small scale."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from afl_sim import load_study
from afl_sim.analysis.papers import safa, safa_rounds
from afl_sim.analysis.papers.safa_rounds import TRANSFERS, Round
from afl_sim.papers.judging import judged
from afl_sim.papers.reproducing import Asked, reproduce
from afl_sim.papers.results import Results
from afl_sim.papers.target import find_target


def answered(*seconds: float, samples: int = 100, synced: int = 0) -> Round:
    """A round of clients 0, 1, ...; one that takes no time did not answer."""
    clients = tuple(client for client, taken in enumerate(seconds) if taken)
    times = tuple(TRANSFERS + taken for taken in seconds if taken)
    return Round(clients, times, (samples,) * len(times), synced)


def test_who_was_passed_over_goes_first_then_the_fastest() -> None:
    found = [answered(1, 2, 3, 4), answered(1, 2, 3, 4), answered(1, 2, 0, 4)]
    assert [
        [r.clients[i] for i in turn]
        for r, turn in zip(found, safa_rounds.picks(found, 2), strict=True)
    ] == [
        [0, 1],
        [2, 3],
        [0, 1],
    ]
    # Three of four: the one passed over, then the fastest of the others.
    assert list(safa_rounds.picks(found[:2], 3)) == [[0, 1, 2], [3, 0, 1]]


def test_the_fastest_is_not_always_the_first() -> None:
    # Client 0 has half the samples: it arrives first, at a lower speed.
    found = [Round((0, 1), (TRANSFERS + 10, TRANSFERS + 15), (50, 100), 0)]
    assert list(safa_rounds.picks(found, 1, safa_rounds.by_speed)) == [[1]]
    assert list(safa_rounds.picks(found, 1, safa_rounds.by_arrival)) == [[0]]


def test_a_client_that_cannot_be_in_time_is_never_picked() -> None:
    found = [answered(1, safa_rounds.LONGEST - TRANSFERS)]
    assert list(safa_rounds.picks(found, 2)) == [[0]]


def test_a_round_is_as_long_as_its_slowest_pick_and_all_distributions_so_far() -> None:
    found = [answered(10, 30, synced=100), answered(10, 30, synced=50)]
    # One of 100 a round: 10 s, then 30 s; 100 and then 150 models of 8 ms.
    expected = TRANSFERS + 20 + 0.008 * 125
    assert safa_rounds.round_seconds(found, 0.01) == pytest.approx(expected)
    alone = safa_rounds.round_seconds(found, 0.01, adds_up=False)
    assert alone == pytest.approx(TRANSFERS + 20 + 0.008 * 75)


def test_the_closed_form_is_the_one_of_a_client_that_is_late_at_most_six_times() -> None:
    # 1 / sum_{k=0..5} cr^k
    expected = 1 / sum(0.5**k for k in range(6))
    assert safa.closed_form(0.5) == pytest.approx(expected)  # type: ignore[arg-type]


def learned(kind: str, crash: float, losses: dict[int, float], accuracies: list[float]) -> Any:
    """A run that trained, with these losses by version."""
    return SimpleNamespace(
        strategy=kind,
        scenario={
            "clients": {"faults": {"crash": crash}},
            "strategy": {"clients_per_round": 0.3},
        },
        metrics=pd.DataFrame(
            {"version": list(losses), "loss": list(losses.values()), "accuracy": accuracies}
        ),
    )


def test_round_one_is_the_version_after_the_warm_up() -> None:
    losses = {0: 9.9, 1: 5.0, 2: 4.0, 6: 3.0, 51: 2.0, 52: 1.0}
    whole = learned("fedavg", 0.7, losses, [0.99, 0.98, 0.1, 0.9, 0.3, 0.2])
    short = learned("safa", 0.3, {0: 9.9, 1: 5.0, 2: 4.5}, [0.1, 0.2, 0.3])
    found = safa.measure({"accuracy-fedavg-7": [whole], "accuracy-safa": [short]})
    assert found["fedavg_loss"] == {
        "cr=.7 round 1": [4.0],
        "cr=.7 round 5": [3.0],
        "cr=.7 round 50": [2.0],
    }
    assert found["safa_loss"] == {"cr=.3 round 1": [4.5]}
    # The best of the rounds, not of what came before; a run that is cut short has none.
    assert found["fedavg_accuracy"] == {"C=.3 cr=.7": [0.9]}
    assert found["safa_accuracy"] == {}


def test_other_seeds_of_a_cell_give_its_deviation() -> None:
    runs = [learned("fedavg", 0.7, {1: 5.0, 2: 4.0}, [0.99, best]) for best in (0.85, 0.87, 0.89)]
    found = safa.measure({"spread-accuracy": runs})
    row = safa.SPREAD["fedavg", ".7"]
    assert found["spread"] == {row: [0.85, 0.87, 0.89]}
    assert found["deviation"] == {row: [pytest.approx(0.02)]}
    assert found["fedavg_accuracy"] == {}  # these are no further runs of the paper's table


def test_five_other_seeds_of_two_cells_are_no_runs_of_the_papers_table() -> None:
    studies = {
        f"accuracy-seeds-{digit}": [
            learned("fedavg", crash, {1: 5.0, 2: 4.0}, [0.99, best]) for best in (0.85, 0.87)
        ]
        for digit, crash in (("5", 0.5), ("7", 0.7))
    }
    found = safa.measure(studies)
    each = [0.85, 0.87]
    assert found["fedavg_accuracy_seeds"] == {"C=.3 cr=.5": each, "C=.3 cr=.7": each}
    assert found["fedavg_accuracy"] == found["fedavg_loss"] == found["spread"] == {}


def test_the_figure_can_be_drawn_of_any_studies(small: tuple[Path, Results]) -> None:
    target = find_target("safa")
    (folder,) = small[0].glob("rounds-fedavg-*")
    whole = learned("fedavg", 0.7, {0: 9.9, 1: 5.0, 2: 4.0}, [0.1, 0.2, 0.3])
    for studies in ({}, {"rounds-fedavg": load_study(folder)}, {"accuracy-fedavg-7": [whole]}):
        figure = safa.draw(studies, target)
        assert len(figure.axes) == (4 if "accuracy-fedavg-7" in studies else 3)
        figure.canvas.draw()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """What trains nothing at small scale: where it ran, and what it gave."""
    folder = tmp_path_factory.mktemp("safa")
    asked = Asked(out=folder, only=("rounds-safa", "rounds-fedavg"))
    return folder, reproduce(find_target("safa"), asked)[0]


def test_the_timing_tables_come_out_at_small_scale(small: tuple[Path, Results]) -> None:
    results = small[1]
    assert len(results.tables["safa_round_seconds"]) == 20
    assert len(results.tables["fedavg_round_seconds"]) == 20
    for row in judged(find_target("safa"), results):
        assert row.within is not False, row
        # Where clients are many enough for the spread over seeds to be small.
        if row.quantity == "safa_round_seconds" and row.row.startswith("C=.1 "):
            assert row.measured == pytest.approx(row.reported, rel=0.05)


def test_the_analysis_picks_as_the_strategy_does_where_both_go_by_arrival(
    small: tuple[Path, Results],
) -> None:
    (folder,) = small[0].glob("rounds-safa-*")
    in_time = []
    for run in load_study(folder):
        found = safa_rounds.rounds(run)
        if any(seconds >= safa_rounds.LONGEST for answer in found for seconds in answer.seconds):
            continue  # the strategy may pick whoever answers last
        in_time.append(run)
        events = run.events
        rows = events[events["kind"] == "aggregated"].drop_duplicates("version")
        turns = zip(found, safa_rounds.picks(found, 10, safa_rounds.by_arrival), strict=True)
        mine = [[answer.clients[i] for i in turn] for answer, turn in turns]
        assert mine == [json.loads(context)["picked"] for context in rows["context"]]
    assert in_time


def test_a_hundred_seeds_have_tables_of_their_own(small: tuple[Path, Results]) -> None:
    studies = {}
    for server in ("safa", "fedavg"):
        (folder,) = small[0].glob(f"rounds-{server}-*")
        studies[f"rounds-{server}"] = load_study(folder)
    one = safa.measure(studies)
    other = safa.measure({f"{name}-100": runs for name, runs in studies.items()})
    for quantity in ("safa_round_seconds", "fedavg_round_seconds", "sync_ratio"):
        assert one[quantity]
        assert other[f"{quantity}_100"] == one[quantity]
        assert other[quantity] == one[f"{quantity}_100"] == {}
    assert not other["other_readings"]


@pytest.mark.slow
def test_fedavgs_loss_after_one_round_comes_out(tmp_path: Path) -> None:
    asked = Asked(out=tmp_path / "safa", only=("accuracy-fedavg-7",))
    results, _ = reproduce(find_target("safa"), asked)
    rows = {row.row: row for row in judged(find_target("safa"), results) if row.measured}
    assert set(rows) == {"cr=.7 round 1", "cr=.7 round 5"}
    assert rows["cr=.7 round 1"].within
