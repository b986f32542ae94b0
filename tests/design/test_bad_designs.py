"""Designs that cannot be solved: one line each, with the place and what to do."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from designs import BASE, SMALL, design

from afl_sim.design.proposals import import_optuna
from afl_sim.design.reading import read_problem
from afl_sim.design.solving import Options, solve
from afl_sim.errors import InputError, ScenarioError

ORIGIN = {"settings": [], "seed": None}


def message(text: str, *settings: str, folder: Path | None = None) -> str:
    """The lines of the error of a design that trains nothing."""
    options = Options(folder or Path("never-made"), timing_only=True)
    with pytest.raises(ScenarioError) as caught:
        solve(read_problem(text, settings), options, ORIGIN)
    assert caught.value.exit_code == 2
    return str(caught.value)


VARY = "    strategy: [{kind: fedbuff, concurrency: {choices: [2, 4]}}]\n"
ACCURATE = "  seeds: 2\n  budget: {share: 1.0}\n  constraints: final_accuracy >= 0.99\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BASE, "there is no design; expected a block design: {vary: {...}, minimize:"),
        (SMALL + "sweep: {seed: [1, 2]}\n", "sweep: a design varies settings by itself"),
        (
            BASE + design("    training.epocs: [1, 2]\n"),
            "training.epocs: unknown key; expected one of epochs",
        ),
        (BASE + design("    training.epocs: [1, 2]\n"), "did you mean 'epochs'?"),
        (BASE + design("    trainig.epochs: [1, 2]\n"), "did you mean 'training'?"),
        (
            BASE + design("    strategy: [{kind: fedbuff, concurency: {integers: [1, 2]}}]\n"),
            "concurency: unknown key",
        ),
        (BASE + design("    strategy: [fedbuf]\n"), "did you mean 'fedbuff'?"),
        (BASE + design("    stop.updates: [5, 6]\n"), "design.vary.stop.updates: cannot vary"),
        (
            BASE + design("    training.optimizer.lr: {numbers: [-1, 1]}\n"),
            "SGD refuses these arguments: Invalid learning rate: -1.0",
        ),
        (
            BASE + design(VARY, "{time_to_f1: 0.9}"),
            "time_to_f1 needs f1, which is never evaluated; this scenario measures accuracy",
        ),
        (
            BASE + design(VARY, "{time_to_acuracy: 0.9}"),
            "did you mean 'accuracy'?",
        ),
        (
            BASE.replace("{every_versions: 1, samples: 200}", "{samples: 200}") + design(VARY),
            "the model is evaluated only at the start and at the end; expected "
            "evaluation.every_seconds or every_versions",
        ),
        (
            BASE.replace("every_versions: 1", "every_seconds: 8") + design(VARY),
            "the model is evaluated only at the start and at the end; expected "
            "evaluation.every_seconds or every_versions, below the end in stop",
        ),
        (
            BASE.replace("every_versions: 1", "every_versions: 9").replace(
                "virtual_seconds: 8", "virtual_seconds: 8, versions: 9"
            )
            + design(VARY),
            "the model is evaluated only at the start and at the end",
        ),
        (
            BASE.replace("virtual_seconds: 8", "accuracy: 0.7") + design(VARY),
            "stop: a candidate that never reaches a metric would never end",
        ),
        (
            BASE.replace("virtual_seconds: 8", "virtual_seconds: 8, accuracy: 0.5") + design(VARY),
            "design.minimize: the target is 0.7, but runs stop at accuracy 0.5",
        ),
        (
            BASE + design(VARY, "{time_to_accuracy: 95}"),
            "design.minimize: the target is 95; expected an accuracy above 0, at most 1; did you "
            "mean 0.95?",
        ),
        (
            BASE + design(VARY, "{energy_to_accuracy: 0.9}"),
            "this scenario does not count what energy_to_accuracy needs; expected clients.power",
        ),
        (
            BASE + design(VARY, more="  constraints: bytes >= 100\n"),
            "design.constraints: bytes >= 100: bytes is a cost, so only <= can be asked for",
        ),
        (
            BASE + design(VARY, more="  constraints: worst_decile_accuracy >= 0.5\n"),
            "worst_decile_accuracy is never measured; expected evaluation.per_client: true",
        ),
        (
            BASE + design(VARY, more="  constraints: final_accuracy >= 75\n"),
            "design.constraints: final_accuracy >= 75: got 75; expected a share from 0 to 1; did "
            "you mean 0.75?",
        ),
        (
            BASE + design(VARY, more="  constraints: idle_fraction <= 20\n"),
            "idle_fraction <= 20: got 20; expected a share from 0 to 1; did you mean 0.2?",
        ),
        (
            BASE.replace("{partition", "{dataset: {kind: files, train: DATA}, partition")
            .replace("model: logistic", "model: {kind: mlp, hidden: [4]}")
            .replace("epochs: 1,", "epochs: 1, loss: mse,")
            .replace("samples: 200}", "targets: {rmse: [1.0]}}")
            .replace("samples: 40", "samples: 5")
            + design(VARY, "{time_to_rmse: 0.5}", more="  constraints: final_accuracy >= 0.5\n"),
            "design.constraints: final_accuracy >= 0.5: accuracy is never evaluated; this scenario "
            "measures rmse, mae, r2",
        ),
        (
            BASE
            + design("    strategy: [{kind: fedavg, clients_per_round: {choices: [9, 10]}}]\n"),
            "design.vary: no candidate can be run: strategy.clients_per_round",
        ),
    ],
)
def test_one_line_says_what_is_wrong(text: str, told: str, tmp_path: Path) -> None:
    numbers = np.linspace(0, 3, 400, dtype=np.float32)
    np.savez(tmp_path / "numbers.npz", inputs=numbers.reshape(100, 4), labels=numbers[:100])
    whole = text.replace("train: DATA", f"train: {tmp_path / 'numbers.npz'}, test_share: 0.2")
    found = message(whole, folder=tmp_path / "design")
    assert told in found
    assert "\n" not in found
    assert found.startswith("<text>:")
    assert not (tmp_path / "design").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            BASE + design(VARY, more="  budget: {samples: 300}\n"),
            "design.budget: this is 300 samples, but a run to its end takes at least 1,200 "
            "(fedbuff concurrency=2); expected more, to compare several candidates",
        ),
        (
            BASE + design(VARY, more="  budget: {share: 0.0001}\n"),
            "design.budget: this is 2 samples, but a run to its end takes at least 1,200",
        ),
        (
            BASE + design(VARY, "{time_to_accuracy: 0.01}"),
            "design.minimize: 1 % is reached before anything is trained; expected a harder one",
        ),
        (
            BASE + design(VARY, more=ACCURATE),
            "design.constraints: none of the 2 candidates that were compared keeps "
            "final_accuracy >= 0.99 with every seed; the nearest that broke it is 0.7",
        ),
    ],
)
def test_what_only_training_or_schedules_tell_is_one_line_too(
    text: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ScenarioError) as caught:
        solve(read_problem(text), Options(tmp_path / "design"), ORIGIN)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_constraints_that_no_candidate_keeps_the_binding_one_is_named() -> None:
    vary = "    strategy: [{kind: fedbuff, concurrency: {choices: [4, 8]}, buffer_size: 2}]\n"
    limits = "  constraints: [max_staleness <= 0, idle_fraction <= 0.9]\n"
    found = message(BASE + design(vary, more=limits))
    assert "design.constraints: no candidate keeps max_staleness <= 0; the nearest is " in found
    assert "(fedbuff concurrency=4)" in found
    assert "idle_fraction" not in found


def test_constraints_may_bind_only_together() -> None:
    vary = (
        "    strategy:\n"
        "      - {kind: fedavg, clients_per_round: 8}\n"
        "      - {kind: fedasync, concurrency: 8}\n"
    )
    limits = "  constraints: [max_staleness <= 0, idle_fraction <= 0.05]\n"
    found = message(BASE + design(vary, more=limits))
    assert "is kept by some candidate, but no candidate keeps all of them" in found


def test_settings_that_do_not_go_together_leave_the_others(tmp_path: Path) -> None:
    vary = "    strategy: [{kind: fedavg, clients_per_round: {choices: [4, 10]}}]\n"
    lines: list[str] = []
    options = Options(tmp_path / "design", timing_only=True, say=lines.append)
    found = solve(read_problem(BASE + design(vary)), options, ORIGIN)
    assert [each["fate"] for each in found.index["candidates"]] == ["open", "invalid"]
    assert "1: settings that do not go together, such as fedavg m=10" in lines[1]


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"the extra \[design\] installs it"):
        import_optuna()
