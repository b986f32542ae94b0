"""A server whose concurrency and buffer size follow a controller."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import simpy

from afl_sim.errors import OwnRuleError
from afl_sim.scenario.sections.controllers import (
    SETTINGS,
    BuiltIn,
    Controller,
    decided_by,
)
from afl_sim.scenario.sections.observation import Observation
from afl_sim.streams import Streams
from afl_sim.world import event_kinds
from afl_sim.world.links.usage import LinkUse
from afl_sim.world.microseconds import MICROSECONDS
from afl_sim.world.server.parts import Parts
from afl_sim.world.server.server import Server
from afl_sim.world.tasks.task import Task


@dataclass(frozen=True, slots=True)
class _Mark:
    """What had happened at the last decision."""

    time_us: int
    version: int
    arrived: int
    aggregated: int
    lost: int
    ended: int
    busy_us: int
    aggregating_us: int
    staleness: Counter[int]
    links: Mapping[str, LinkUse]


class AdaptiveServer(Server):
    """Asks a controller now and then, and follows it.

    If the concurrency rises, the next `send` sends more tasks. If it falls, the next ones send
    fewer, and tasks that fail or wait for their client are not replaced. Tasks that were sent stay.

    Args:
        parts, strategy, streams, queues: as for `Server`.
        controller: whom to ask.
    """

    def __init__(
        self,
        parts: Parts,
        strategy: Any,
        streams: Streams,
        queues: bool,
        controller: BuiltIn | Controller,
    ) -> None:
        super().__init__(parts, strategy, streams, queues)
        self._controller = controller
        self._in_force: dict[str, int] = {
            name: self._of_strategy(name) for name in SETTINGS if name in strategy.adapts
        }
        self._due = 0  # tasks to send beside those that the schedule asks for
        self._memory: Mapping[str, Any] = {}
        self._decisions = 0
        self._begun: deque[int] = deque()  # instants at which aggregations began that go on
        self._aggregating_us = 0  # how long those took that are over
        self._last = self._mark()
        self._sender.may_replace = self._may_replace

    def in_force(self, setting: str, given: int) -> int:
        """The setting's value now: the controller's, or the given one."""
        return self._in_force.get(setting, given)

    def send(self, n: int = 1, *, refresh_after: float | None = None) -> list[Task]:
        """Send to ``n`` workers, more or fewer as the concurrency has changed."""
        wanted = n + self._due
        sent = super().send(wanted, refresh_after=refresh_after) if wanted > 0 else []
        missing = max(wanted, 0) - len(sent)  # too few clients: what was asked beside n stays due
        self._due = min(wanted, 0) if self._due <= 0 else min(self._due, missing)
        return sent

    def aggregate(self, updates: Iterable[Task], **context: Any) -> simpy.Event:
        """Make the next version; its context has the settings in force."""
        batch = list(updates)
        if batch:
            self._begun.append(int(self._env.now))
            context = {**context, **self._in_force}
        return super().aggregate(batch, **context)

    def on_version(self) -> None:
        """A version has been made: it may be time for a decision."""
        now = int(self._env.now)
        self._aggregating_us += now - self._begun.popleft()
        every = self._controller.every or self._in_force.get("concurrency", self.clients)
        if self.counts.aggregated - self._last.aggregated < every:
            return
        observation = self._observe()
        decision = decided_by(self._controller, observation)
        self._decisions += 1
        self._memory = decision.memory
        self._last = self._mark()
        changed: dict[str, int] = {
            name: value
            for name in SETTINGS
            if (value := getattr(decision, name)) is not None and value != self._in_force[name]
        }
        if not changed:
            return
        self._check(changed)
        before = self._in_force
        self._in_force = {**before, **changed}
        self._ledger.note(now, event_kinds.ADAPTED, context=json.dumps(self._in_force))
        if "concurrency" in changed:
            self._due += changed["concurrency"] - before["concurrency"]
            self._forget_waiting()

    def _of_strategy(self, name: str) -> int:
        value = getattr(self._strategy, name)
        return self.clients if value == "all" else int(value)

    def _may_replace(self) -> bool:
        """Whether a task that has failed is replaced; if not, that is one task less."""
        if self._due >= 0:
            return True
        self._due += 1
        return False

    def _forget_waiting(self) -> None:
        """Take back tasks that wait for their client, the last ones first, if they are too many."""
        for task in reversed(list(self._sender.waiting)):
            if self._due >= 0:
                return
            if task.order.drawn:
                self._sender.cancel(task)
                self._due += 1

    def _check(self, changed: Mapping[str, int]) -> None:
        """Refuse settings with which the strategy cannot work.

        Raises:
            OwnRuleError: the strategy's own check says so.
        """
        strategy: Any = self._strategy
        adapted = strategy.model_copy(update={**self._in_force, **changed})
        for path, message in adapted.check(self.clients):
            raise OwnRuleError(
                f"server.adaptive: {self._controller.kind} changed "
                f"{', '.join(f'{name} to {value}' for name, value in changed.items())}, with which "
                f"strategy {strategy.kind} cannot work: {'.'.join(path)}: {message}"
            )

    def _observe(self) -> Observation:
        last, now = self._last, self._mark()
        elapsed = now.time_us - last.time_us
        ended = now.ended - last.ended
        busy = {"aggregation": float(now.aggregating_us - last.aggregating_us)}
        busy |= {name: use.busy_us - last.links[name].busy_us for name, use in now.links.items()}
        present = {
            name: use.present_us - last.links[name].present_us for name, use in now.links.items()
        }
        return Observation(
            number=self._decisions,
            now=self.now,
            seconds=elapsed / MICROSECONDS,
            version=now.version,
            versions=now.version - last.version,
            clients=self.clients,
            concurrency=self._in_force.get("concurrency"),
            buffer_size=self._in_force.get("buffer_size"),
            in_flight=len(self.in_flight),
            idle=self.idle,
            arrived=now.arrived - last.arrived,
            lost=now.lost - last.lost,
            waiting=len(self._inbox),
            staleness=dict(sorted((now.staleness - last.staleness).items())),
            task_seconds=(now.busy_us - last.busy_us) / ended / MICROSECONDS if ended else None,
            utilisation={name: us / elapsed if elapsed else 0.0 for name, us in busy.items()},
            queue={name: us / elapsed if elapsed else 0.0 for name, us in present.items()},
            memory=self._memory,
        )

    def _mark(self) -> _Mark:
        now, counts = int(self._env.now), self.counts
        return _Mark(
            time_us=now,
            version=self.version,
            arrived=counts.arrived,
            aggregated=counts.aggregated,
            lost=counts.failed + counts.cancelled + counts.discarded,
            ended=counts.arrived + counts.failed + counts.cancelled,
            busy_us=counts.busy_us,
            aggregating_us=self._aggregating_us + sum(now - began for began in self._begun),
            staleness=counts.staleness.copy(),
            links=self._durations.link_uses(now),
        )
