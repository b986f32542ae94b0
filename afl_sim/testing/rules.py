"""The checks for rules of a user's own: functions that raise `AssertionError` if a rule fails."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, Literal

import yaml

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import SampleForm
from afl_sim.run.rule_trials import answers_of, try_rule
from afl_sim.run.task_checks import trials_of
from afl_sim.scenario.own_rules import Rule
from afl_sim.scenario.sections.attack import ATTACKS, Attack
from afl_sim.scenario.sections.compression import COMPRESSORS
from afl_sim.scenario.sections.controllers import CONTROLLERS, Controller
from afl_sim.scenario.sections.losses import LOSS_RULES, Loss
from afl_sim.scenario.sections.metrics import METRIC_RULES, Metric
from afl_sim.scenario.sections.selection import SELECTIONS
from afl_sim.strategies.base import Strategy
from afl_sim.strategies.methods.fedbuff import FedBuff
from afl_sim.strategies.toolkit.staleness import STALENESS_WEIGHTS, StalenessWeight
from afl_sim.testing import checks
from afl_sim.testing.comparing import same
from afl_sim.testing.toy import Case
from afl_sim.user_code import told

RuleCheck = Callable[[Rule], None]
_KINDS = (
    *(SELECTIONS, STALENESS_WEIGHTS, CONTROLLERS, ATTACKS, COMPRESSORS, METRIC_RULES),
    LOSS_RULES,
)
_FORMS = (
    SampleForm((4,), 3),
    SampleForm((4,), 2, "number"),
    SampleForm((4,), 3, "several"),
)
"""Forms of labels that losses and metrics are tried on."""


def settings_are_frozen(rule: Rule) -> None:
    """No field can be changed, and nothing can be stored on the rule."""
    for name in type(rule).model_fields:
        assert checks.refuses(rule, name, getattr(rule, name)), f"{name} can be changed"
    assert checks.refuses(rule, "something_of_its_own", 1), "it can store things on itself"
    assert not rule.__private_attributes__, "it has private attributes, which can change"


def settings_survive_a_round_trip(rule: Rule) -> None:
    """Written as YAML and read again, and pickled, it is an equal rule."""
    text = yaml.safe_dump(rule.model_dump(mode="json"))
    again = type(rule).model_validate(yaml.safe_load(text))
    assert again == rule, f"{again!r} is not {rule!r}"
    assert pickle.loads(pickle.dumps(rule)) == rule, "it cannot be pickled"


def small_inputs_have_answers(rule: Rule) -> None:
    """With small inputs it gives what it should: the right shape and type, finite numbers."""
    if isinstance(rule, Loss | Metric):
        _answers_of_task(rule)
    try_rule(rule)


def answers_depend_on_the_arguments_alone(rule: Rule) -> None:
    """A copy that was never called before gives the same answers, in any order of the calls."""
    twin = pickle.loads(pickle.dumps(rule))
    if isinstance(rule, Loss | Metric):
        first = _answers_of_task(rule)
        assert _answers_of_task(twin) == first, "a copy gives other answers"
        assert _answers_of_task(rule) == first, "its answers depend on earlier calls"
        return
    first = answers_of(rule)
    assert same(answers_of(twin), first), "a copy gives other answers"
    assert same(answers_of(rule, backwards=True), first), "its answers depend on earlier calls"


def timing_alone_gives_the_same_schedule(rule: Rule) -> None:
    """Without training the schedule is the same, or is refused because it reads results.

    No schedule depends on a metric or a loss.
    """
    if isinstance(rule, Loss | Metric):
        return
    checks.timing_alone_gives_the_same_schedule(_case(rule))


def worker_processes_give_the_same_bits(rule: Rule) -> None:
    """Two worker processes give the same model as one process.

    A metric or a loss gives the same answers in another process.
    """
    if isinstance(rule, Loss | Metric):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            there = pool.submit(_answers_of_task, rule).result()
        assert there == _answers_of_task(rule), "another process gives other answers"
        return
    checks.worker_processes_give_the_same_bits(_case(rule))


def a_run_goes_on_from_any_snapshot(rule: Rule) -> None:
    """Interrupted and resumed at any version, a run gives the same bits.

    No snapshot holds anything of a metric or a loss.
    """
    if isinstance(rule, Loss | Metric):
        return
    checks.a_run_goes_on_from_any_snapshot(_case(rule))


RULE_CHECKS: Mapping[str, RuleCheck] = {
    check.__name__: check
    for check in (
        settings_are_frozen,
        settings_survive_a_round_trip,
        small_inputs_have_answers,
        answers_depend_on_the_arguments_alone,
        timing_alone_gives_the_same_schedule,
        worker_processes_give_the_same_bits,
        a_run_goes_on_from_any_snapshot,
    )
}
"""Every check of rules by its name."""


def rule_of(
    kind: Literal[
        "selection", "staleness weight", "controller", "attack", "compressor", "metric", "loss"
    ],
    name: str,
    **settings: Any,
) -> Rule:
    """A rule, as a scenario would make it.

    Args:
        kind: what it is.
        name: ``package.module:name``, or the name of an entry point.
        settings: its keys.

    Raises:
        ScenarioError: there is no such rule.
        ValidationError: a setting is wrong.
    """
    kinds = {each.noun: each for each in _KINDS}
    found = kinds[kind].find(name)
    if found is None:
        raise ScenarioError(f"there is no {kind} {name!r} among the installed packages")
    return found.model_validate({"kind": name, **settings})


def _answers_of_task(rule: Loss | Metric) -> list[bytes]:
    """What a loss or a metric gives for the first form of labels that it can deal with."""
    problems = []
    for form in _FORMS:
        try:
            return [call() for call in trials_of(rule, form, one=True)]
        except Exception as error:  # whatever it raises for labels that it is not made for
            problems.append(f"{form.labels}: {told(error)}")
    raise AssertionError(f"it fails on all forms of labels: {'; '.join(problems)}")


def _case(rule: Rule) -> Case:
    """A toy run that follows the rule."""
    settings: dict[str, Any] = {"concurrency": 4, "buffer_size": 2}
    if isinstance(rule, StalenessWeight):
        settings["staleness"] = rule
    strategy: Strategy = FedBuff(**settings)
    if isinstance(rule, Controller):  # a toy run is short
        return Case(
            strategy, clients=10, rule=rule.model_copy(update={"every": min(rule.every or 3, 3)})
        )
    named = (rule.clients or ()) if isinstance(rule, Attack) else ()
    return Case(strategy, clients=max([6, *(client + 1 for client in named)]), rule=rule)
