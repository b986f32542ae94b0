"""The checks for rules of a user's own: sound ones pass, and each flaw is found by name."""

from __future__ import annotations

from typing import Any

import own_rules
import pytest
from own_rules import Counts, Lossy, Signs
from pydantic import ConfigDict, PrivateAttr

import afl_sim.testing
from afl_sim.errors import AflSimError, ScenarioError
from afl_sim.scenario.own_rules import Rule
from afl_sim.testing import RULE_CHECKS, check_rule, rule_of

SOUND = [
    Lossy(),
    rule_of("selection", "own_rules:nearest", slack=0.5),
    rule_of("staleness weight", "own_rules:halving", every=1),
    rule_of("controller", "own_rules:to_and_fro", every=2),
    Counts(),
    rule_of("attack", "own_rules:shrinking", share=0.3),
    rule_of("attack", "own_rules:NextLabel", clients=[7]),
    rule_of("compressor", "own_rules:Dithered", error_feedback=True),
    rule_of("metric", "own_rules:within", limit=2.0, better="higher"),
    rule_of("loss", "own_rules:absolute", weight=0.5),
]


class Remembers(Signs):
    """Counts its calls in a place of its own."""

    _calls: int = PrivateAttr(0)

    def compress(self, vector: Any, draws: Any) -> Any:
        self._calls += 1
        return super().compress(vector, draws) * self._calls


class Mutable(Signs):
    """Its settings can be changed."""

    model_config = ConfigDict(frozen=False)


@pytest.mark.parametrize("rule", SOUND, ids=lambda rule: rule.kind)
@pytest.mark.parametrize("check", RULE_CHECKS)
def test_a_sound_rule_passes(rule: Rule, check: str) -> None:
    RULE_CHECKS[check](rule)


@pytest.mark.parametrize(
    ("rule", "check"),
    [
        (Remembers(), "settings_are_frozen"),
        (Mutable(), "settings_are_frozen"),
        (Remembers(), "small_inputs_have_answers"),
        (own_rules.InPlace(), "small_inputs_have_answers"),
        (own_rules.InPlace(), "a_run_goes_on_from_any_snapshot"),
        (
            rule_of("selection", "own_rules:chooses_by_luck"),
            "answers_depend_on_the_arguments_alone",
        ),
        (rule_of("controller", "own_rules:by_luck"), "small_inputs_have_answers"),
        (rule_of("controller", "own_rules:half_a_client"), "small_inputs_have_answers"),
        (rule_of("staleness weight", "own_rules:below_zero"), "small_inputs_have_answers"),
        (rule_of("metric", "own_rules:counted"), "answers_depend_on_the_arguments_alone"),
        (rule_of("metric", "own_rules:counted"), "worker_processes_give_the_same_bits"),
        (rule_of("loss", "own_rules:spoils"), "answers_depend_on_the_arguments_alone"),
        (rule_of("loss", "own_rules:within"), "small_inputs_have_answers"),
    ],
)
def test_a_flaw_is_found(rule: Rule, check: str) -> None:
    with pytest.raises((AssertionError, AflSimError)):
        RULE_CHECKS[check](rule)


def test_all_flaws_are_named_together(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ("settings_are_frozen", "small_inputs_have_answers")
    checks = {name: RULE_CHECKS[name] for name in chosen}
    monkeypatch.setattr(afl_sim.testing, "RULE_CHECKS", checks)
    with pytest.raises(AssertionError) as caught:
        check_rule(Remembers())
    first, *others = str(caught.value).splitlines()
    assert first.endswith(":Remembers:")
    assert [line.partition(":")[0] for line in others] == list(chosen)


def test_a_rule_that_is_not_there_is_an_error_that_names_it() -> None:
    with pytest.raises(ScenarioError, match="no attack 'elsewhere' among the installed packages"):
        rule_of("attack", "elsewhere", share=0.1)
