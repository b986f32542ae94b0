"""Named powers of devices, and named energies of networks, with where they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.units import MEASURED
from afl_sim.scenario.wording import hint, show

PRESET: Final = "preset"


@dataclass(frozen=True)
class Preset:
    """Published numbers.

    Attributes:
        values: by key, in watts or in joules per byte. A key that is not there has to be given.
        what: what they are.
        source: where they were published.
        unconfirmed: what of it could not be looked up in the source; empty if all was.
    """

    values: Mapping[str, float]
    what: str
    source: str
    unconfirmed: str = ""

    @property
    def described(self) -> str:
        """In one line: the numbers, what they are and where they are from."""
        numbers = ", ".join(f"{key} {value:g}" for key, value in self.values.items())
        doubt = f" Unconfirmed: {self.unconfirmed}." if self.unconfirmed else ""
        return f"{numbers}; {self.what}. {self.source}.{doubt}"


_AUTOFL: Final = 'Kim and Wu, "AutoFL", MICRO 2021 (arXiv 2107.08147), table of devices'
_FREERUNNER: Final = "idle: Carroll and Heiser, USENIX ATC 2010, a phone that is suspended"
_LTE: Final = (
    'Huang et al., "A Close Examination of Performance and Power Characteristics of 4G LTE '
    'Networks", MobiSys 2012, slopes of the power model'
)
_DIGITS: Final = "the digits"

POWER: Final[dict[str, Preset]] = {
    "phone-fast": Preset(
        {"compute": 5.5, "idle": 0.0686},
        "watts; CPU of a Galaxy S10e at its peak",
        f"{_AUTOFL}; {_FREERUNNER}",
        _DIGITS,
    ),
    "phone-slow": Preset(
        {"compute": 3.6, "idle": 0.0686},
        "watts; CPU of a Moto X Force at its peak",
        f"{_AUTOFL}; {_FREERUNNER}",
        _DIGITS,
    ),
    "raspberry-pi-4": Preset(
        {"compute": 5.4, "idle": 2.2},
        "watts at the USB supply; all cores and Wi-Fi at work, and idle",
        "chipwired.com/raspberry-pi-power-use, high load and idle load, meter C",
    ),
    "jetson-nano": Preset(
        {"compute": 10.0},
        "watts; the limit of its larger power mode",
        "NVIDIA Jetson Nano, power modes of 5 and 10 W",
    ),
    "nvidia-a100-sxm": Preset(
        {"compute": 400.0},
        "watts; thermal design power, which is an upper limit",
        "NVIDIA A100 SXM4, as hmc-tech.com lists it",
    ),
    "nvidia-h100-pcie": Preset(
        {"compute": 350.0},
        "watts; thermal design power, which is an upper limit",
        "NVIDIA H100 PCIe product brief PB-11133-001",
    ),
}
"""Powers of devices, in watts, for ``clients.power``."""

NETWORKS: Final[dict[str, Preset]] = {
    "wifi": Preset(
        {"download": 137.01e-9 * 8, "upload": 283.17e-9 * 8},
        "joules per byte; 137.01 and 283.17 mW for each Mbit/s",
        _LTE,
        _DIGITS,
    ),
    "lte": Preset(
        {"download": 51.97e-9 * 8, "upload": 438.39e-9 * 8},
        "joules per byte; 51.97 and 438.39 mW for each Mbit/s, without the 1.3 W of the radio",
        _LTE,
        "the digits in the paper itself; others who quote it have the same",
    ),
    "5g-mmwave": Preset(
        {"download": 1.81e-9 * 8, "upload": 9.42e-9 * 8},
        "joules per byte; 1.81 and 9.42 mW for each Mbit/s, without the power of the radio itself",
        'Narayanan et al., "A Variegated Look at 5G in the Wild", SIGCOMM 2021, slopes',
        _DIGITS,
    ),
}
"""Energies of transfers, in joules per byte, for ``clients.energy_per_byte``."""


def expanded(value: Any, presets: Mapping[str, Preset]) -> Any:
    """A block in which the numbers of the preset that it names are written out.

    Args:
        value: the name of a preset, or a block that may have one under `PRESET`; other keys of the
            block go before the preset's.
        presets: those that there are.

    Raises:
        PydanticCustomError: there is no such preset.
    """
    block = {PRESET: value} if isinstance(value, str) else value
    if not isinstance(block, dict) or PRESET not in block:
        return value
    name = block[PRESET]
    if not isinstance(name, str) or name not in presets:
        raise _no_preset(value, name, presets)
    own = {key: each for key, each in block.items() if key != PRESET}
    return {**presets[name].values, **own}


def is_measured(value: Any, presets: Mapping[str, Preset]) -> bool:
    """Whether a value is meant as a number with a unit, and not as the beginning of a name."""
    if not isinstance(value, str) or MEASURED.match(value) is None:
        return False
    begun = any(name.startswith(value) for name in presets)
    return value.isdecimal() or not begun


def _no_preset(value: Any, name: Any, presets: Mapping[str, Preset]) -> Exception:
    """What is wrong with a name, which is a value alone or the key `PRESET` of a block."""
    known = ", ".join(presets)
    if isinstance(value, str):
        why = f"there is no preset {show(name)}; expected one of {known}{hint(name, presets)}"
        if is_measured(value, presets):
            why = f"got {show(value)}; expected a block of keys, or one of the presets {known}"
        return PydanticCustomError("scenario", "{why}", {"why": why})
    near = hint(name, presets) if isinstance(name, str) else ""
    why = f"got {show(name)}; expected one of the presets {known}{near}"
    told = PydanticCustomError("scenario", "{why}", {"why": why})
    return ValidationError.from_exception_data(
        PRESET, [InitErrorDetails(type=told, loc=(PRESET,), input=name)]
    )


def schema_with(
    block: JsonSchemaValue, presets: Mapping[str, Preset], handler: GetJsonSchemaHandler
) -> JsonSchemaValue:
    """The JSON schema of a block that may name a preset, or be the name of one.

    Args:
        block: the schema of the block, or a reference to it; the key `PRESET` is added to it.
        presets: those that there are.
        handler: pydantic's.
    """
    names = {"type": "string", "enum": list(presets)}
    told = {"description": "Published numbers for the keys that are not given."}
    handler.resolve_ref_schema(block)["properties"][PRESET] = names | told
    return {"anyOf": [names, block]}
