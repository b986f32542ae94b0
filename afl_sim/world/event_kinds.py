"""The kinds of event that a run's log can hold, as integer codes.

The codes are part of the schedule digest: a new kind is appended, never inserted.
"""

from struct import Struct
from typing import Final

KIND_NAMES: Final = (
    "dispatched",
    "downloaded",
    "computed",
    "arrived",
    "aggregated",
    "evaluated",
    "discarded",
    "cancelled",
    "failed",
    "duplicate",
    "available",
    "unavailable",
    "lost",
    "corrupted",
    "paused",
    "resumed",
    "queued",
    "started",
    "adapted",
    "requested",
    "refreshed",
)

ROW: Final = Struct("<10q")
"""A row of the event log as it is packed: the columns `afl_sim.recording.event_table.COLUMNS`."""

# Numbers that are written down become constants of compiled code.
DISPATCHED: Final = 0
DOWNLOADED: Final = 1
COMPUTED: Final = 2
ARRIVED: Final = 3
AGGREGATED: Final = 4
EVALUATED: Final = 5
DISCARDED: Final = 6
CANCELLED: Final = 7
FAILED: Final = 8
DUPLICATE: Final = 9
AVAILABLE: Final = 10
UNAVAILABLE: Final = 11
LOST: Final = 12
CORRUPTED: Final = 13
PAUSED: Final = 14
RESUMED: Final = 15
QUEUED: Final = 16
STARTED: Final = 17
ADAPTED: Final = 18
REQUESTED: Final = 19
REFRESHED: Final = 20
