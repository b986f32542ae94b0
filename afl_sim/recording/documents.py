"""The content of the small files of a run folder, as far as other code relies on it.

A folder may come from a stranger, from other code, or from a disk that has lost a part of it. Keys
that nothing relies on are free.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from afl_sim.errors import RunFolderError
from afl_sim.scenario.section import kind_alone
from afl_sim.scenario.wording import one_line

Whole = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Figure = Annotated[float, Field(ge=-1e150, le=1e150)]  # its square is finite, too
Block = dict[str, Any]


def _share_in_words(text: str) -> str:
    if not 0 <= float(text) <= 1:
        raise ValueError("an accuracy is from 0 to 1")
    return text


def _number_in_words(text: str) -> str:
    if not isfinite(float(text)):
        raise ValueError("a target is a finite number")
    return text


Times = dict[Annotated[str, AfterValidator(_number_in_words)], Figure | None]
"""Virtual seconds, or what was used until then, by the target that was reached."""


class Document(BaseModel):
    """A file, or a block in one."""

    model_config = ConfigDict(
        extra="allow", strict=True, frozen=True, allow_inf_nan=False, defer_build=True
    )


class Updates(Document):
    """The number of tasks by outcome."""

    dispatched: Whole | None = None
    arrived: Whole | None = None
    aggregated: Whole | None = None
    discarded: Whole | None = None
    buffered: Whole | None = None
    failed: Whole | None = None
    cancelled: Whole | None = None
    in_flight: Whole | None = None


class LastEvaluation(Document):
    """The numbers of the last evaluation; metrics besides accuracy have keys of their own."""

    __pydantic_extra__: dict[str, Figure | None]

    accuracy: Share | None = None
    loss: Figure | None = None


class Fairness(Document):
    """How a metric differs between clients."""

    mean: Figure | None = None
    worst_decile: Figure | None = None
    variance: Figure | None = None
    jain: Figure | None = None


class Staleness(Document):
    """The staleness of aggregated updates, in versions."""

    mean: Figure | None = None
    p50: Figure | None = None
    p95: Figure | None = None
    max: Whole | None = None


class WallSeconds(Document):
    """The wall time of a run."""

    total: Figure | None = None
    training: Figure | None = None
    evaluation: Figure | None = None
    waiting: Figure | None = None


class Summary(Document):
    """``summary.json``."""

    name: str
    status: Literal["complete", "interrupted", "diverged", "failed"]
    virtual_seconds: Annotated[float, Field(ge=0, le=1e150)]
    versions: Whole
    updates: Updates
    final: LastEvaluation
    stopped_by: str | None = None
    reason: str | None = None
    samples_trained: Whole | None = None
    time_to_accuracy: (
        dict[Annotated[str, AfterValidator(_share_in_words)], Figure | None] | None
    ) = None
    metrics: dict[str, Literal["higher", "lower"]] | None = None
    time_to: dict[str, Times] | None = None
    energy_joules: dict[str, Figure] | None = None
    price: dict[str, Figure] | None = None
    carbon_grams: dict[str, Figure] | None = None
    energy_joules_to: dict[str, Times] | None = None
    price_to: dict[str, Times] | None = None
    carbon_grams_to: dict[str, Times] | None = None
    fairness: dict[str, Fairness] | None = None
    staleness: Staleness | None = None
    idle_fraction: Figure | None = None
    schedule_digest: str | None = None
    model_digest: str | None = None
    personal_digest: str | None = None
    wall_seconds: WallSeconds | None = None
    numerics: Block | None = None


class Manifest(Document):
    """``manifest.json``."""

    timing_only: bool | None = None
    label: str | None = None
    command: list[str] | None = None
    libraries: Block | None = None
    numerics: Block | None = None
    resumed: list[Any] | None = None


class StudyIndex(Document):
    """``study.json``."""

    name: str | None = None
    runs: list[str] = []
    titles: dict[str, str] | None = None
    settings: list[str] | None = None
    seed: Whole | None = None
    folder: str | None = None
    timing_only: bool | None = None
    files: dict[str, str] | None = None


class _Strategy(Document):
    kind: str | None = None


class _Clients(Document):
    count: Whole | None = None
    availability: Block | None = None


class _Link(Document):
    kind: str | None = None
    slots: Whole | None = None


class _Server(Document):
    upload: _Link | None = None
    download: _Link | None = None


class _Evaluation(Document):
    targets: list[Share] | dict[str, list[Figure]] | None = None


class Described(Document):
    """``scenario.yaml``, as far as it is read without being run."""

    name: str | None = None
    seed: Whole | None = None
    description: str | None = None
    strategy: Annotated[_Strategy | None, BeforeValidator(kind_alone)] = None
    clients: _Clients | None = None
    server: _Server | None = None
    training: Block | None = None
    evaluation: _Evaluation | None = None


class Facts(Document):
    """``facts.json`` of a run's checkpoint, without the part that only learning reads."""

    version: Whole
    events: Whole
    schedule_digest: str
    metrics: list[list[Any]]
    wall_seconds: dict[str, float] = {}


def check_document(kind: type[Document], content: Mapping[str, Any], path: Path) -> None:
    """Refuse invalid content of a file.

    Raises:
        RunFolderError: the first thing that is wrong in it, in one line.
    """
    try:
        kind.model_validate(content)
    except ValidationError as error:
        from afl_sim.scenario.mistakes.explain import explain  # it knows all of a scenario

        wrong = error.errors(include_url=False)
        absent = [".".join(map(str, e["loc"])) for e in wrong if e["type"] == "missing"]
        if absent:
            what = f"it lacks {', '.join(absent)}"
        else:
            first = explain(error, content, None, kind)[0]
            what = f"{'.'.join(map(str, first.path))}: {first.message}"
        raise RunFolderError(f"{path} is damaged: {one_line(what, 300)}") from None
