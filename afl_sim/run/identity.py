"""What the bits of a result depend on: the scenario, its data, the code and the numerics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afl_sim.execution.code_digest import code_digest
from afl_sim.learning.data.content import data_digest
from afl_sim.machine import instruction_set
from afl_sim.recording.fingerprints import numerics_differences
from afl_sim.run.bits import asked_class, effective_numerics
from afl_sim.scenario import Scenario, scenario_id


@dataclass(frozen=True)
class Identity:
    """The identity of a run that is made here and now.

    Attributes:
        numerics: the fingerprint of this machine's arithmetic.
        code: the digest of the code that makes the run.
        scenario: the scenario's identity.
        data: the digest of the user's own data; None if the data is not the user's.
    """

    numerics: Mapping[str, Any]
    code: str
    scenario: str
    data: str | None = None

    def differences(self, manifest: Mapping[str, Any], timing_only: bool) -> dict[str, str]:
        """What differs from a run with this manifest: the values, under "numerics", and so on.

        Args:
            manifest: the content of the run's ``manifest.json``.
            timing_only: whether it trains nothing: its schedule is the same in all numerics.
        """
        found = {
            "numerics": numerics_differences(manifest.get("numerics"), self.numerics),
            "code": _unlike(manifest.get("code"), self.code),
            "scenario": _unlike(manifest.get("scenario_id", self.scenario), self.scenario),
            "data": _unlike(manifest.get("data", self.data), self.data),
        }
        if timing_only:
            del found["numerics"]
        return {what: values for what, values in found.items() if values}


def identity_of(scenario: Scenario, timing_only: bool = False) -> Identity:
    """The identity of a scenario's run, if it is made here and now.

    Args:
        scenario: the run's.
        timing_only: whether it trains nothing.

    Raises:
        InputError: the user's own data is missing.
    """
    numerics = numerics_of(scenario, timing_only)
    data = data_digest(scenario.data)
    return Identity(numerics, code_digest(scenario), scenario_id(scenario), data)


def numerics_of(scenario: Scenario, timing_only: bool) -> dict[str, Any]:
    """The fingerprint of a run's arithmetic; of a run that trains nothing, only the class."""
    if timing_only:
        return {"class": asked_class(scenario)}
    from afl_sim.execution.numerics import fingerprint  # the door to PyTorch

    return fingerprint(effective_numerics(scenario))


def processor(timing_only: bool) -> str | None:
    """The instruction set of this machine's processor, as PyTorch names it."""
    if timing_only:
        return instruction_set()
    from afl_sim.execution.arithmetic import cpu_capability  # the door to PyTorch

    return cpu_capability()


def _unlike(then: object, now: object) -> str:
    return "" if then == now else f"{then}, here {now}"
