"""Two builds side by side: this tree, and the tree of an earlier commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).resolve().parents[2]
JOBS = Path(__file__).with_name("schedule_job.py")
EARLIER = "be944e2"
"""The commit that this tree is compared with."""


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The tree of a commit, in a temporary folder while the block lasts."""
    git = ["git", "-C", str(HERE)]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / commit
        add = [*git, "worktree", "add", "--quiet", "--detach", str(place), commit]
        subprocess.run(add, check=True)
        try:
            yield place
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(place)], check=True)


class Build:
    """A process that runs `schedule_job` with the package of one tree.

    Args:
        tree: the folder that has the package ``afl_sim``.
    """

    def __init__(self, tree: Path) -> None:
        self.tree = tree
        self._process = subprocess.Popen(
            [sys.executable, str(JOBS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(tree)},
        )

    def run(self, work: str, **job: Any) -> dict[str, Any]:
        """Have it do a job; returns what it measured."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"work": work, **job}) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the build in {self.tree} has ended with an error")
        found: dict[str, Any] = json.loads(answer)
        return found

    def schedule(self, scenario: str, *settings: str) -> dict[str, Any]:
        """Have it run a scenario that comes with the package, timing-only."""
        file = self.tree / "scenarios" / scenario
        return self.run("schedule", scenario=str(file), settings=list(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
