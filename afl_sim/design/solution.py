"""The folder of a finished design, opened for reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from afl_sim.design.results import INDEX, WINNER, read_index
from afl_sim.errors import RunFolderError
from afl_sim.run.loading import load_scenario
from afl_sim.scenario import Scenario

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Solution:
    """The result of a design: its folder, opened for reading.

    Attributes:
        path: the folder.
        index: the content of ``design.json``.

    Example:
        >>> from afl_sim import run_design
        >>> few = ["design.candidates=3"]
        >>> found = run_design("scenarios/which-server.yaml", settings=few, timing_only=True)
        >>> len(found.candidates)
        3
    """

    path: Path
    index: Mapping[str, Any]

    @property
    def winner(self) -> Mapping[str, Any] | None:
        """The settings of the best candidate by dotted keys; None if nothing was trained."""
        placed = self.index.get("ranking") or ()
        found: Mapping[str, Any] | None = placed[0]["settings"] if placed else None
        return found

    @property
    def ranking(self) -> pd.DataFrame:
        """A row for each candidate that was compared with all seeds, the best first.

        Columns: ``rank``, ``candidate``, ``title``, ``mean`` (geometric, of the costs to the
        target; missing if it was not always reached), ``ratio``, ``low`` and ``high`` (of the cost
        to that of the best, with simultaneous 95 % intervals), ``verdict``.
        """
        import pandas as pd

        rows = [
            {
                **{name: each[name] for name in ("rank", "candidate", "title", "mean")},
                **dict(zip(("ratio", "low", "high"), (each["ratio"] or {}).values(), strict=False)),
                "verdict": each["verdict"],
            }
            for each in self.index.get("ranking") or ()
        ]
        names = ["rank", "candidate", "title", "mean", "ratio", "low", "high", "verdict"]
        return pd.DataFrame(rows, columns=names)

    @cached_property
    def candidates(self) -> pd.DataFrame:
        """A row for each candidate: its settings, what became of it, and its schedule."""
        import pandas as pd

        rows = [
            {
                "number": each["number"],
                "title": each["title"],
                **each["settings"],
                "fate": each["fate"],
                "why": each["why"],
                "progress": each["progress"][-1] if each["progress"] else None,
                **(each["schedule"] or {}),
            }
            for each in self.index.get("candidates") or ()
        ]
        return pd.DataFrame(rows)

    def scenario(self) -> Scenario:
        """The scenario of the best candidate, as in ``winner.yaml``.

        Raises:
            RunFolderError: nothing was trained, so there is no best one.
        """
        path = self.path / WINNER
        if not path.is_file():
            raise RunFolderError(f"{self.path} has no {WINNER}: nothing was trained")
        return load_scenario(path)


def load_design(path: Path | str) -> Solution:
    """Open the folder of a design.

    Raises:
        RunFolderError: it is no such folder, or it is damaged.
    """
    index = read_index(Path(path))
    if index is None:
        raise RunFolderError(f"{path} is not the folder of a design: it has no {INDEX}")
    return Solution(Path(path), index)
