"""Running what a target lacks: reuse, going on, choosing studies, and what is written."""

from __future__ import annotations

import csv
import json
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tiny import TARGET, write_target

from afl_sim.errors import AflSimError, InputError
from afl_sim.papers import reproducing, writing
from afl_sim.papers.overview import overview
from afl_sim.papers.pages import notes
from afl_sim.papers.reproducing import Asked, reproduce
from afl_sim.papers.results import read_results
from afl_sim.papers.target import Target, load_target
from afl_sim.papers.writing import alone_in, keep
from afl_sim.recording import load_runs
from afl_sim.scenario import Study
from afl_sim.study.case import Outcome


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Target]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield load_target(write_target(tmp_path))
    sys.modules.pop("tiny_analysis", None)


def test_the_small_scale_runs_less_and_the_full_one_all(target: Target, tmp_path: Path) -> None:
    results, written = reproduce(target, Asked())
    assert results.tables["versions"]["right"] == [5.0, 5.0]
    assert results.claims == {"ended": [True, True]}
    assert set(results.studies) == {"rounds"}
    assert "seconds" not in results.tables  # means something at full scale only
    place = tmp_path / "runs" / "papers" / "tiny"
    assert [path.name for path in written] == ["table.csv", "table.md", "tiny.png", "tiny.pdf"]
    assert {path.parent for path in written} == {place.relative_to(tmp_path) / "small"}
    full, _ = reproduce(target, Asked("full"))
    assert set(full.studies) == {"rounds", "long"}
    assert len(full.tables["seconds"]["all"]) == 4
    # Common random numbers: the first two of four seeds are those of the small scale.
    digests = [run["schedule_digest"] for run in full.studies["rounds"]["runs"]]
    assert digests[:2] == [run["schedule_digest"] for run in results.studies["rounds"]["runs"]]


def test_finished_runs_are_reused_and_other_code_runs_anew(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Outcome] = []
    reproduce(target, Asked(), tell=told.append)
    reproduce(target, Asked(), tell=told.append)
    assert [outcome.reused for outcome in told] == [False, False, True, True]
    monkeypatch.setattr(reproducing, "code_digest", lambda *scenarios: "other" * 4)
    reproduce(target, Asked(), tell=told.append)
    assert [outcome.reused for outcome in told[4:]] == [False, False]


def test_a_reproduction_that_was_broken_off_goes_on(target: Target, tmp_path: Path) -> None:
    versions = iter([False, False, True])
    with pytest.raises(KeyboardInterrupt):
        reproduce(target, Asked(stop_wanted=lambda: next(versions)))
    (study,) = (tmp_path / "runs" / "papers" / "tiny").iterdir()
    (begun,) = load_runs([study])
    assert begun.status == "interrupted"
    results, _ = reproduce(target, Asked())
    untouched, _ = reproduce(target, Asked(out=tmp_path / "elsewhere"))
    assert results.studies["rounds"]["runs"] == untouched.studies["rounds"]["runs"]
    assert results.tables == untouched.tables


def test_a_stop_between_two_studies_is_not_lost(target: Target) -> None:
    told: list[Outcome] = []
    with pytest.raises(KeyboardInterrupt):
        reproduce(target, Asked("full", stop_wanted=lambda: len(told) == 4), tell=told.append)
    assert len(told) == 4  # those of the first study
    results, _ = reproduce(target, Asked("full"), tell=told.append)
    assert [outcome.reused for outcome in told[4:]] == [True] * 4 + [False] * 4
    assert set(results.studies) == {"rounds", "long"}


def test_a_run_that_diverged_is_a_result_and_not_run_again(target: Target, tmp_path: Path) -> None:
    reproduce(target, Asked())
    (study,) = (tmp_path / "runs" / "papers" / "tiny").glob("rounds-*")
    file = study / "r0" / "summary.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "status": "diverged"}))
    told: list[Outcome] = []
    results, _ = reproduce(target, Asked("small", only=["rounds"]), tell=told.append)
    assert [outcome.reused for outcome in told] == [True, True]
    assert [run["status"] for run in results.studies["rounds"]["runs"]] == ["diverged", "complete"]


def test_what_another_process_has_run_meanwhile_is_in_the_results(
    target: Target, tmp_path: Path
) -> None:
    text = (tmp_path / "tiny_analysis.py").read_text()
    text = text.replace('studies["rounds"]', 'studies.get("rounds", [])')
    (tmp_path / "tiny_analysis.py").write_text(text)
    others: list[Path] = []

    def tell(outcome: Outcome) -> None:
        if not others:
            mine, written = reproduce(target, Asked("full", only=["long"]))
            assert mine.not_run == {"rounds": ""}
            others.extend(written)

    results, written = reproduce(target, Asked("full", only=["rounds"]), tell=tell)
    assert others == written
    assert list(results.studies) == ["rounds", "long"]
    kept = read_results(written[0].with_name("results.json"))
    assert kept is not None
    assert list(kept.studies) == ["rounds", "long"]
    assert not list(written[0].parent.glob(".*"))


def test_two_that_write_results_take_turns(target: Target) -> None:
    results, written = reproduce(target, Asked())
    ends: list[str] = []

    def second() -> None:
        keep(target, results, written)
        reproduce(target, Asked())
        ends.append("second")

    other = threading.Thread(target=second)
    with alone_in(target.results("small").parent), alone_in(written[0].parent):
        other.start()
        other.join(0.3)
        ends.append("first")
    other.join(60)
    assert ends == ["first", "second"]


def test_the_tables_are_there_where_the_figure_does_not_come_off(
    target: Target, tmp_path: Path
) -> None:
    text = (tmp_path / "tiny_analysis.py").read_text()
    (tmp_path / "tiny_analysis.py").write_text(text.replace("figure = Figure()", "1 / 0"))
    with pytest.raises(AflSimError, match=r"tiny_analysis\.draw: ZeroDivisionError"):
        reproduce(target, Asked())
    place = tmp_path / "runs" / "papers" / "tiny" / "small"
    assert sorted(path.name for path in place.iterdir()) == [
        "results.json",
        "table.csv",
        "table.md",
    ]


def test_where_nothing_that_was_run_is_drawn_there_is_no_figure(
    target: Target, tmp_path: Path
) -> None:
    text = (tmp_path / "tiny_analysis.py").read_text()
    (tmp_path / "tiny_analysis.py").write_text(text.replace("figure = Figure()", "return None"))
    _, written = reproduce(target, Asked())
    assert [path.name for path in written] == ["table.csv", "table.md"]


def test_workers_are_given_to_all_studies_that_can_have_them(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    batched = (target.folder / "rounds.yaml").read_text() + "numerics: {mode: batched}\n"
    (target.folder / "batched.yaml").write_text(batched)
    (target.folder / "alone.yaml").write_text(batched.replace("replications: 4\n", ""))
    text = TARGET.replace("long: {file: rounds.yaml", "long: {file: batched.yaml")
    text = text.replace("tables:", "  alone: {file: alone.yaml, timing_only: true}\ntables:")
    (target.folder / "target.yaml").write_text(text)
    asked: list[str] = []

    def not_run(study: Study, *rest: object) -> tuple[None, list[Outcome]]:
        asked.append(study.cases[0].scenario.execution.executor)
        raise AflSimError("not run")

    monkeypatch.setattr(reproducing, "run_cases", not_run)
    changed, workers = load_target(target.folder), ("execution.executor=processes",)
    for only in ("rounds", "long", "alone"):
        with pytest.raises(AflSimError, match="not run"):
            reproduce(changed, Asked("full", only=[only], execution=workers))
    assert asked == ["processes", "processes", "inline"]


def test_studies_that_are_not_chosen_are_named_with_their_cost(target: Target) -> None:
    results, _ = reproduce(target, Asked("full", only=["rounds"]))
    assert results.not_run == {"long": "an hour"}
    assert results.made["command"] == "afl-sim reproduce tiny --scale full --study rounds"
    reproduce(target, Asked("full"))
    again, _ = reproduce(target, Asked("full", only=["rounds"]))
    assert again.not_run == {}  # it was finished, so it counts
    with pytest.raises(InputError, match="did you mean 'rounds'"):
        reproduce(target, Asked("full", only=["round"]))
    with pytest.raises(InputError, match="long is skipped at small scale; use --scale full"):
        reproduce(target, Asked("small", only=["rounds", "long"]))


def test_kept_results_stand_beside_the_target_and_give_the_same_table(target: Target) -> None:
    results, written = reproduce(target, Asked())
    assert keep(target, results, written) == [
        target.folder / "results" / "small.json",
        target.folder / "results" / "small.csv",
    ]
    kept = (target.folder / "results" / "small.csv").read_bytes()
    assert kept == written[0].read_bytes()
    rows = list(csv.DictReader(kept.decode().splitlines()))
    assert [row["within"] for row in rows[:3]] == ["yes", "no", ""]
    assert rows[0]["values"] == "5 5"
    made = json.loads((target.folder / "results" / "small.json").read_text())["made"]
    assert set(made) >= {"date", "command", "minutes", "code", "machine", "torch", "numerics"}


def test_the_figure_is_kept_however_the_target_is_named(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "paper_folder", lambda: tmp_path)
    monkeypatch.setattr(writing, "scenario_folder", lambda: tmp_path / "scenarios")
    images = tmp_path / "docs" / "images"
    images.mkdir(parents=True)
    results, written = reproduce(target, Asked())
    for named in (target.folder, Path("tiny")):
        assert keep(load_target(named), results, written)[-1] == images / "papers-tiny.png"
        (images / "papers-tiny.png").unlink()


def test_what_was_kept_of_studies_that_are_not_run_now_stays(target: Target) -> None:
    first, written = reproduce(target, Asked("full", only=["rounds"]))
    keep(target, first, written)
    only_long = replace(
        first,
        made=first.made | {"command": "later"},
        studies={"long": first.studies["rounds"]},
        not_run={"rounds": ""},
        tables={"versions": {"right": [6.0]}},
        claims={"ended": []},
    )
    keep(target, only_long, [])
    both = read_results(target.results("full"))
    assert both is not None
    assert both.made["command"] == "later"
    assert both.tables["versions"] == first.tables["versions"] | {"right": [6.0]}
    assert both.tables["seconds"] == first.tables["seconds"]
    assert both.claims == first.claims
    assert both.not_run == {}
    assert both.studies["rounds"] == first.studies["rounds"] | {"made": first.made}
    assert "made" not in both.studies["long"]
    (told,) = [line for line in notes(target, both) if line.startswith("Kept from earlier runs")]
    assert told.startswith(f"Kept from earlier runs: rounds, made by `{first.made['command']}` on ")
    # What was run anew takes the place of what was kept.
    keep(target, first, written)
    again = read_results(target.results("full"))
    assert again is not None
    assert again.tables["versions"] == first.tables["versions"]
    assert again.studies["long"]["made"]["command"] == "later"


def test_mistakes_of_settings_name_the_target_file(target: Target) -> None:
    wrong = TARGET.replace("set: {replications: 2}", "set: {replication: 2}")
    (target.folder / "target.yaml").write_text(wrong)
    with pytest.raises(InputError) as caught:
        reproduce(load_target(target.folder), Asked())
    line = TARGET.splitlines().index(next(s for s in TARGET.splitlines() if "cut:" in s)) + 1
    assert str(caught.value).startswith(f"{target.folder / 'target.yaml'}:{line}: replication: ")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("analysis: tiny_analysis", "analysis: no_such_analysis", "cannot import"),
        ("quantity: versions", "quantity: virsions", "did you mean 'virsions'"),
    ],
)
def test_an_analysis_that_does_not_fit_is_one_message(
    target: Target, old: str, new: str, words: str
) -> None:
    (target.folder / "target.yaml").write_text(TARGET.replace(old, new))
    with pytest.raises(AflSimError) as caught:
        reproduce(load_target(target.folder), Asked())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_exception_in_the_analysis_names_its_line(target: Target, tmp_path: Path) -> None:
    (tmp_path / "tiny_analysis.py").write_text("def measure(studies):\n    return 1 / 0\n")
    with pytest.raises(AflSimError, match=r"measure: ZeroDivisionError.*tiny_analysis\.py:2"):
        reproduce(target, Asked())


@pytest.mark.parametrize(
    ("gives", "words"),
    [
        ("None", "measure returned None; expected a dict by quantity"),
        ("[1, 2]", "measure returned a list; expected a dict by quantity"),
        ("{'versions': [5.0]}", "versions is a list; expected a dict by row"),
        ("{'versions': {'right': 5.0}}", "versions, right: a float; expected a list"),
        ("{'versions': {'right': ['five']}}", "versions, right: ValueError: could not convert"),
        ("{'versions': {'right': [[5.0]]}}", "versions, right: TypeError"),
        ("{'ended': True}", "ended: a bool; expected a list with a value for each replication"),
    ],
)
def test_a_measurement_of_the_wrong_shape_is_named(
    target: Target, tmp_path: Path, gives: str, words: str
) -> None:
    (tmp_path / "tiny_analysis.py").write_text(f"def measure(studies):\n    return {gives}\n")
    with pytest.raises(AflSimError, match=words) as caught:
        reproduce(target, Asked())
    assert "\n" not in str(caught.value)


def test_a_run_that_fails_is_named(target: Target) -> None:
    text = (target.folder / "rounds.yaml").read_text()
    (target.folder / "rounds.yaml").write_text(
        text.replace(
            "seconds_per_task: {dist: expon, scale: 2.0}",
            "seconds_per_task: 8.0e+12",
        )
    )
    with pytest.raises(AflSimError, match="tiny: rounds, r0: "):
        reproduce(target, Asked())


def test_the_overview_tells_cost_and_state(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afl_sim.papers.target.paper_folder", lambda: tmp_path)
    before = list(overview())
    assert before[0] == "tiny: Rounds of a tiny fleet"
    assert before[1:] == [
        "  small 0.1 min on two cores; not run",
        "  full  0.2 min on two cores; not run",
    ]
    reproduce(target, Asked())
    small = list(overview())[1]
    assert "with this code: 1 of 2 rows within tolerance; 1 of 1 claims hold" in small
