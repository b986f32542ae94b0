"""SAFA: rounds that end with the quickest clients, and a cache in which all clients count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field, NonNegativeInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    Context,
    Population,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import RoundStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import ClientsPerRound, VirtualSeconds
from afl_sim.strategies.task_view import TaskView
from afl_sim.strategies.toolkit.schedules import everyone_trains


@dataclass
class Models:
    """Which model each client has, as the server knows it; local to a schedule.

    Attributes:
        versions: client -> the version of the global model that its own model began from.
        up_to_date: the clients that get the global model whatever their lag is: all of them at
            first, then those whose updates arrived in the last round.
        going_on: client -> version, for clients that continue with their own model.
    """

    versions: dict[int, int]
    up_to_date: set[int]
    going_on: dict[int, int] = field(default_factory=dict)

    def lags(self, version: int) -> dict[int, int]:
        """client -> the number of versions that its model lags behind ``version``."""
        return {client: version - began for client, began in self.versions.items()}


@register("safa")
class SAFA(RoundStrategy):
    """All clients train; a round picks the first to arrive, unless they were picked the last time.

    Wu, He, Lin, Mao, Maple, Jarvis, "SAFA: A Semi-Asynchronous Protocol for Fast Federated Learning
    with Low Overhead", IEEE Trans. Computers 70(5), 2021 (arXiv 1910.01355).

    Distribution (`distribute`): up-to-date clients, which delivered in the last round, and
    deprecated clients, whose model lags by more than the tolerance, get the global model W. A
    deprecated client that is still at work starts again. Tolerable clients, which are neither,
    continue with the model that they have.

    Selection (CFCFM, `select`): arrivals of clients that were not picked in the last round are
    picked in order of arrival, until ``clients_per_round`` are picked. The round ends then, or when
    no client is at work, or at the deadline. If picks are missing then, the first of the other
    arrivals are picked too. All other arrivals are undrafted.

    Aggregation (`aggregate`): ``cache_k <- w_k`` for picked and ``cache_k <- W`` for deprecated
    clients; ``W <- sum_k (n_k / n) cache_k`` over all clients; then ``cache_k <- w_k`` for
    undrafted clients.

    With ``round_ends: all`` a round lasts until every client has answered or failed. The authors'
    own simulation does this, but counts a round only as long as the slowest client picked.

    A client whose task failed has lost its work. It continues from the model that it last received.
    The message that tells it to continue takes as long as a download, and the event log counts its
    staleness from there.
    """

    about = About(
        "Wu et al., IEEE Trans. Computers 2021 (arXiv 1910.01355)",
        "semi-synchronous",
        keeps="each client's last model",
        checked="authors' code",
        source="wingter562/SAFA, semiAysnc_FedAvg.py",
    )
    optimizer_gets = "nothing"

    clients_per_round: ClientsPerRound = Field(
        0.3, description="clients picked in a round: a count, or a rounded fraction"
    )
    lag_tolerance: NonNegativeInt = Field(
        5, description="versions that a client's model may lag behind"
    )
    deadline: VirtualSeconds | None = Field(
        None, description="seconds of virtual time after which a round ends"
    )
    warm_up_epochs: NonNegativeInt = Field(
        0,
        description="epochs of a first round in which all clients train and are picked; 0: no such "
        "round",
    )
    round_ends: Literal["picked", "all"] = Field(
        "picked", description="with the last client picked, or when all have answered or failed"
    )

    def schedule(self, server: ServerView) -> Schedule:
        if self.warm_up_epochs:
            first = yield everyone_trains(server, self.warm_up_epochs)
            clients = [update.client for update in first]
            yield server.aggregate(
                first, version=0, picked=clients, deprecated=[], going_on={}, recent=[]
            )
        everyone = range(server.clients)
        models = Models(dict.fromkeys(everyone, server.version), set(everyone))
        picked: list[int] = []
        while True:
            if not server.in_flight:
                yield server.wait_idle()
            arrived = server.arrivals()  # what arrived while the server was aggregating
            models.up_to_date |= {update.client for update in arrived}
            deprecated = self.distribute(server, models)
            yield from self.collect(server, arrived, picked)
            picked = self.select(server, arrived, picked)
            models.up_to_date = {update.client for update in arrived}
            if not arrived:
                continue  # no new version: clients that failed continue as they were told before
            recent = self._tolerable(models, server.version + 1)
            at_work = {task.client for task in server.in_flight}
            models.going_on = {
                client: version
                for client, version in recent.items()
                if client not in models.up_to_date and client not in at_work
            }
            yield server.aggregate(
                arrived,
                version=server.version,
                picked=picked,
                deprecated=deprecated,
                going_on=models.going_on,
                recent=sorted(set(recent.values())),  # clients at work may continue from these
            )

    def distribute(self, server: ServerView, models: Models) -> list[int]:
        """Send every client without a task the global model, or the message to continue.

        Returns the deprecated clients among them, in order.
        """
        lagging = {
            client
            for client, lag in models.lags(server.version).items()
            if client not in models.up_to_date and lag > self.lag_tolerance
        }
        for task in server.in_flight:
            if task.client in lagging:
                server.cancel(task)
        at_work = {task.client for task in server.in_flight}
        others = [client for client in range(server.clients) if client not in at_work]
        ready = sorted(server.pick(server.clients, among=others))  # the available ones
        for client in ready:
            server.dispatch(client, retry=False)
            models.versions[client] = models.going_on.get(client, server.version)
        return [client for client in ready if client in lagging]

    def collect(self, server: ServerView, arrived: list[TaskView], before: list[int]) -> Schedule:
        """Wait until the round ends, and add its arrivals to ``arrived``.

        Args:
            server: the server.
            arrived: the arrivals of this round so far.
            before: the clients picked in the last round.
        """
        began, quota = server.now, self.cohort_size(server.clients)
        arrived += server.arrivals()  # those of tasks that take no time
        while True:
            fresh = sum(update.client not in before for update in arrived)
            missing = quota - fresh if self.round_ends == "picked" else server.clients
            left = None
            if self.deadline is not None:  # to the microsecond, as the clock counts
                left = round(self.deadline - (server.now - began), 6)
            if missing <= 0 or not server.in_flight or (left is not None and left <= 0):
                return
            arrived += yield server.wait(server.in_flight, first=missing, deadline=left)
            arrived += server.arrivals()

    def select(
        self, server: ServerView, arrived: Sequence[TaskView], before: Sequence[int]
    ) -> list[int]:
        """CFCFM: the clients picked, first come, first merged, in compensation for the last round.

        Clients that were not picked in the last round (``before``) come before the others.
        """
        in_turn = sorted(arrived, key=lambda update: update.client in before)  # stable
        return [update.client for update in in_turn[: self.cohort_size(server.clients)]]

    def _tolerable(self, models: Models, version: int) -> dict[int, int]:
        """client -> the version that it began from, if it does not lag too far."""
        lags = models.lags(version)
        return {c: v for c, v in models.versions.items() if lags[c] <= self.lag_tolerance}

    def initial_state(self, params: Tensor, population: Population) -> State:
        samples = [population.num_samples(client) for client in range(population.clients)]
        return {
            "shares": [n / sum(samples) for n in samples],
            "initial": params,
            "cache": {},  # client -> model; a client without an entry has the initial model
            "going_on": {},
            "models": {},  # version -> model, of those that clients may continue from
        }

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$W \leftarrow \sum_k \frac{n_k}{n} \text{cache}_k$ over all clients.

        Before it, $\text{cache}_k \leftarrow w_k$ for picked and $\text{cache}_k \leftarrow W$ for
        deprecated clients. After it, $\text{cache}_k \leftarrow w_k$ for undrafted clients.
        """
        picked = set(context["picked"])
        drafted = {u.client: u.params for u in updates if u.client in picked}
        undrafted = {u.client: u.params for u in updates if u.client not in picked}
        cache = state["cache"] | dict.fromkeys(context["deprecated"], params) | drafted
        return _merged(state, cache), {
            **state,
            "cache": cache | undrafted,
            "going_on": dict(context["going_on"]),
            "models": self._kept(params, state, context),
        }

    def _kept(self, params: Tensor, state: State, context: Context) -> dict[int, Tensor]:
        """The global models that clients may still continue from."""
        models = {**state["models"], context["version"]: params}
        return {version: models[version] for version in context["recent"]}

    def refused(self, params: Tensor, state: State, context: Context) -> Step:
        return self.aggregate(params, state, [], context)  # the cache goes on without them

    def starting_point(self, params: Tensor, state: State, client: Client) -> Tensor:
        version = state["going_on"].get(client.id)
        return params if version is None else state["models"][version]


def _merged(state: Mapping[str, Any], cache: Mapping[int, Tensor]) -> Tensor:
    """``sum_k (n_k / n) cache_k``."""
    shares = state["shares"]
    rest = 1 - sum(shares[client] for client in cache)
    model: Tensor = state["initial"] * rest
    for client, vector in cache.items():
        model = model.add(vector, alpha=shares[client])
    return model
