"""Where the repository has what tests look at."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TESTS: Final = ROOT / "tests"
SMALLEST: Final = ROOT / "scenarios" / "smallest.yaml"
