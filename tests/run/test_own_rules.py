"""Rules of a user's own in whole runs: tried before, a part of the identity, the same anywhere."""

from __future__ import annotations

import inspect
from pathlib import Path

import own_rules
import pytest
from places import SMALLEST
from run_checks import digests, every

from afl_sim.errors import OwnRuleError, ScenarioError
from afl_sim.execution.code_digest import code_digest
from afl_sim.recording import Run
from afl_sim.run.api import load_scenario, resume, simulate
from afl_sim.run.bits import effective_bits
from afl_sim.run.rule_trials import check_rules
from afl_sim.run.validation import check_study
from afl_sim.scenario import Scenario

SELECTION = "server.selection"
UPLOAD = "training.compression.upload"
DOWNLOAD = "training.compression.download"
ATTACK = "clients.attack"
WEIGHT = "strategy.staleness"
ALL = {
    SELECTION: "{kind: 'own_rules:Lossy'}",
    UPLOAD: "{kind: 'own_rules:Dithered', error_feedback: true}",
    DOWNLOAD: "'own_rules:Dithered'",
    ATTACK: "{kind: 'own_rules:shrinking', share: 0.3, factor: -0.5}",
    WEIGHT: "{kind: 'own_rules:halving', every: 1}",
}


def small(*settings: str, updates: int = 12) -> Scenario:
    chosen = [f"stop.updates={updates}", "evaluation.samples=50", *settings]
    return load_scenario(SMALLEST, chosen)


def with_all(*more: str) -> Scenario:
    return small(*(f"{key}={value}" for key, value in ALL.items()), *more)


@pytest.fixture(scope="module")
def inline() -> Run:
    return simulate(with_all())


def test_each_rule_changes_the_numbers_and_only_a_selection_or_a_size_the_schedule() -> None:
    plain = simulate(small())
    for key, value in ALL.items():
        found = simulate(small(f"{key}={value}"))
        assert digests(found)[1] != digests(plain)[1], key
        same_schedule = digests(found)[0] == digests(plain)[0]
        assert same_schedule == (key != SELECTION), key


def test_worker_processes_give_the_same_bits(inline: Run) -> None:
    pooled = simulate(with_all("execution.executor=processes", "execution.workers=2"))
    assert digests(pooled) == digests(inline)


def test_a_run_in_pieces_is_the_run_in_one(inline: Run, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        simulate(with_all(), tmp_path / "run", stop_wanted=every(2))
    assert digests(resume(tmp_path / "run")) == digests(inline)


def test_batched_training_uses_them_as_well() -> None:
    found = [simulate(with_all("numerics.mode=batched")) for _ in range(2)]
    assert digests(found[0]) == digests(found[1])
    honest = simulate(small("numerics.mode=batched"))
    assert digests(found[0])[1] != digests(honest)[1]


def test_a_schedule_that_reads_no_results_is_the_same_without_training() -> None:
    scenario = small(f"{SELECTION}=own_rules:nearest", f"{UPLOAD}=own_rules:Signs")
    timed = simulate(scenario, timing_only=True)
    assert timed.summary["schedule_digest"] == simulate(scenario).summary["schedule_digest"]


def test_a_selection_that_reads_results_is_refused_without_training() -> None:
    with pytest.raises(ScenarioError, match="own_rules:Lossy selects by training loss"):
        check_study(SMALLEST, [f"{SELECTION}=own_rules:Lossy"], timing_only=True)
    with pytest.raises(ScenarioError, match="own_rules:Lossy reads training results"):
        simulate(small(f"{SELECTION}=own_rules:Lossy"), timing_only=True)


def test_the_bytes_of_an_own_compressor_travel() -> None:
    slow = "clients.network={upload: {bandwidth: 1000}}"
    plain, signs = (
        simulate(small(slow, f"{UPLOAD}={kind}"), timing_only=True)
        for kind in ("none", "own_rules:Signs")
    )
    sent = [
        int(run.events[run.events.kind == "arrived"]["bytes"].iloc[0]) for run in (plain, signs)
    ]
    assert sent[1] == -(-sent[0] // 4 // 8) + 4
    assert signs.summary["virtual_seconds"] < plain.summary["virtual_seconds"]


FAULTS = [
    (SELECTION, "peeks", "reads losses; expected reads_results: ClassVar[bool] = True"),
    (SELECTION, "repeats", "returned a client twice; expected different clients"),
    (SELECTION, "strays", "returned client 1000000, which is no candidate"),
    (SELECTION, "chooses_few", "returned 0 clients; expected 1"),
    (SELECTION, "chooses_words", "returned a str; expected 1 whole numbers"),
    (SELECTION, "chooses_by_luck", "gave different results for equal calls"),
    (SELECTION, "writes", "raised ValueError: assignment destination is read-only"),
    (WEIGHT, "below_zero", "for a staleness of 101; expected a finite number, 0 or more"),
    (WEIGHT, "divides", "raised ZeroDivisionError: float division by zero"),
    (WEIGHT, "in_tensors", "returned a Tensor; expected a number"),
    (UPLOAD, "InPlace", "changed a tensor that it was given"),
    (UPLOAD, "ByNumPy", "changed a tensor that it was given"),
    (DOWNLOAD, "Doubles", "returned torch.float64 of shape (10,); expected a tensor of float32"),
    (UPLOAD, "Shortens", "returned torch.float32 of shape (9,)"),
    (UPLOAD, "Normalizes", "returned nan; expected finite numbers"),
    (UPLOAD, "HalfBytes", "returned 1.25 for 10 parameters; expected a whole number of bytes"),
    (ATTACK, "returns_nothing", "returned a NoneType; expected a tensor of float32, shape (10,)"),
]


@pytest.mark.parametrize(("key", "name", "told"), FAULTS)
def test_a_faulty_rule_is_one_line_with_its_key_and_its_place_before_the_run(
    key: str, name: str, told: str
) -> None:
    who = ", share: 0.3" if key == ATTACK else ""
    scenario = small(f"{key}={{kind: 'own_rules:{name}'{who}}}")
    with pytest.raises(ScenarioError) as caught:
        check_rules(scenario)
    message = str(caught.value)
    assert message.startswith(f"{key}: ")
    assert told in message
    assert "\n" not in message
    lines, first = inspect.getsourcelines(getattr(own_rules, name))
    line = int(message.rsplit(":", 1)[1].rstrip(")"))
    assert f"{own_rules.__file__}:" in message
    assert first <= line <= first + len(lines)


def test_validation_names_the_line_of_the_scenario_too(tmp_path: Path) -> None:
    lines = SMALLEST.read_text().splitlines()
    lines.append("server: {selection: {kind: 'own_rules:repeats'}}")
    (tmp_path / "wrong.yaml").write_text("\n".join(lines))
    with pytest.raises(ScenarioError, match=rf"wrong.yaml:{len(lines)}: server.selection: sel"):
        check_study(tmp_path / "wrong.yaml")


def test_a_run_with_a_faulty_rule_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="returned a client twice"):
        simulate(small(f"{SELECTION}=own_rules:repeats"), tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "rule", "told"),
    [
        (UPLOAD, "{kind: 'own_rules:Paired'}", "compress raised RuntimeError: shape '[-1, 2]'"),
        (DOWNLOAD, "{kind: 'own_rules:OfRoundNumbers'}", "size returned -"),
        (ATTACK, "{kind: 'own_rules:of_ten', share: 0.2}", "attack raised RuntimeError"),
    ],
)
def test_a_rule_that_fails_on_the_model_of_the_run_is_told_before_it_begins(
    key: str, rule: str, told: str, tmp_path: Path
) -> None:
    own = ["model={kind: 'own_rules:odd'}", f"{key}={rule}"]
    with pytest.raises(ScenarioError, match=rf"^{key}: ") as caught:
        simulate(small(*own), tmp_path / "run")
    assert told in str(caught.value)
    with pytest.raises(ScenarioError, match=rf"{key}: "):
        check_study(SMALLEST, own)
    assert list(tmp_path.iterdir()) == []


def test_a_mean_round_trip_that_does_not_exist_is_told_before_the_run() -> None:
    heavy = "clients.network={upload: {latency: {dist: pareto, b: 0.9, allow_heavy_tail: true}}}"
    jitter = "clients.compute.jitter={dist: pareto, b: 0.9, allow_heavy_tail: true}"
    assert check_study(SMALLEST, [f"{SELECTION}=own_rules:nearest", heavy], timing_only=True)
    with pytest.raises(
        ScenarioError, match=r"reads expected_seconds, but clients\.compute\.jitter "
    ):
        check_study(SMALLEST, [f"{SELECTION}=own_rules:nearest", jitter])
    check_study(SMALLEST, [f"{SELECTION}=own_rules:Lossy", jitter])


def test_wrong_labels_and_shared_samples_are_refused_before_training(tmp_path: Path) -> None:
    who = "share: 0.3}"
    with pytest.raises(ScenarioError, match=r"^clients.attack: attack own_rules:NoLabel: poison "):
        simulate(small(f"{ATTACK}={{kind: 'own_rules:NoLabel', {who}"), tmp_path / "run")
    shared = "data.partition={kind: iid, samples: 6000, replacement: true}"
    settings = [f"{ATTACK}={{kind: label_flip, {who}", shared]
    with pytest.raises(ScenarioError, match="has samples of an attacker"):
        simulate(small(*settings), tmp_path / "run")
    with pytest.raises(ScenarioError, match="has samples of an attacker"):
        check_study(SMALLEST, settings)
    assert list(tmp_path.iterdir()) == []


def test_labels_of_attackers_are_false_for_training_alone() -> None:
    every_client = "clients: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}"
    kinds = ("label_flip, ", "own_rules:NextLabel, ")
    flipped = [small(f"{ATTACK}={{kind: {kind}{every_client}", updates=40) for kind in kinds]
    accuracies = [simulate(each).summary["final"]["accuracy"] for each in (small(), *flipped)]
    assert accuracies[0] > 2 * max(accuracies[1:])


@pytest.mark.parametrize(
    ("key", "portable"), [("Signs", True), ("Fourier", False), ("Dithered", True)]
)
def test_bits_are_portable_if_the_rule_allows_it(key: str, portable: bool) -> None:
    scenario = small(f"{UPLOAD}=own_rules:{key}")
    found = effective_bits(scenario)
    assert found.portable == portable
    if not portable:
        assert found.reason is not None
        assert found.reason.startswith(f"{UPLOAD}: compressor own_rules:Fourier: compress uses ")
        with pytest.raises(ScenarioError, match="compress uses"):
            simulate(small(f"{UPLOAD}=own_rules:{key}", "numerics.bits=portable"))


def test_a_weight_without_portable_arithmetic_makes_the_bits_native() -> None:
    found = effective_bits(small(f"{WEIGHT}=own_rules:spectral"))
    assert not found.portable
    assert (found.reason or "").startswith(f"{WEIGHT}: own_rules:spectral uses ")


def test_the_code_of_a_rule_is_a_part_of_the_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weighing.py"
    file.write_text("def one(staleness):\n    return 1.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    scenario = small(f"{WEIGHT}=weighing:one")
    before = code_digest(scenario)
    assert before != code_digest(small())
    file.write_text(file.read_text() + "# changed\n")
    assert code_digest(scenario) != before


def test_a_fault_that_only_a_run_shows_ends_it_with_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late.py").write_text(
        "def late(n, candidates, draws):\n"
        "    return candidates.clients[:n] if candidates.choice < 5 else [0, 0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OwnRuleError, match=r"selection late:late: choose returned 2 clients; .*:1"):
        simulate(small(f"{SELECTION}=late:late"), timing_only=True)
