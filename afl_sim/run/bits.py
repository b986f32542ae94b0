"""Whether a run has portable bits, which are the same on every machine, or native ones."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.portable.processor import shortfall
from afl_sim.scenario import Numerics, Scenario
from afl_sim.scenario.checks.combinations import only_native


@dataclass(frozen=True)
class Bits:
    """The bits of a run.

    Attributes:
        portable: whether they are portable.
        reason: why they are native although ``numerics.bits`` would allow portable ones; else None.
    """

    portable: bool
    reason: str | None = None


def effective_bits(scenario: Scenario) -> Bits:
    """The bits that a run of this scenario has in this process.

    They are the same in all processes of a run: a worker gets them with its recipe.
    """
    if scenario.numerics.bits == "native":
        return Bits(False)
    found = only_native(scenario.numerics)
    if found is not None:
        return Bits(False, f"{found[0]} has no portable arithmetic")
    missing = shortfall()
    if missing is not None:
        return Bits(False, f"this machine has no portable arithmetic: {missing}")
    return Bits(True)


def effective_numerics(scenario: Scenario) -> Numerics:
    """The section ``numerics`` with ``bits`` decided: portable or native."""
    bits = "portable" if effective_bits(scenario).portable else "native"
    return scenario.numerics.model_copy(update={"bits": bits})
