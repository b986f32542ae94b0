"""Calls of a user's own rule that gives a vector: it is pure, and its vector can be used."""

from __future__ import annotations

from afl_sim.errors import NotPortable, OwnRuleError
from afl_sim.lazy import Tensor, torch
from afl_sim.portable.block import ADVICE
from afl_sim.scenario.own_rules import Rule, RuleKind
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal


class NotPortableRule(OwnRuleError):
    """A rule uses an operation that portable arithmetic does not have."""


def called(rule: Rule, kind: RuleKind, *values: object) -> Tensor:
    """The vector that a rule makes of vectors, checked.

    Args:
        rule: the rule.
        kind: its kind; its ``hook`` is called.
        values: what the hook is called with. The first is a tensor of shape (P,), float32.

    Returns:
        A tensor like the first value, without a gradient. It may have values that are not finite.

    Raises:
        OwnRuleError: the rule raised an exception, changed a tensor that it was given, uses an
            operation that the run's arithmetic does not have, or gave no such vector.
    """
    like = values[0]
    assert isinstance(like, torch.Tensor)
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    before = [tensor._version for tensor in tensors]
    try:
        with code_of_rule(rule, kind.noun, kind.hook), torch.no_grad():
            found = getattr(rule, kind.hook)(*values)
    except NotPortable as error:
        raise NotPortableRule(
            f"{kind.noun} {rule.kind}: {kind.hook} uses {error}; {ADVICE}"
        ) from None
    if [tensor._version for tensor in tensors] != before:
        what = "changed a tensor that it was given; expected a new tensor"
        raise refusal(rule, kind.noun, kind.hook, what)
    wanted = f"expected a tensor of float32, shape ({len(like)},)"
    if not isinstance(found, torch.Tensor):
        what = f"returned a {type(found).__name__}; {wanted}"
        raise refusal(rule, kind.noun, kind.hook, what)
    if found.shape != like.shape or found.dtype != like.dtype or found.device != like.device:
        where = "" if found.device == like.device else f" on {found.device}"
        what = f"returned {found.dtype} of shape {tuple(found.shape)}{where}; {wanted}"
        raise refusal(rule, kind.noun, kind.hook, what)
    return found.detach()
