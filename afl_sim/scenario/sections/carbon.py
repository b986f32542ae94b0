"""The carbon intensity of electricity: a number, or a trace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Discriminator, Field, Tag

from afl_sim.scenario.section import Number
from afl_sim.scenario.sections.availability import Origin
from afl_sim.scenario.traces.instants import origin_problem
from afl_sim.scenario.traces.intensities import HIGHEST, INTENSITY, Intensities, read_intensities
from afl_sim.scenario.traces.tables import TableProblems
from afl_sim.scenario.traces.trace_block import FileAlone, Sha256


class TracedIntensity(FileAlone):
    """A carbon intensity that changes with the hour, from a file."""

    _later: ClassVar[tuple[str, ...]] = ()
    _instead: ClassVar[str] = "a number of grams of carbon dioxide per kilowatt-hour has no unit"

    trace: str = Field(
        description="A CSV or Parquet file with a row for each hour, or for other steps of equal "
        "length, in order of time. After the last row it begins anew."
    )
    column: str = Field(
        default=INTENSITY,
        description="The column of intensities (grams of carbon dioxide per kilowatt-hour, or the "
        "unit that its name says, such as kg_per_MWh or lb_per_MWh).",
    )
    time: str | None = Field(
        default=None,
        description="The column of times: dates and times, or numbers in the unit that the name "
        "says, such as time_h, else seconds; null: `time`, with or without a unit.",
    )
    origin: Origin | None = Field(
        default=None,
        description="The time in the file at which the run begins: seconds, or a date and time; "
        "null: that of the first row.",
    )
    sha256: Sha256 = None

    def _load(self, path: Path) -> tuple[Intensities, str]:
        content, digest = read_intensities(path, self.time, self.column)
        why = origin_problem(self.origin, content.zoned)
        if why is not None:
            raise TableProblems([why], ("origin",))
        return content, digest

    @property
    def intensities(self) -> Intensities:
        """The content of the file."""
        content: Intensities = self._content
        return content


CarbonIntensity = Annotated[
    Annotated[Number, Field(ge=0, le=HIGHEST), Tag("a number")]
    | Annotated[TracedIntensity, Tag("a trace")],
    Discriminator(
        lambda value: "a trace" if isinstance(value, dict | str | TracedIntensity) else "a number"
    ),
]
"""Grams of carbon dioxide per kilowatt-hour."""
