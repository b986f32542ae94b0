"""Where runs go, what is run, reused or made again, and how a study takes failures."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from places import SMALLEST
from run_checks import everything_in

from afl_sim import load_run
from afl_sim.errors import AflSimError, DataError, InputError, RunFolderError, ScenarioError
from afl_sim.recording import EventLog, MetricsLog, Run, RunFolder
from afl_sim.recording.replacement import Replacement, bring_back
from afl_sim.run.api import read_study
from afl_sim.scenario import Case, Study, dump_scenario, scenario_id
from afl_sim.study import case as case_module
from afl_sim.study.begun import read_again
from afl_sim.study.study import Options, Origin, run_cases, study_folder

SUMMARY = {"name": "x", "virtual_seconds": 1.0, "versions": 1, "updates": {}, "final": {}}


def single(*settings: str) -> Study:
    return read_study(SMALLEST, settings)


def several(tmp_path: Path, seeds: int = 3) -> Study:
    path = tmp_path / "several.yaml"
    path.write_text(SMALLEST.read_text() + f"replications: {seeds}\n")
    return read_study(path)


class Runner:
    """Stands in for `simulate`: writes a run folder, or fails as it is told.

    Attributes:
        ran: the folders' names, in order.
        fates: what becomes of the runs in folders of these names, instead of "complete".
    """

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.fates: dict[str, str | AflSimError] = {}

    def __call__(self, scenario: Any, place: Path, **options: Any) -> Run:
        self.ran.append(place.name)
        fate = self.fates.get(place.name, "complete")
        if isinstance(fate, DataError):
            raise fate
        folder = RunFolder.create(place, dump_scenario(scenario), {})
        for log in (EventLog(folder.events_path), MetricsLog(folder.metrics_path)):
            log.close()
        folder.write_summary({**SUMMARY, "status": fate if isinstance(fate, str) else "failed"})
        if isinstance(fate, AflSimError):
            raise fate
        return load_run(place)


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runner:
    stand_in = Runner()
    monkeypatch.setattr(case_module, "simulate", stand_in)
    monkeypatch.chdir(tmp_path)
    return stand_in


def quiet(case: Case) -> Callable[[Any], None] | None:
    return None


def test_a_run_has_its_name_and_identity_for_a_folder() -> None:
    study = single()
    place = study_folder(study, Options())
    assert place == Path("runs") / f"smallest-{scenario_id(study.cases[0].scenario)}"
    assert study_folder(study, Options(timing_only=True)) == place.with_name(f"{place.name}-timing")
    assert study_folder(study, Options(out=Path("a/b"))) == Path("a/b")
    assert study_folder(single("seed=2"), Options()) != place
    assert study_folder(single("execution.checkpoint_versions=3"), Options()) == place


def test_a_study_has_the_identity_of_all_its_runs(tmp_path: Path) -> None:
    three, two = several(tmp_path, 3), several(tmp_path, 2)
    places = [study_folder(study, Options()) for study in (three, two, three)]
    assert places[0] == places[2] != places[1]
    assert re.fullmatch(r"smallest-[0-9a-f]{8}", places[0].name)


def test_a_finished_run_is_reused_and_an_unfinished_one_made_again(runner: Runner) -> None:
    study = single()
    folder, (first,) = run_cases(study, Options(), quiet)
    assert (first.reused, first.succeeded) == (False, True)
    _, (second,) = run_cases(study, Options(), quiet)
    assert (second.reused, second.succeeded) == (True, True)
    assert runner.ran == [folder.name]
    _, (third,) = run_cases(study, Options(force=True), quiet)
    assert not third.reused
    assert len(runner.ran) == 2
    (folder / "summary.json").unlink()
    (folder / "stray.txt").write_text("of the run that was broken off")
    _, (fourth,) = run_cases(study, Options(), quiet)
    assert (fourth.reused, fourth.succeeded) == (False, True)
    assert not (folder / "stray.txt").exists()


@pytest.mark.parametrize("status", ["diverged", "failed", "interrupted"])
def test_what_did_not_come_to_its_end_is_no_success_and_not_reused(
    runner: Runner, status: str
) -> None:
    study = single()
    runner.fates[study_folder(study, Options()).name] = status
    for _ in range(2):
        _, (outcome,) = run_cases(study, Options(), quiet)
        assert (outcome.reused, outcome.succeeded) == (False, False)
    assert len(runner.ran) == 2


def test_a_given_folder_must_be_free(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_cases(single(), Options(out=out), quiet)
    with pytest.raises(RunFolderError, match="already holds a run"):
        run_cases(single(), Options(out=out), quiet)
    _, (outcome,) = run_cases(single(), Options(out=out, force=True), quiet)
    assert outcome.succeeded
    assert len(runner.ran) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="not empty"):
        run_cases(single(), Options(out=tmp_path / "mine", force=True), quiet)
    assert (tmp_path / "mine" / "notes.txt").read_text() == "precious"


def test_the_others_go_on_when_runs_fail(runner: Runner, tmp_path: Path) -> None:
    study = several(tmp_path)
    labels = [case.label for case in study.cases]
    runner.fates = {labels[0]: AflSimError("the disk is full"), labels[1]: DataError("no data")}
    folder, outcomes = run_cases(study, Options(out=tmp_path / "study"), quiet)
    assert runner.ran == labels
    assert [outcome.succeeded for outcome in outcomes] == [False, False, True]
    assert [str(outcome.error) for outcome in outcomes] == ["the disk is full", "no data", "None"]
    assert outcomes[0].status == "failed"
    assert outcomes[1].place is None
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [labels[0], labels[2], "study.json", "study.yaml"]
    )


@pytest.mark.parametrize("there", [False, True])
def test_where_no_run_came_to_be_nothing_is_left(
    runner: Runner, tmp_path: Path, there: bool
) -> None:
    study = several(tmp_path)
    runner.fates = {case.label: DataError("no data") for case in study.cases}
    out = tmp_path / "study"
    if there:
        out.mkdir()
    with pytest.raises(DataError, match="no data"):
        run_cases(study, Options(out=out), quiet)
    assert out.exists() is there
    assert not there or list(out.iterdir()) == []


def test_a_study_goes_on_with_the_runs_that_it_lacks(runner: Runner, tmp_path: Path) -> None:
    study = several(tmp_path)
    labels = [case.label for case in study.cases]
    runner.fates = {labels[1]: "diverged"}
    run_cases(study, Options(), quiet)
    runner.ran, runner.fates = [], {}
    _, outcomes = run_cases(study, Options(), quiet)
    assert [outcome.reused for outcome in outcomes] == [True, False, True]
    assert runner.ran == [labels[1]]


def test_studies_are_not_mixed(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "study"
    run_cases(several(tmp_path, 2), Options(out=out), quiet)
    with pytest.raises(RunFolderError, match="another study"):
        run_cases(several(tmp_path, 3), Options(out=out, force=True), quiet)
    (out / "study.json").write_text("{")
    with pytest.raises(RunFolderError, match="another study"):
        run_cases(several(tmp_path, 2), Options(out=out, force=True), quiet)
    assert len(runner.ran) == 2


def test_another_run_is_not_resumed_in_its_place(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    runner.fates = {"out": "interrupted"}
    run_cases(single(), Options(out=out), quiet)
    with pytest.raises(RunFolderError, match="another scenario"):
        run_cases(single("seed=9"), Options(out=out, resume=True), quiet)
    assert load_run(out).status == "interrupted"


def test_another_run_that_is_finished_is_not_taken_for_this_one(
    runner: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_cases(single(), Options(out=out), quiet)
    with pytest.raises(RunFolderError, match="holds a run of another scenario"):
        run_cases(single("seed=9"), Options(out=out, resume=True), quiet)
    _, (outcome,) = run_cases(single(), Options(out=out, resume=True), quiet)
    assert outcome.reused
    with pytest.raises(RunFolderError, match="holds a run with training"):
        run_cases(single(), Options(out=out, resume=True, timing_only=True), quiet)
    manifest = out / "manifest.json"
    manifest.write_text('{"timing_only": true}')
    with pytest.raises(RunFolderError, match="holds a run without training"):
        run_cases(single(), Options(out=out, resume=True), quiet)
    # The manifest knows what a run was made from, whatever its scenario.yaml says by now.
    manifest.write_text('{"scenario_id": "01234567"}')
    with pytest.raises(RunFolderError, match="holds a run of another scenario"):
        run_cases(single(), Options(out=out, resume=True), quiet)
    _, (outcome,) = run_cases(single("seed=9"), Options(out=out, force=True), quiet)
    assert not outcome.reused
    assert runner.ran == ["out", "out"]


def test_a_study_whose_labels_stay_is_another_where_its_settings_change(
    runner: Runner, tmp_path: Path
) -> None:
    study, out = several(tmp_path), tmp_path / "study"
    run_cases(study, Options(out=out), quiet)
    changed = read_study(tmp_path / "several.yaml", ["stop.updates=50"])
    assert [case.label for case in changed.cases] == [case.label for case in study.cases]
    with pytest.raises(RunFolderError, match="holds a run of another scenario"):
        run_cases(changed, Options(out=out, resume=True), quiet)
    assert len(runner.ran) == 3


@pytest.mark.parametrize("error", [DataError("no data"), KeyboardInterrupt(), OSError("?")])
def test_a_run_that_cannot_begin_leaves_the_one_before(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path, error: BaseException
) -> None:
    study, out = single(), tmp_path / "out"
    run_cases(study, Options(out=out), quiet)
    (out / "model.safetensors").write_bytes(b"of hours of training")
    before = everything_in(tmp_path)

    def refuse(scenario: Any, place: Path, **options: Any) -> Run:
        assert not place.exists()
        if not isinstance(error, DataError):  # something of the new run is there by then
            RunFolder.create(place, dump_scenario(scenario), {})
        raise error

    monkeypatch.setattr(case_module, "simulate", refuse)
    with pytest.raises((AflSimError, KeyboardInterrupt)) as caught:
        run_cases(study, Options(out=out, force=True), quiet)
    assert isinstance(error, KeyboardInterrupt) or str(error) in str(caught.value)
    assert everything_in(tmp_path) == before


def test_the_run_before_goes_when_the_new_one_has_made_a_version(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path
) -> None:
    study, out = single(), tmp_path / "link"
    (tmp_path / "elsewhere").mkdir()
    out.symlink_to(tmp_path / "elsewhere")
    run_cases(study, Options(out=out), quiet)

    def begin(scenario: Any, place: Path, first_version: Any, **options: Any) -> Run:
        RunFolder.create(place, dump_scenario(scenario), {"label": "new"})
        assert len(list(tmp_path.glob(".elsewhere.before-*"))) == 1
        first_version()
        assert not list(tmp_path.glob(".*"))
        raise KeyboardInterrupt

    monkeypatch.setattr(case_module, "simulate", begin)
    with pytest.raises(KeyboardInterrupt):
        run_cases(study, Options(out=out, force=True), quiet)
    assert out.is_symlink()
    assert load_run(out).manifest == {"label": "new"}


@pytest.mark.parametrize("name", ["n" * 255, "ä" * 127, "x" + "ä" * 127])
def test_a_run_of_the_longest_name_can_be_replaced(
    runner: Runner, tmp_path: Path, name: str
) -> None:
    study, out = single(), tmp_path / name
    run_cases(study, Options(out=out), quiet)
    (out / "older").touch()
    runner.fates[name] = DataError("no data")
    with pytest.raises(DataError):
        run_cases(study, Options(out=out, force=True), quiet)
    assert (out / "older").exists()  # it is back
    del runner.fates[name]
    run_cases(study, Options(out=out, force=True), quiet)
    assert not (out / "older").exists()
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_what_another_process_has_put_there_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path
) -> None:
    study, out = single(), tmp_path / "out"
    run_cases(study, Options(out=out), quiet)
    (out / "mine").touch()
    held = ExitStack()

    def too_late(scenario: Any, place: Path, **options: Any) -> Run:
        theirs = RunFolder.create(place, dump_scenario(scenario), {"label": "theirs"})
        held.enter_context(theirs.locked())
        raise RunFolderError(f"{place} is in the way")

    monkeypatch.setattr(case_module, "simulate", too_late)
    with held:
        with pytest.raises(RunFolderError, match="in the way"):
            run_cases(study, Options(out=out, force=True), quiet)
        assert load_run(out).manifest == {"label": "theirs"}
    (aside,) = tmp_path.glob(".out.before-*")
    assert (aside / "mine").exists()


def test_what_had_failed_gives_way_to_the_new_failure(runner: Runner, tmp_path: Path) -> None:
    study, out = single(), tmp_path / "out"
    for message in ("the first", "the second"):
        runner.fates["out"] = AflSimError(message)
        with pytest.raises(AflSimError, match=message):
            run_cases(study, Options(out=out, force=True), quiet)
        (out / message).touch()
    assert not (out / "the first").exists()


def test_a_failure_before_the_beginning_is_not_told_with_the_older_result(
    runner: Runner, tmp_path: Path
) -> None:
    study, out = several(tmp_path), tmp_path / "study"
    run_cases(study, Options(out=out), quiet)
    label = study.cases[1].label
    runner.fates[label] = DataError("no data")
    _, outcomes = run_cases(study, Options(out=out, force=True), quiet)
    assert [outcome.succeeded for outcome in outcomes] == [True, False, True]
    assert outcomes[1].place is None
    assert load_run(out / label).status == "complete"


def test_a_run_that_another_process_ends_meanwhile_is_reused(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path
) -> None:
    study = single()
    place = study_folder(study, Options())
    runner.fates[place.name] = "interrupted"
    run_cases(study, Options(), quiet)
    real = RunFolder.locked

    def ends_first(folder: RunFolder) -> Any:
        folder.write_summary({**SUMMARY, "status": "complete"})
        return real(folder)

    monkeypatch.setattr(RunFolder, "locked", ends_first)
    _, (outcome,) = run_cases(study, Options(), quiet)
    assert outcome.reused
    assert runner.ran == [place.name]


def test_a_sink_that_is_not_installed_is_found_before_anything_is_touched(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run_cases(single(), Options(out=out), quiet)
    before = everything_in(tmp_path)
    monkeypatch.setattr("afl_sim.recording.sinks.find_spec", lambda name: None)
    with pytest.raises(InputError, match="tensorboard is not installed"):
        run_cases(single("execution.sinks=[tensorboard]"), Options(out=out, force=True), quiet)
    assert everything_in(tmp_path) == before
    assert runner.ran == ["out"]


def test_whatever_a_single_run_raises_is_one_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*arguments: Any, **options: Any) -> Run:
        raise LookupError("no such tier")

    monkeypatch.setattr(case_module, "simulate", broken)
    with pytest.raises(AflSimError, match=r"LookupError: no such tier \(.*test_studies.py:\d+\)"):
        run_cases(single(), Options(out=tmp_path / "out"), quiet)


def test_what_cannot_be_timed_is_refused_before_anything_is_made(
    runner: Runner, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError, match="accuracy is the only rule"):
        run_cases(
            single("stop={accuracy: 0.9}", "evaluation.every_versions=1"),
            Options(timing_only=True),
            quiet,
        )
    assert runner.ran == []
    assert list(tmp_path.iterdir()) == []


def test_each_run_is_watched_and_told_how_it_was_called(
    monkeypatch: pytest.MonkeyPatch, runner: Runner, tmp_path: Path
) -> None:
    calls: list[dict[str, Any]] = []

    def spy(scenario: Any, place: Path, **options: Any) -> Run:
        calls.append(options)
        return runner(scenario, place, **options)

    monkeypatch.setattr(case_module, "simulate", spy)
    watched: list[str] = []
    study = several(tmp_path)
    options = Options(out=tmp_path / "study", timing_only=True, command=["afl-sim", "run"])
    run_cases(study, options, lambda case: watched.append(case.label))
    assert watched == [case.label for case in study.cases]
    assert all(call["timing_only"] for call in calls)
    assert all(call["command"] == ["afl-sim", "run"] for call in calls)


def test_what_begins_anew_is_told_and_what_goes_on_is_not(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "study"
    study = several(tmp_path)
    labels = [case.label for case in study.cases]
    runner.fates = dict.fromkeys(labels[:2], "interrupted")
    told: list[str] = []
    run_cases(study, Options(out=out, notice=told.append), quiet)
    assert told == []  # nothing was there
    place = study_folder(study, Options())
    place.parent.mkdir()
    out.rename(place)
    run_cases(study, Options(notice=told.append), quiet)
    assert told == [
        f"{place / labels[0]}, {place / labels[1]} hold unfinished runs, which start "
        "again from the beginning; to continue instead, stop now and add --resume"
    ]
    one = single()
    runner.fates = {study_folder(one, Options()).name: "interrupted"}
    for options in (Options(), Options(force=True), Options()):
        run_cases(one, replace(options, notice=told.append), quiet)
    assert told[1:] == [
        f"{study_folder(one, Options())} holds an unfinished run, which starts again from "
        "the beginning; to continue instead, stop now and add --resume"
    ]


@pytest.mark.parametrize("many", [False, True])
def test_a_given_folder_that_is_in_use_says_how_to_go_on(
    many: bool, runner: Runner, tmp_path: Path
) -> None:
    study = several(tmp_path) if many else single()
    out = tmp_path / "out"
    run_cases(study, Options(out=out), quiet)
    what = "study" if many else "run"
    with pytest.raises(
        RunFolderError, match=f"already holds a {what}: --resume keeps what is finished"
    ):
        run_cases(study, Options(out=out), quiet)


def test_a_study_is_read_again_from_its_folder(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "files" / "unnamed.yaml"
    source.parent.mkdir()
    text = re.sub(r"(?m)^name: .*$", "", SMALLEST.read_text())
    speeds = "clients: {count: 3, compute: {seconds_per_task: {trace: speeds.csv, column: s}}}"
    text = re.sub(r"(?m)^clients:\n(  .*\n)+", f"{speeds}\n", text)
    source.write_text(text + "replications: 2\n")
    (source.parent / "speeds.csv").write_text("s\n1.5\n2\n3\n")
    settings = ("strategy.concurrency=2", "stop.updates=7")
    study = read_study(source, settings, 5)
    origin = Origin(settings, 5, source.parent)
    options = Options(out=tmp_path / "study", timing_only=True, origin=origin)
    runner.fates = {study.cases[1].label: "interrupted"}
    run_cases(study, options, quiet)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    source.write_text("changed since then")
    again, timing_only, how = read_again(tmp_path / "study", ["execution.workers=2"])
    assert timing_only
    assert how == origin
    assert (again.name, again.source) == (study.name, study.source)
    assert [(case.label, scenario_id(case.scenario)) for case in again.cases] == [
        (case.label, scenario_id(case.scenario)) for case in study.cases
    ]
    assert again.cases[0].scenario.execution.workers == 2


def test_a_study_that_does_not_say_how_it_was_asked_for_says_what_to_do(
    runner: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    run_cases(several(tmp_path), Options(out=out), quiet)
    for _ in range(2):
        with pytest.raises(RunFolderError, match=r"afl-sim run SCENARIO --out .*study --resume"):
            read_again(out)
        (out / "study.json").unlink(missing_ok=True)


def test_a_run_of_a_study_is_not_written_through_a_link(runner: Runner, tmp_path: Path) -> None:
    study, out = several(tmp_path), tmp_path / "study"
    run_cases(study, Options(out=out), quiet)
    label = study.cases[1].label
    (out / label).rename(tmp_path / "mine")
    (out / label).symlink_to(tmp_path / "mine")
    before = everything_in(tmp_path)
    _, outcomes = run_cases(study, Options(out=out, resume=True), quiet)  # all are finished
    assert all(outcome.reused for outcome in outcomes)
    with pytest.raises(RunFolderError, match=f"{label} is a symbolic link"):
        run_cases(study, Options(out=out, force=True), quiet)
    assert everything_in(tmp_path) == before


def test_a_run_that_was_set_aside_by_a_process_that_was_killed_comes_back(
    runner: Runner, tmp_path: Path
) -> None:
    study, out = single(), tmp_path / "out"
    run_cases(study, Options(out=out), quiet)
    (out / "mine").touch()
    aside = tmp_path / ".out.before-0123abcd"
    for new in (None, "begun"):
        out.rename(aside)
        if new is not None:
            RunFolder.create(out, dump_scenario(study.cases[0].scenario), {})
        _, (outcome,) = run_cases(study, Options(out=out, resume=True), quiet)
        assert outcome.reused
        assert (out / "mine").exists()
        assert not aside.exists()
    out.rename(aside)
    run_cases(study, Options(out=tmp_path / "new"), quiet)
    (tmp_path / "new").rename(out)  # the new one had come to its end
    _, (outcome,) = run_cases(study, Options(out=out, resume=True), quiet)
    assert outcome.reused
    assert not (out / "mine").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_run_that_a_living_process_has_set_aside_is_left_alone(
    runner: Runner, tmp_path: Path
) -> None:
    study, out = single(), tmp_path / "out"
    run_cases(study, Options(out=out), quiet)
    with RunFolder.open(out).locked():
        older = Replacement(load_run(out))
    with older:
        bring_back(tmp_path, {"out"})
        assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_study_whose_folder_is_removed_runs_nothing_more(runner: Runner, tmp_path: Path) -> None:
    study, folder = several(tmp_path), tmp_path / "results" / "study"
    told = []

    def remove(outcome: Any) -> None:
        told.append(outcome.label)
        shutil.rmtree(folder)

    with pytest.raises(AflSimError, match="study was removed or moved during the study"):
        run_cases(study, Options(folder), lambda case: None, remove)
    assert told == runner.ran == ["r0"]
    assert list((tmp_path / "results").iterdir()) == []


def test_figures_may_be_described_anew_and_nothing_is_run_again(
    runner: Runner, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    run_cases(several(tmp_path), Options(out=out), quiet)
    runner.ran.clear()
    path = tmp_path / "several.yaml"
    path.write_text(path.read_text() + "figure: {name: accuracy, width: 84mm}\n")
    steered = read_study(path)
    _, outcomes = run_cases(steered, Options(out=out, resume=True), quiet)
    assert all(outcome.reused for outcome in outcomes)
    assert runner.ran == []
    for case in steered.cases:
        found = load_run(out / case.label)
        assert found.scenario["figure"] == [{"name": "accuracy", "width": "84mm"}]
        assert read_study(found.path / "scenario.yaml").cases[0].scenario == case.scenario
    assert (out / "study.yaml").read_text() == path.read_text()
    plain = several(tmp_path)
    run_cases(plain, Options(out=out, resume=True), quiet)
    assert load_run(out / "r0").scenario["figure"] == []


def test_figures_of_a_run_behind_a_link_stay_as_they_are(runner: Runner, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run_cases(single(), Options(out=tmp_path / "mine"), quiet)
    out.symlink_to(tmp_path / "mine")
    before = everything_in(tmp_path / "mine")
    _, (outcome,) = run_cases(single("figure=accuracy"), Options(out=out, resume=True), quiet)
    assert outcome.reused
    assert everything_in(tmp_path / "mine") == before
