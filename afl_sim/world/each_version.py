"""What follows each version, in its order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from afl_sim.world.clock import Clock
from afl_sim.world.ending import RunEnded
from afl_sim.world.evaluations import Evaluations
from afl_sim.world.server.adaptive import AdaptiveServer
from afl_sim.world.server.ledger import Ledger
from afl_sim.world.stopping import StopRules

_VERSIONS: Final = (
    0x1800  # made in fewer events than lie between two looks, perhaps in an endless one
)


class EachVersion:
    """Evaluates a version, ends the run if it is the last one, and tells who wants to know of it.

    Args:
        env: the clock.
        ledger: has the version.
        evaluations: are made by versions, or are not.
        stop: ends the run.
        costs: whether what the run uses and costs is counted.
        look: called after many versions between two events, with their number.
        progress: called with each version.
        after: called with each version that does not end the run, once all is recorded.

    Attributes:
        unseen: versions since the last look at whether the run makes progress.
        adaptive: the server, if its settings may change with a version.
    """

    def __init__(
        self,
        env: Clock,
        ledger: Ledger,
        evaluations: Evaluations,
        stop: StopRules,
        costs: bool,
        look: Callable[[int], None],
        progress: Callable[[], None] | None,
        after: Callable[[int], None] | None,
    ) -> None:
        self.unseen = 0
        self.adaptive: AdaptiveServer | None = None
        self._env = env
        self._ledger = ledger
        self._evaluations = None if evaluations.every_versions is None else evaluations
        self._stop = stop
        self._costs = costs
        self._look = look
        self._progress = progress
        self._after = after

    def made(self) -> None:
        """A version has been made.

        Raises:
            RunEnded: a stop rule is reached.
        """
        if self._evaluations is not None:
            self._evaluations.on_version()
        if self._progress is not None:
            self._progress()
        self.unseen += 1
        if self.unseen == _VERSIONS:
            self._look(_VERSIONS)
        stop = self._stop
        stop.look()
        if self._costs:
            stop.look_at_costs(self._env.now_us)
        if stop.reached is not None:
            raise RunEnded
        if self.adaptive is not None:
            self.adaptive.on_version()
        if self._after is not None:
            self._after(self._ledger.version)
