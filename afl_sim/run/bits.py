"""Whether a run has portable bits, which are the same on every machine, or native ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from afl_sim.errors import ScenarioError
from afl_sim.portable.processor import shortfall
from afl_sim.run.kinds import is_built_in, model_spec, strategy_of
from afl_sim.run.task_checks import own_code
from afl_sim.scenario import Numerics, Scenario
from afl_sim.scenario.checks.numerics import only_native
from afl_sim.scenario.own_rules import rules_in


@dataclass(frozen=True)
class Bits:
    """The bits of a run.

    Attributes:
        portable: whether they are portable.
        reason: why they are not, although ``numerics.bits`` asks for portable ones or allows them;
            else None.
    """

    portable: bool
    reason: str | None = None


def effective_bits(scenario: Scenario) -> Bits:
    """The bits that a run of this scenario has on this machine.

    Models and strategies that come with the package are portable, but for torchvision's models.
    Other ones are tried, once in a process, and the answer is the same in each process. Workers get
    it with their recipe.
    """
    if scenario.numerics.bits == "native":
        return Bits(False)
    reason = _ruled_out(scenario)
    if reason is None:
        reason = _obstacle(scenario)
    return Bits(reason is None, reason)


def effective_numerics(scenario: Scenario) -> Numerics:
    """The section ``numerics`` with ``bits`` decided: portable or native."""
    bits = "portable" if effective_bits(scenario).portable else "native"
    return scenario.numerics.model_copy(update={"bits": bits})


def check_bits(scenario: Scenario) -> None:
    """Refuse a run that asks for portable bits and cannot have them.

    Raises:
        ScenarioError: that is so.
    """
    if scenario.numerics.bits != "portable":
        return
    reason = effective_bits(scenario).reason
    if reason is not None:
        raise ScenarioError(f"numerics.bits: got 'portable', but {reason}; expected native or auto")


def native_notes(scenarios: Sequence[Scenario], timing_only: bool = False) -> list[str]:
    """A line for each reason for which some of these runs have native bits, if they train."""
    if timing_only:
        return []
    reasons = dict.fromkeys(effective_bits(scenario).reason for scenario in scenarios)
    what = "the run uses native bits, which depend on the machine"
    return [f"{reason}; {what}" for reason in reasons if reason is not None]


def _ruled_out(scenario: Scenario) -> str | None:
    """Why the settings or the machine rule portable bits out; None if they do not."""
    found = only_native(scenario.numerics, scenario.training)
    if found is not None:
        return f"{found[0]} has no portable arithmetic"
    missing = shortfall()
    return None if missing is None else f"this machine has no portable arithmetic: {missing}"


def _obstacle(scenario: Scenario) -> str | None:
    """What in the user's own code is not portable; None if nothing is."""
    spec = model_spec(scenario.model.model_dump(by_alias=True))
    known = spec.portable and not spec.changed and is_built_in(strategy_of(scenario))
    if known and not own_code(scenario) and not any(rules_in(scenario)):
        return None
    from afl_sim.run.bits_trials import obstacle  # the door to PyTorch

    return obstacle(scenario)


def check_device(device: str) -> None:
    """Refuse a device that is missing, or that can no longer be made deterministic.

    Raises:
        ScenarioError: there is no GPU, or it was used before in a way that does not allow it.
    """
    if device != "cpu":
        from afl_sim.execution import numerics  # the door to PyTorch

        numerics.check_device(device)


def asked_class(scenario: Scenario) -> str:
    """The class of the numerics that a scenario asks for, as in the fingerprint of a run.

    It depends on the scenario alone, and not on the machine or on code of the user's.
    """
    numerics = scenario.numerics
    name = f"{numerics.mode}/{numerics.precision}/{numerics.device}"
    native = numerics.bits == "native" or only_native(numerics, scenario.training) is not None
    return name if native else f"{name}/portable"
