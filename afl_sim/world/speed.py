"""The stream of clients' persistent speeds, for all who draw them."""

from __future__ import annotations

from typing import Final

SPEED: Final = "compute.level"
