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
"""A row of the event log as it is packed: the columns `afl_sim.recording.events.COLUMNS`."""

(
    DISPATCHED,
    DOWNLOADED,
    COMPUTED,
    ARRIVED,
    AGGREGATED,
    EVALUATED,
    DISCARDED,
    CANCELLED,
    FAILED,
    DUPLICATE,
    AVAILABLE,
    UNAVAILABLE,
    LOST,
    CORRUPTED,
    PAUSED,
    RESUMED,
    QUEUED,
    STARTED,
    ADAPTED,
    REQUESTED,
    REFRESHED,
) = range(len(KIND_NAMES))
