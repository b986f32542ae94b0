"""SAFA: rounds that end with the quickest, and a cache in which everybody counts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field, NonNegativeInt
from torch import Tensor

from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Client,
    ClientsPerRound,
    Population,
    ServerView,
    State,
    Strategy,
    Update,
    VirtualSeconds,
    check_at_most,
    per_round,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.rounds import everyone_trains


@register("safa")
class SAFA(Strategy):
    """All clients train; a round takes the first, those passed over before going first.

    Wu, He, Lin, Mao, Maple, Jarvis, "SAFA: A Semi-Asynchronous Protocol for Fast Federated Learning
    with Low Overhead", IEEE Trans. Computers 70(5), 2021 (arXiv 1910.01355).

    Distribution: clients that delivered in the last round, and deprecated ones, whose model lags by
    more than the tolerance, get the global model W; a deprecated client that is still at work
    starts anew. Clients between the two go on with the model they have.
    Selection (CFCFM): arrivals of clients that were not picked in the last round are picked as they
    come, until there are ``clients_per_round``; the round ends then, or when nothing is under way,
    or at the deadline, and the first of the other arrivals fill what is missing. The rest are
    undrafted.
    Aggregation: ``cache_k <- w_k`` of the picked and ``cache_k <- W`` of the deprecated;
    ``W <- sum_k (n_k / n) cache_k`` over all clients; then ``cache_k <- w_k`` of the undrafted.

    With ``round_ends: all`` a round lasts until every client has answered or failed, so that all
    who did not fail are picked or undrafted in it. They are in the authors' own simulation, where a
    round is said to take only as long as the slowest client picked.

    A client whose task failed lost its work: going on means from the model it last received. Its
    notice to go on takes as long as a download, and the event log counts its staleness from there.
    """

    about = About(
        "Wu et al., IEEE Trans. Computers 2021 (arXiv 1910.01355)",
        "semi-synchronous",
        keeps="each client's last model",
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
        description="epochs of a first round in which all clients train and are picked; 0: there "
        "is none",
    )
    round_ends: Literal["picked", "all"] = Field(
        "picked", description="with the last client picked, or when all have answered or failed"
    )

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        return check_at_most("clients_per_round", self.clients_per_round, clients)

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        everyone = range(server.clients)
        if self.warm_up_epochs:
            first = yield everyone_trains(server, self.warm_up_epochs)
            clients = [update.client for update in first]
            yield server.aggregate(
                first, version=0, picked=clients, deprecated=[], going_on={}, recent=[]
            )
        received = dict.fromkeys(
            everyone, server.version
        )  # the version that each client trains from
        synced = set(everyone)  # who gets the global model whatever its lag
        going_on: dict[int, int] = {}
        picked: list[int] = []
        while True:
            if not server.in_flight:
                yield server.wait_idle()
            arrived = server.arrivals()  # what came while the server was aggregating
            synced |= {update.client for update in arrived}
            lagging = {
                c
                for c in everyone
                if c not in synced and server.version - received[c] > self.lag_tolerance
            }
            for task in server.in_flight:
                if task.client in lagging:
                    server.cancel(task)
            working = {task.client for task in server.in_flight}
            idle = [c for c in everyone if c not in working]
            ready = sorted(server.pick(server.clients, among=idle))  # idle and there
            deprecated = [c for c in ready if c in lagging]
            for client in ready:
                server.dispatch(client, retry=False)
                received[client] = going_on.get(client, server.version)
            yield from self._collect(server, arrived, picked)
            picked = self._pick(server, arrived, picked)
            synced = {update.client for update in arrived}
            working = {task.client for task in server.in_flight}
            if not arrived:
                continue  # no version: whoever failed is to go on as was said last
            recent = {
                c: received[c]
                for c in everyone
                if server.version + 1 - received[c] <= self.lag_tolerance
            }
            going_on = {c: v for c, v in recent.items() if c not in synced and c not in working}
            yield server.aggregate(
                arrived,
                version=server.version,
                picked=picked,
                deprecated=deprecated,
                going_on=going_on,
                recent=sorted(set(recent.values())),  # who is at work may go on from these later
            )

    def _collect(
        self, server: ServerView, arrived: list[Any], before: list[int]
    ) -> Generator[Any, Any, None]:
        """Add a round's arrivals; ``before`` are the clients picked in the last round."""
        began, quota = server.now, per_round(self.clients_per_round, server.clients)
        arrived += server.arrivals()  # at once, where tasks take no time
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

    def _pick(self, server: ServerView, arrived: list[Any], before: list[int]) -> list[int]:
        """The clients whose arrivals are picked: first come, those not picked before first."""
        quota = per_round(self.clients_per_round, server.clients)
        turn = sorted(arrived, key=lambda update: update.client in before)  # stable
        return [update.client for update in turn[:quota]]

    def initial_state(self, params: Tensor, population: Population) -> State:
        samples = [population.num_samples(client) for client in range(population.clients)]
        return {
            "shares": [n / sum(samples) for n in samples],
            "initial": params,
            "cache": {},  # client -> model; the others' is the initial one
            "going_on": {},
            "models": {},  # version -> model, of those that clients may go on from
        }

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        shares, cache, picked = state["shares"], dict(state["cache"]), set(context["picked"])
        cache |= dict.fromkeys(context["deprecated"], params)
        cache |= {u.client: u.params for u in updates if u.client in picked}
        rest = 1 - sum(shares[client] for client in cache)
        model = state["initial"] * rest
        for client, vector in cache.items():
            model = model.add(vector, alpha=shares[client])
        cache |= {u.client: u.params for u in updates if u.client not in picked}
        models = {**state["models"], context["version"]: params}
        recent = {version: models[version] for version in context["recent"]}
        going_on = dict(context["going_on"])
        return model, {**state, "cache": cache, "going_on": going_on, "models": recent}

    def refused(
        self, params: Tensor, state: State, context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        return self.aggregate(params, state, [], context)  # the cache goes on without them

    def starting_point(self, params: Tensor, state: State, client: Client) -> Tensor:
        version = state["going_on"].get(client.id)
        return params if version is None else state["models"][version]
