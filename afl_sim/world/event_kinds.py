"""The kinds of event that a run's log can hold, as integer codes.

The codes are part of the schedule digest: a new kind is appended, never inserted.
"""

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
