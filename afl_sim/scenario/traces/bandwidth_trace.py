"""Bandwidth that changes in time, as a scenario writes it: the ``bandwidth_trace:`` of a link."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from afl_sim.scenario.section import Flag
from afl_sim.scenario.traces.bandwidths import (
    AfterEnd,
    Bandwidth,
    BandwidthColumns,
    read_bandwidths,
)
from afl_sim.scenario.traces.columns import By
from afl_sim.scenario.traces.trace_block import Factor, FileAlone, NumberedClients, Sha256


class BandwidthTrace(FileAlone):
    """Bandwidth that changes in time, as it was measured."""

    _later: ClassVar[tuple[str, ...]] = ()
    _instead: ClassVar[str] = "a bandwidth that is constant has the key bandwidth"

    trace: str = Field(
        description="A CSV or Parquet file with the columns start, end and a bandwidth (bytes per "
        "second, or the unit in a name such as bandwidth_Mbit_per_s): from start up to end the "
        "link has this bandwidth, which may be 0. start and end are seconds, or have the unit in "
        "a name such as start_ms. A column `link` or `client` tells the rows of several links "
        "apart. The rows of a link begin at 0 and follow each other without a gap."
    )
    column: str | None = Field(
        default=None,
        description="The column with the bandwidths; null: the only one beside the others.",
    )
    by: By = Field(
        default="sample",
        description="sample: each client has one of the file's links, drawn with the scenario's "
        "seed; client: client i has the link with i in the column `client`. Where download and "
        "upload have links of the same names, a client has the same link in both.",
    )
    random_start: Flag = Field(
        default=False,
        description="true: each client's trace begins at a time of its own, drawn uniformly over "
        "its length; false: at its beginning. Where download and upload have links of the same "
        "names, it is the same share of the length in both.",
    )
    after_end: AfterEnd = Field(
        default="repeat",
        description="What happens at the end of the trace. repeat: it begins anew; hold: the last "
        "bandwidth stays.",
    )
    factor: Factor | None = Field(
        default=None,
        description="Factor that converts the bandwidths to bytes per second: 125 if they are in "
        "kbit/s (bytes per second per unit of the file); null: as the name of the column says.",
    )
    number_clients: NumberedClients = None
    sha256: Sha256 = None

    def _load(self, path: Path) -> tuple[tuple[Bandwidth, ...], str]:
        reading = BandwidthColumns(
            self.column, self.by, self.after_end, self.factor, self.number_clients
        )
        return read_bandwidths(path, reading)

    @property
    def links(self) -> tuple[Bandwidth, ...]:
        """The content of the file."""
        links: tuple[Bandwidth, ...] = self._content
        return links
