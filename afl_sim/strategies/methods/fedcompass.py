"""FedCompass: clients get as many steps as make them arrive together."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import floor

from pydantic import Field, PositiveFloat

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor, torch
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import LocalSteps
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate
from afl_sim.strategies.toolkit.shares import Shares, share, total_of
from afl_sim.strategies.toolkit.staleness import AnyStalenessWeight, Polynomial

_HAIR = 1e-9  # so that a whole number of steps is not missed by a rounding error
ALPHA = 0.9


@dataclass
class Group:
    """Clients that are to arrive together; local to a schedule.

    Attributes:
        expected: T_a, when its clients are expected to arrive (seconds).
        latest: T_max, until when they are waited for (seconds).
        missing: the clients that have not arrived.
        arrived: the updates that have arrived in time.
        open: whether it is still waited for.
    """

    expected: float
    latest: float
    missing: list[int] = field(default_factory=list)
    arrived: list[TaskView] = field(default_factory=list)
    open: bool = True

    @property
    def clients(self) -> list[int]:
        """All its clients."""
        return [*self.missing, *(update.client for update in self.arrived)]


@dataclass
class Compass:
    """What the scheduler knows of the clients; local to a schedule.

    Attributes:
        rule: the strategy, with its settings.
        groups: the groups that are waited for, oldest first.
        group: client -> its group.
        speed: client -> the estimate of its seconds per step.
        began: client -> when its task was sent (seconds).
        steps: client -> the steps of its task.
    """

    rule: FedCompass
    groups: list[Group] = field(default_factory=list)
    group: dict[int, Group] = field(default_factory=dict)
    speed: dict[int, float] = field(default_factory=dict)
    began: dict[int, float] = field(default_factory=dict)
    steps: dict[int, int] = field(default_factory=dict)

    def learn(self, client: int, steps: int, now: float) -> None:
        """Estimate the client's speed by the steps of the task that has just arrived.

        They are fewer than it was sent if the client has left, and none if it has no samples.
        """
        seconds = (now - self.began[client]) / (steps or self.steps[client])
        if not seconds:
            raise ScheduleError(
                f"strategy {self.rule.kind}: the scheduler needs the time of a step, and client "
                f"{client}'s tasks take none"
            )
        weight = self.rule.speed_momentum if client in self.speed else 1.0
        self.speed[client] = (1 - weight) * self.speed.get(client, 0.0) + weight * seconds

    def assign(self, client: int, now: float) -> Group | None:
        """Give the client a number of steps and a group. Returns the group if it is a new one."""
        created = None
        joined = self._group_to_join(client, now)
        if joined is None:
            steps = self._steps_of_a_new_group(client, now)
            seconds = steps * self.speed[client]
            created = Group(now + seconds, now + self.rule.latest_time_factor * seconds)
            self.groups.append(created)
            joined = created, steps
        self.group[client], self.steps[client] = joined
        self.group[client].missing.append(client)
        self.began[client] = now
        return created

    def close(self, group: Group) -> None:
        """Stop waiting for a group; whoever is missing is late."""
        group.open = False
        self.groups.remove(group)

    def _group_to_join(self, client: int, now: float) -> tuple[Group, int] | None:
        """The group until whose arrival the client can do most steps, of those it can do."""
        fitting = [
            (group, steps)
            for group in self.groups
            for steps in [self._steps_until(group.expected, client, now)]
            if self.rule.min_steps <= steps <= self.rule.max_steps
        ]
        return max(reversed(fitting), key=lambda found: found[1], default=None)

    def _steps_of_a_new_group(self, client: int, now: float) -> int:
        """Steps after which the fastest client of a group might have come a second time."""
        most = self.rule.max_steps
        found = []
        for group in self.groups:
            fastest = min(self.speed[other] for other in group.clients)
            found.append(self._steps_until(group.latest + fastest * most, client, now))
        fitting = [steps for steps in found if 0 <= steps <= most]
        return max(max(fitting), self.rule.min_steps) if fitting else most

    def _steps_until(self, then: float, client: int, now: float) -> int:
        return floor((then - now) / self.speed[client] + _HAIR)


@register("fedcompass")
class FedCompass(Strategy):
    """Clients get as many local steps as let them arrive in groups, at about the same time.

    Li, Chaturvedi, He, Chen, Singh, Kindratenko, Huerta, Kim, Madduri, "FedCompass: Efficient
    Cross-Silo Federated Learning on Heterogeneous Client Devices Using a Computing Power-Aware
    Scheduler", ICLR 2024 (arXiv 2309.14675).

    Speeds (`Compass.learn`): at first all clients do Q_max steps. From each arrival the server
    estimates the client's seconds per step, as a moving average.

    Groups (`Compass.assign`): a client joins the group until whose expected arrival T_a it can do
    most steps, if these are between Q_min and Q_max. If there is none, it begins a group of its
    own, with so many steps that it comes when the fastest client of another group may come a
    second time, after T_max of that group and Q_max steps; with Q_max steps if that is too far off.
    T_a is the time of these steps from now, T_max is lambda times as long.

    Steps of the server: the first update of a client makes a step at once. A group makes a step
    when all its clients have arrived, or at T_max. An update that arrives after T_max goes into the
    general buffer, which has a part in the next step of any group; its client goes on at once. Each
    step is ``w <- w + alpha sum_i s(tau_i) p_i Delta_i`` over its updates.

    Clients of a group that has made its step are given new groups, the fastest first. The local
    learning rate does not decay with the steps, which it does in the authors' experiments.
    """

    about = About(
        "Li et al., ICLR 2024 (arXiv 2309.14675)",
        "semi-synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="APPFL/APPFL, src/appfl/algorithm/legacy/scheduler_compass.py and "
        "server_fed_compass.py; also src/appfl/algorithm/scheduler/compass_scheduler.py",
    )
    assigns_steps = True
    gives_steps = True

    min_steps: LocalSteps = Field(20, description="Q_min: the fewest local steps of a task")
    max_steps: LocalSteps = Field(100, description="Q_max: the most local steps of a task")
    latest_time_factor: float = Field(
        1.5, ge=1, le=1e6, description="lambda: T_max as a multiple of the expected time"
    )
    speed_momentum: float = Field(
        0.9, gt=0, le=1, description="the weight of the last task in the estimate of a speed"
    )
    alpha: PositiveFloat = Field(ALPHA, description="alpha: a factor on all updates")
    staleness: AnyStalenessWeight = Field(Polynomial(), description="s(tau): an update's weight")
    shares: Shares = Field("samples", description="p_i: by samples, or uniform")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the pseudo-gradient, in place of alpha"
    )

    def check(self, clients: int) -> Problems:
        if self.min_steps > self.max_steps:
            yield (
                ("min_steps",),
                f"{self.min_steps} is more than max_steps; expected at most {self.max_steps}",
            )
        yield from check_one_rate("alpha", self.alpha, ALPHA, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        compass = Compass(self)
        late: list[TaskView] = []  # the general buffer
        for client in server.workers(server.clients):
            compass.began[client], compass.steps[client] = server.now, self.max_steps
            server.dispatch(client, steps=self.max_steps)
        while True:
            update = yield server.arrival()
            client = update.client
            compass.learn(client, update.steps, server.now)
            group = compass.group.get(client)
            if group is None:
                yield server.aggregate([update])
            else:
                group.missing.remove(client)
                if group.open:
                    group.arrived.append(update)
                    if not group.missing:
                        yield from self._step(server, compass, group, late)
                    continue
                late.append(update)
            self._send(server, compass, late, [client])

    def _step(
        self, server: ServerView, compass: Compass, group: Group, late: list[TaskView]
    ) -> Schedule:
        """The step of a group, with the general buffer; then its clients go on."""
        compass.close(group)
        if not group.arrived:
            return
        updates = [*late, *group.arrived]
        late.clear()
        yield server.aggregate(updates)
        clients = [update.client for update in group.arrived]
        self._send(server, compass, late, sorted(clients, key=lambda one: compass.speed[one]))

    def _send(
        self, server: ServerView, compass: Compass, late: list[TaskView], clients: list[int]
    ) -> None:
        """Send the model to clients that have delivered, in this order."""
        for client in clients:
            created = compass.assign(client, server.now)
            server.dispatch(client, steps=compass.steps[client])
            if created is not None:
                server.spawn(self._timer(server, compass, created, late))

    def _timer(
        self, server: ServerView, compass: Compass, group: Group, late: list[TaskView]
    ) -> Schedule:
        """Waits until T_max of a group, and makes its step if it has not been made."""
        yield server.sleep(group.latest - server.now)
        if group.open:
            yield from self._step(server, compass, group, late)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return total_of(population, self.shares)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \alpha \sum_i s(\tau_i) p_i \Delta_i$."""
        step, state = self.direction(params, state, updates, context)
        return params + self.alpha * step, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$\sum_i s(\tau_i) p_i \Delta_i$."""
        weighted = [
            self.staleness(update.staleness) * share(update, state, self.shares) * update.delta
            for update in updates
        ]
        return torch.stack(weighted).sum(0), state
