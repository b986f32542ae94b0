"""What devices and servers use and cost: power, energy, prices and the carbon of electricity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Protocol

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError

from afl_sim.scenario.distributions.distribution import Distribution, In
from afl_sim.scenario.distributions.uses import (
    OncePerClient,
    ServersOwn,
)
from afl_sim.scenario.section import Section
from afl_sim.scenario.sections.carbon import CarbonIntensity
from afl_sim.scenario.sections.energy_presets import (
    NETWORKS,
    expanded,
    is_measured,
    schema_with,
)
from afl_sim.scenario.sections.energy_presets import POWER as POWER_PRESETS
from afl_sim.scenario.units import PER_BYTE, PER_SAMPLE_TRAINED, POWER

PHASES: Final = ("download", "compute", "upload")
"""What a task goes through, in order. A client without a task is idle."""

Watts = Annotated[OncePerClient, In(POWER)]
"""Power, drawn once for each client (watts)."""

JoulesPerSample = Annotated[OncePerClient, In(PER_SAMPLE_TRAINED)]
JoulesPerByte = Annotated[OncePerClient, In(PER_BYTE)]


class Power(Section):
    """The power of a client's device in each phase of a task, and without one.

    The name of a preset (`afl-sim list power`) can stand for the block, or under ``preset`` in it,
    beside keys that go before the preset's.
    """

    @model_validator(mode="before")
    @classmethod
    def _of_preset(cls, raw: Any) -> Any:
        return expanded(raw, POWER_PRESETS)

    download: Watts | None = Field(
        default=None,
        description="From `dispatched` to `downloaded`, drawn once for each client (watts).",
    )
    compute: Watts | None = Field(
        default=None,
        description="From `downloaded` to `computed`, or from `started` where a client queues its "
        "tasks; drawn once for each client (watts).",
    )
    upload: Watts | None = Field(
        default=None,
        description="From `computed` to `arrived`, with all repetitions; drawn once for each "
        "client (watts).",
    )
    idle: Watts | None = Field(
        default=None,
        description="At all times at which the client has no task, also while it is away, from "
        "when it joins until it leaves for good; drawn once for each client (watts).",
    )


class BytesEnergy(Section):
    """The energy of a transfer in each direction."""

    download: JoulesPerByte | None = Field(
        default=None,
        description="For each byte that a client downloads, drawn once for each client (joules "
        "per byte).",
    )
    upload: JoulesPerByte | None = Field(
        default=None,
        description="For each byte that a client uploads, lost ones too; drawn once for each "
        "client (joules per byte).",
    )


def _both_directions(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A number or law alone holds for both directions; so does the name of a preset."""
    if value is None or isinstance(value, BytesEnergy):
        return handler(value)
    if not is_measured(value, NETWORKS):
        value = expanded(value, NETWORKS)
    if isinstance(value, dict) and (not value or set(value) & {"download", "upload"}):
        return handler(value)
    try:
        return handler({"download": value, "upload": value})
    except ValidationError as error:
        raise _told_once(error) from None


def _told_once(error: ValidationError) -> ValidationError:
    """The mistakes of a value that holds for both directions."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("scenario", "{why}", {"why": each["msg"]}),
            loc=each["loc"][1:],
            input=each["input"],
        )
        for each in error.errors(include_url=False)
        if each["loc"][0] == "download"
    ]
    return ValidationError.from_exception_data(error.title, details)


class _NameOfPreset:
    """What an editor accepts in place of a block of powers: the name of a preset."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return schema_with(handler(core), POWER_PRESETS, handler)


class _ShortForms:
    """What an editor accepts in place of a block of both directions: a number, a law, a preset."""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        block = handler(core)
        numbers = handler.resolve_ref_schema(block)["properties"]["download"]["anyOf"][0]
        return {"anyOf": [numbers, *schema_with(block, NETWORKS, handler)["anyOf"]]}


EnergyPerByte = Annotated[BytesEnergy, WrapValidator(_both_directions), _ShortForms()]


class UsesEnergy(Protocol):
    """A fleet, or a group of one."""

    @property
    def power(self) -> Power | None: ...
    @property
    def energy_per_sample(self) -> Distribution | None: ...
    @property
    def energy_per_byte(self) -> BytesEnergy | None: ...


ENERGY_KEYS: Final = (
    "power",
    "energy_per_sample",
    "energy_per_byte",
    "price",
    "carbon_intensity",
    "battery",
)
"""The keys of a fleet, and of a group, that say what clients use and cost."""

PowerKey = Annotated[
    Annotated[Power, _NameOfPreset()] | None,
    Field(
        description="The power of each client's device by phase; null: the energy of clients is "
        "not counted. It changes no schedule."
    ),
]
EnergyPerSampleKey = Annotated[
    JoulesPerSample | None,
    Field(
        description="The energy of computing, in place of `clients.power.compute`: for each "
        "sample that a client trains on, drawn once for each client (joules per sample)."
    ),
]
EnergyPerByteKey = Annotated[
    EnergyPerByte | None,
    Field(
        description="The energy of transfers, in place of `clients.power.download` and "
        "`clients.power.upload`: a number for both directions, a block with one for each, "
        "or a preset of `afl-sim list networks` (joules per byte)."
    ),
]
CarbonKey = Annotated[
    CarbonIntensity | None,
    Field(
        description="The carbon intensity of the electricity, a number or a trace (grams of carbon "
        "dioxide per kilowatt-hour); null: the scenario's `carbon_intensity`."
    ),
]


def inherited_energy(own: Any, fleet: Mapping[str, Any]) -> dict[str, Any]:
    """What a group has from the fleet.

    Each key that the group does not give is the fleet's. But where the group says in joules what
    the fleet says in watts, or the other way round, the group's own way holds.

    Args:
        own: as the file says.
        fleet: the blocks of ``clients``, as far as they are valid.
    """
    update: dict[str, Any] = {}
    for name in ENERGY_KEYS:
        mine, common = getattr(own, name), fleet.get(name)
        if common is not None and name not in own.model_fields_set:
            update[name] = common
        elif isinstance(mine, BaseModel) and isinstance(common, BaseModel):
            given = {key: getattr(mine, key) for key in mine.model_fields_set}
            update[name] = common.model_copy(update=given)
    watts = {key for key in PHASES if getattr(own.power, key, None) is not None}
    joules = {key for key in PHASES if joules_of(own, key) is not None}
    if update.get("power") is not None:
        update["power"] = update["power"].model_copy(update=dict.fromkeys(joules - watts))
    if "compute" in watts - joules:
        update["energy_per_sample"] = None
    if update.get("energy_per_byte") is not None:
        measured = (watts - joules) & {"download", "upload"}
        per_byte = update["energy_per_byte"].model_copy(update=dict.fromkeys(measured))
        update["energy_per_byte"] = per_byte
    return update


def joules_of(clients: UsesEnergy, phase: str) -> Any:
    """The energy by sample or byte that holds for a phase; None if there is none."""
    if phase == "compute":
        return clients.energy_per_sample
    return getattr(clients.energy_per_byte, phase, None)


def counts_energy(clients: UsesEnergy) -> bool:
    """Whether a fleet or group says what energy its clients use."""
    return any(
        getattr(clients, name) is not None
        for name in ("power", "energy_per_sample", "energy_per_byte")
    )


def _one_number(value: Any) -> Any:
    if value is not None and value.constant is None:
        raise PydanticCustomError("scenario", "varies; expected one number of watts")
    return value


ServerWatts = Annotated[ServersOwn, In(POWER), AfterValidator(_one_number)]
"""The power of the server, which does not change (watts)."""
