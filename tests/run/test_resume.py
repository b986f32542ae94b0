"""Broken off anywhere and resumed, a run comes to the digests of an undisturbed one."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from places import SMALLEST
from run_checks import every

from afl_sim.errors import AflSimError, RunFolderError, StrategyError
from afl_sim.execution import pulse
from afl_sim.learning.training.local_training import LocalTrainer
from afl_sim.recording import Run, RunFolder, load_checkpoint, load_run, save_checkpoint
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.scenario import Scenario, scenario_id
from afl_sim.strategies import Strategy

STRATEGIES = {
    "fedavg": "{kind: fedavg, clients_per_round: 4, over_selection: 0.5}",
    "fedprox": "{kind: fedprox, stragglers: 0.5, clients_per_round: 4, mu: 0.1}",
    "fedasync": "{kind: fedasync, concurrency: 4, max_staleness: 3}",
    "fedbuff": "{kind: fedbuff, concurrency: 5, buffer_size: 3}",
    "fedbuff with Adam": "{kind: fedbuff, concurrency: 5, buffer_size: 3, "
    "server_optimizer: {kind: Adam, lr: 0.01}}",
    "ringmaster": "{kind: ringmaster, delay_threshold: 4}",
    "fedasmu": "{kind: fedasmu, concurrency: all, control_rate: 0.1}",
    "fedpsa": "{kind: fedpsa, concurrency: 5, buffer_size: 3, window: 6}",
    "quafl": "{kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5}",
    "fedat": "{kind: fedat, tiers: 2, clients_per_round: 3}",
}


def small(strategy: str = "fedbuff", *more: str) -> Scenario:
    settings = ["stop.updates=30", "evaluation.samples=100", "evaluation.every_seconds=1"]
    return load_scenario(SMALLEST, [f"strategy={STRATEGIES[strategy]}", *settings, *more])


def run_in_pieces(scenario: Scenario, folder: Path, stop: Callable[[], bool]) -> tuple[Run, int]:
    breaks = 0
    try:
        return simulate(scenario, folder, stop_wanted=stop), 0
    except KeyboardInterrupt:
        breaks += 1
    while True:
        try:
            return resume(folder, stop_wanted=stop), breaks
        except KeyboardInterrupt:
            breaks += 1


def assert_same(run: Run, undisturbed: Run) -> None:
    for key in ("schedule_digest", "model_digest", "final", "updates", "staleness", "status"):
        assert run.summary[key] == undisturbed.summary[key], key
    assert run.events.equals(undisturbed.events)
    assert run.metrics.equals(undisturbed.metrics)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_in_pieces_is_the_run_in_one(strategy: str, tmp_path: Path) -> None:
    scenario = small(strategy)
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    assert_same(run, simulate(scenario))
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.parametrize("on_leave", ["lost", "paused", "partial"])
@pytest.mark.parametrize("strategy", ["fedavg", "fedbuff", "quafl"])
def test_a_run_in_pieces_whose_clients_come_and_go(
    strategy: str, on_leave: str, tmp_path: Path
) -> None:
    stays = "{dist: expon, scale: 1.0}"
    availability = f"{{kind: on_off, on: {stays}, off: {stays}, on_leave: {on_leave}}}"
    scenario = small(strategy, f"clients.availability={availability}")
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    assert "unavailable" in set(run.events["kind"])
    undisturbed = simulate(scenario)
    assert_same(run, undisturbed)
    timed = simulate(scenario, timing_only=True)
    assert timed.summary["schedule_digest"] == undisturbed.summary["schedule_digest"]


@pytest.mark.parametrize("strategy", ["fedavg", "fedasync", "quafl"])
def test_a_run_in_pieces_in_which_much_goes_wrong(strategy: str, tmp_path: Path) -> None:
    faults = "{crash: 0.2, upload_loss: {probability: 0.3, timeout: 0.2}, "
    faults += "corruption: {probability: 0.2}, duplication: {probability: 0.3}}"
    scenario = small(
        strategy,
        f"clients.faults={faults}",
        "clients.availability={kind: diurnal, period: 10, share: 0.6, on_leave: partial}",
        "server={guard: {max_norm: 50}, upload: {kind: shared, bandwidth: 1.0e+6}}",
    )
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    undisturbed = simulate(scenario)
    assert_same(run, undisturbed)
    assert run.summary["rejected"] == undisturbed.summary["rejected"] > 0
    timed = simulate(scenario, timing_only=True)
    assert timed.summary["schedule_digest"] == undisturbed.summary["schedule_digest"]
    kinds = {"failed", "lost", "corrupted", "duplicate", "unavailable"}
    assert kinds <= set(run.events["kind"])


def test_a_run_in_pieces_on_worker_processes_is_the_run_in_one(tmp_path: Path) -> None:
    workers = ["execution.executor=processes", "execution.workers=2"]
    run, breaks = run_in_pieces(small("quafl", *workers), tmp_path / "run", every(6))
    assert breaks
    assert_same(run, simulate(small("quafl")))


class LossGuided(Strategy):
    """Sends each client that reported a high loss a task at once, and others when all are back.

    Reads losses one by one, and the norm of a pair's mean update.
    """

    reads_results: ClassVar[bool] = True

    def schedule(self, server: Any) -> Iterator[Any]:
        while True:
            cohort = server.dispatch_many(server.pick(4))
            arrived = yield server.wait(cohort)
            losses = [server.result(update).loss for update in arrived]
            worst = arrived[losses.index(max(losses))]
            pace = server.measure(_norm_and_count, arrived[:2])
            yield server.aggregate(arrived, pace=pace)
            again = server.dispatch(worst.client, steps=2 + int(1000 * pace[0]) % 3)
            yield server.aggregate((yield server.wait([again])))

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params + sum(update.delta for update in updates) / len(updates), state


def _norm_and_count(updates: Any) -> tuple[float, int]:
    return float(sum(update.delta for update in updates).norm()), len(updates)


class UsesAgain(Strategy):
    """Aggregates the latest update of every client, so most of them many times."""

    def schedule(self, server: Any) -> Iterator[Any]:
        latest: dict[int, Any] = {}
        server.dispatch_many(server.pick(3))
        while True:
            update = yield server.arrival()
            latest[update.client] = update
            yield server.aggregate(list(latest.values()))
            server.dispatch(server.pick_one())

    def aggregate(self, params: Any, state: Any, updates: Any, context: Any) -> Any:
        return params + sum(update.delta for update in updates) / len(updates) / 2, state


@pytest.mark.parametrize(
    ("strategy", "executor", "n"),
    [
        (LossGuided, "inline", 2),
        (LossGuided, "processes", 3),
        (UsesAgain, "inline", 2),
        (UsesAgain, "processes", 5),
    ],
)
def test_results_that_were_read_and_updates_used_again_outlive_a_break(
    strategy: type[Strategy], executor: str, n: int, tmp_path: Path
) -> None:
    block = f'strategy={{kind: "{__name__}:{strategy.__name__}"}}'
    scenario = small("fedbuff", block, "stop.updates=24")
    broken = small("fedbuff", block, "stop.updates=24", f"execution.executor={executor}")
    run, breaks = run_in_pieces(broken, tmp_path / "run", every(n))
    assert breaks >= 2
    assert_same(run, simulate(scenario))


def test_accuracies_of_clients_that_decide_who_trains_outlive_a_break(tmp_path: Path) -> None:
    adaptive = "kind: tifl, tiers: 2, clients_per_round: 3, policy: adaptive, accuracy: test"
    tested = ["data.client_test=0.2", "evaluation.per_client=true"]
    scenario = small("fedavg", f"strategy={{{adaptive}, interval: 2}}", *tested)
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    assert_same(run, simulate(scenario))


def test_steps_that_are_repeated_outlive_a_break(tmp_path: Path) -> None:
    polls = "kind: quafl, clients_per_round: 3, local_steps: 4, interaction_seconds: 0.5"
    slow = "clients.compute={seconds_per_step: 0.3, jitter: {dist: expon}, jitter_per: step}"
    scenario = small("quafl", f"strategy={{{polls}, interrupted_step: repeated}}", slow)
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    undisturbed = simulate(scenario)
    assert_same(run, undisturbed)
    redrawn = simulate(small("quafl", slow), timing_only=True)
    steps = [
        each.events[each.events.kind == "aggregated"].steps.tolist()
        for each in (undisturbed, redrawn)
    ]
    assert steps[0] != steps[1]


@pytest.mark.parametrize("selection", ["{kind: power_of_choice, candidates: 6}", "oort"])
@pytest.mark.parametrize("strategy", ["fedavg", "fedbuff", "fedat"])
def test_losses_that_guided_the_selection_outlive_a_break(
    selection: str, strategy: str, tmp_path: Path
) -> None:
    faults = "clients.faults={crash: 0.2, corruption: {probability: 0.2}}"
    guided = [f"server={{selection: {selection}, guard: {{max_norm: 50}}}}", faults]
    scenario = small(strategy, *guided)
    run, breaks = run_in_pieces(scenario, tmp_path / "run", every(3))
    assert breaks >= 2
    assert_same(run, simulate(scenario))
    assert run.summary["rejected"]


def tasks_trained_from_now(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Client and task of each training, a list that grows."""
    trained: list[tuple[int, int]] = []
    real = LocalTrainer.train

    def train(self: Any, client: int, task: int, *rest: Any, **more: Any) -> Any:
        trained.append((client, task))
        return real(self, client, task, *rest, **more)

    monkeypatch.setattr(LocalTrainer, "train", train)
    return trained


def test_losses_that_guided_a_selection_are_not_trained_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = small("fedbuff", "server.selection=oort")
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=every(6))
    trained = tasks_trained_from_now(monkeypatch)
    run = resume(tmp_path / "run")
    used = run.events[run.events.kind == "aggregated"]
    before = used[used.version <= 6]
    assert len(before) >= 18
    assert not set(trained) & set(zip(before.client, before.task, strict=True))


def test_what_was_read_before_a_checkpoint_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scenario = small("fedbuff", f'strategy={{kind: "{__name__}:LossGuided"}}', "stop.updates=24")
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=every(7))
    trained = tasks_trained_from_now(monkeypatch)
    run = resume(tmp_path / "run")
    first = int((run.events.version < 7).sum())
    assert first > 0
    used = run.events[run.events.kind == "aggregated"]
    later = used[used.version > 7]
    assert trained == list(zip(later.client, later.task, strict=True))


def test_a_checkpoint_of_other_readings_is_refused(tmp_path: Path) -> None:
    scenario = small("fedbuff", f'strategy={{kind: "{__name__}:LossGuided"}}', "stop.updates=24")
    with pytest.raises(KeyboardInterrupt):
        simulate(scenario, tmp_path / "run", stop_wanted=every(4))
    place = tmp_path / "run" / "checkpoint"
    found = load_checkpoint(place)
    assert found is not None
    facts, tensors = found
    for readings in (facts["readings"][:-1], [*facts["readings"], facts["readings"][0]]):
        save_checkpoint(place, 4, {**facts, "readings": readings}, tensors)
        with pytest.raises(AflSimError, match="reads other results than before"):
            resume(tmp_path / "run")


def test_a_measurement_is_a_plain_value(tmp_path: Path) -> None:
    scenario = small("fedbuff", f'strategy={{kind: "{__name__}:MeasuresTensors"}}')
    with pytest.raises(StrategyError, match="measured a tensor; expected plain numbers"):
        simulate(scenario)


class MeasuresTensors(LossGuided):
    def schedule(self, server: Any) -> Iterator[Any]:
        (update,) = yield server.wait(server.dispatch_many([0]))
        server.measure(lambda updates: {"of": updates[0].delta}, [update])


def interrupted(folder: Path, *settings: str) -> Path:
    """A run that broke off at its sixth version, with checkpoints of the fifth and sixth."""
    with pytest.raises(KeyboardInterrupt):
        simulate(
            small("fedbuff", "execution.checkpoint_versions=1", *settings),
            folder,
            stop_wanted=every(6),
        )
    return folder


def test_an_interrupted_run_says_so_and_keeps_two_checkpoints(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    assert json.loads((folder / "summary.json").read_text())["status"] == "interrupted"
    assert sorted(entry.name for entry in (folder / "checkpoint").iterdir()) == ["5", "6"]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    latest = folder / "checkpoint" / "6"
    files = [latest / "facts.json", latest / "tensors.safetensors"]
    whole = {file: file.read_bytes() for file in files}
    rng = random.Random(1)
    for trial in range(50):
        file = files[trial % 2]
        content = bytearray(whole[file])
        if trial % 3:
            content = content[: rng.randrange(len(content) - 1)]  # the last line's end is no loss
        else:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        file.write_bytes(content)
        found = load_checkpoint(folder / "checkpoint")
        assert found is not None
        assert found[0]["version"] == 5, (trial, file.name)
        file.write_bytes(whole[file])
    files[1].write_bytes(whole[files[1]][:-7])
    assert_same(resume(folder), simulate(small()))


def test_what_a_killed_process_left_half_written_goes_with_the_next_checkpoint(
    tmp_path: Path,
) -> None:
    left = tmp_path / ".4.afl-sim-0123456789ab.tmp"
    left.mkdir()
    (left / "tensors.safetensors").write_bytes(b"half")
    save_checkpoint(tmp_path, 5, {"version": 5}, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["5"]


def test_while_a_run_is_resumed_its_folder_says_that_it_has_not_ended(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    seen: list[tuple[str, set[str]]] = []

    def look() -> bool:
        seen.append((load_run(folder).status, {entry.name for entry in folder.iterdir()}))
        return False

    resume(folder, stop_wanted=look)
    status, names = seen[0]
    assert status == "unfinished"
    kept = {"scenario.yaml", "manifest.json", "partition.parquet", "checkpoint"}
    (draft,) = names - kept - {".lock"}
    assert re.fullmatch(r"\.events\.parquet\.afl-sim-[0-9a-f]{12}\.tmp", draft)


def test_without_a_whole_checkpoint_a_run_begins_anew(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    for file in (folder / "checkpoint").rglob("*.json"):
        file.write_bytes(b"")
    assert_same(resume(folder), simulate(small()))


def test_a_timing_only_run_is_resumed_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(small(), tmp_path / "run", timing_only=True, stop_wanted=every(4))
    run = resume(tmp_path / "run")
    assert_same(run, simulate(small(), timing_only=True))


def test_a_finished_run_is_returned_as_it_is(tmp_path: Path) -> None:
    simulate(small(), tmp_path / "run", timing_only=True)
    before = (tmp_path / "run" / "summary.json").stat().st_mtime_ns
    assert resume(tmp_path / "run").status == "complete"
    assert (tmp_path / "run" / "summary.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(("what", "value"), [("numerics", {"class": "other"}), ("code", "other")])
def test_other_numerics_or_code_are_refused_unless_forced(
    what: str, value: Any, tmp_path: Path
) -> None:
    folder = interrupted(tmp_path / "run")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[what] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunFolderError, match=f"started with other {what}"):
        resume(folder)
    assert resume(folder, force=True).status == "complete"
    assert json.loads((folder / "manifest.json").read_text())["resumed"][-1]["forced"] is True


def changed(folder: Path, old: str, new: str, *, known: bool) -> None:
    """Change a run's scenario; older folders do not know which it was begun with."""
    text = (folder / "scenario.yaml").read_text()
    assert text.count(old) == 1
    (folder / "scenario.yaml").write_text(text.replace(old, new))
    manifest = json.loads((folder / "manifest.json").read_text())
    if not known:
        del manifest["scenario_id"]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_checkpoint_of_another_history_is_refused(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    changed(folder, "\nseed: 1\n", "\nseed: 2\n", known=False)
    with pytest.raises(AflSimError, match="replayed schedule differs"):
        resume(folder)


@pytest.mark.parametrize("known", [True, False])
def test_a_run_that_would_end_before_its_checkpoint_is_not_complete(
    known: bool, tmp_path: Path
) -> None:
    folder = interrupted(tmp_path / "run")
    changed(folder, "updates: 30,", "updates: 9,", known=known)
    with pytest.raises(AflSimError, match="replayed schedule differs"):
        resume(folder, force=known)
    run = load_run(folder)
    assert run.status == "failed"
    assert "replayed schedule differs" in run.summary["reason"]
    changed(folder, "updates: 9,", "updates: 30,", known=True)
    assert_same(resume(folder, force=known), simulate(small()))


def test_progress_is_that_of_versions_made_and_not_of_those_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "_LOOK_EVERY", 1e9)  # nothing between versions
    with pytest.raises(KeyboardInterrupt):
        simulate(small(), tmp_path / "run", stop_wanted=every(6))
    made: list[int] = []
    resume(tmp_path / "run", progress=lambda at: made.append(at.version))
    assert made == [7, 8, 9, 10]


def test_a_scenario_that_was_changed_is_refused_before_anything_is_touched(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    assert load_run(folder).manifest["scenario_id"] == scenario_id(small())
    changed(folder, "updates: 30,", "updates: 36,", known=True)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(RunFolderError, match="started with another scenario"):
        resume(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    longer = resume(folder, force=True)
    assert_same(longer, simulate(small("fedbuff", "stop.updates=36")))
    assert longer.manifest["resumed"][-1]["forced"] is True
    assert longer.manifest["scenario_id"] == scenario_id(small("fedbuff", "stop.updates=36"))


def test_a_run_that_another_process_has_ended_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = interrupted(tmp_path / "run")
    real, ended = RunFolder.locked, []

    def later(self: RunFolder) -> Any:
        if not ended:
            ended.append(True)
            ended.append(resume(folder).summary)
        return real(self)

    monkeypatch.setattr(RunFolder, "locked", later)
    files = resume(folder)
    assert files.summary == ended[1]
    assert len(files.manifest["resumed"]) == 1


def test_wall_times_count_from_the_first_beginning(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    found = load_checkpoint(folder / "checkpoint")
    assert found is not None
    facts, tensors = found
    spent = facts["wall_seconds"]
    assert set(spent) == {"total", "training", "evaluation", "waiting"}
    assert 0 < spent["training"] < spent["total"]
    before = {"total": 1000.0, "training": 600.0, "evaluation": 200.0, "waiting": 100.0}
    save_checkpoint(folder / "checkpoint", 6, {**facts, "wall_seconds": before}, tensors)
    with pytest.raises(KeyboardInterrupt):
        resume(folder, stop_wanted=every(2))
    broken_off = load_run(folder).summary["wall_seconds"]
    assert all(0 < broken_off[name] - before[name] < 100 for name in ("total", "training"))
    done = resume(folder).summary["wall_seconds"]
    assert 0 < done["training"] - broken_off["training"] < 100


def test_a_checkpoint_that_knows_no_wall_times_counts_from_there(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    found = load_checkpoint(folder / "checkpoint")
    assert found is not None
    facts, tensors = found
    del facts["wall_seconds"]
    save_checkpoint(folder / "checkpoint", 6, facts, tensors)
    assert resume(folder).summary["wall_seconds"]["total"] > 0


def test_two_processes_cannot_write_one_run_folder(tmp_path: Path) -> None:
    folder = interrupted(tmp_path / "run")
    with (
        RunFolder.open(folder).locked(),
        pytest.raises(RunFolderError, match="another process is writing"),
    ):
        resume(folder)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path, 1, {"version": 1}, {})

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("afl_sim.recording.checkpoint.write_bytes", full)
    with pytest.raises(AflSimError, match=r"cannot write a checkpoint.*the disk is full"):
        save_checkpoint(tmp_path, 2, {"version": 2}, {})
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[0]["version"] == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]
