"""What the runs of a process do one at a time."""

from __future__ import annotations

from threading import RLock

# Models are drawn from global generators, and data is read once for all runs of a process.
one_at_a_time = RLock()
