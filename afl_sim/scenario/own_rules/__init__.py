"""Rules of the user's own: found by ``package.module:name`` or by an entry point, and checked.

A kind of rule is a `RuleKind`. Each rule is a frozen subclass of `Rule`, or it is made of a pure
function. Its fields, or the function's other parameters, are the keys of its block in a scenario.
"""

from afl_sim.scenario.own_rules.block import OpenTo
from afl_sim.scenario.own_rules.finding import installed, load
from afl_sim.scenario.own_rules.kinds import RuleKind
from afl_sim.scenario.own_rules.rule import Rule, code_modules, is_own, rules_in

__all__ = ["OpenTo", "Rule", "RuleKind", "code_modules", "installed", "is_own", "load", "rules_in"]
