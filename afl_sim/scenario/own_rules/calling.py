"""What happens around a call of a user's own rule: one clear error for whatever goes wrong."""

from __future__ import annotations

from contextlib import AbstractContextManager

from afl_sim.errors import OwnRuleError
from afl_sim.scenario.own_rules.rule import Rule
from afl_sim.user_code import code_of, place_of


def code_of_rule(rule: Rule, noun: str, hook: str) -> AbstractContextManager[None]:
    """A block that calls a method of a rule.

    Raises:
        OwnRuleError: the method raised anything but an error of this package or a lack of memory.
    """
    return code_of(rule, hook, noun, OwnRuleError)


def refusal(rule: Rule, noun: str, hook: str, what: str) -> OwnRuleError:
    """The error for a method that gave back what cannot be used.

    Args:
        rule: the rule.
        noun: what it is, such as "selection".
        hook: the name of its method.
        what: what it gave back, and what was expected.
    """
    place = place_of(getattr(type(rule), hook, None))
    return OwnRuleError(f"{noun} {rule.kind}: {hook} {what}{place}")
