"""What a strategy is: a schedule in virtual time and a pure update rule."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    StrictInt,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError
from torch import Tensor

from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About

State = Any
"""A strategy's own numbers: None, a tensor, or nested dicts, lists and tuples of plain values."""

Concurrency = PositiveInt | Literal["all"]
"""How many clients train at once; ``all`` keeps every client busy."""

ClientsPerRound = Annotated[StrictInt, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]
"""A whole number of clients, or a fraction of the population with a decimal point (1.0 is all)."""


LEAST_RATE = 1e-30
"""A schedule may make a rate smaller than this. No gradient can then be told from a step."""


@dataclass(frozen=True, slots=True)
class Update:
    """What one client's task contributes to an aggregation.

    P is the number of model parameters; buffers (BatchNorm's statistics) are not among them.

    Attributes:
        client: the client's index.
        base_version: the version that the client downloaded.
        staleness: versions made between that download and this aggregation, its own excluded.
        num_samples: n_k, the samples that the client holds.
        steps: local steps that the client did.
        delta: shape (P,): the local model minus its starting point; for a gradient method, -g.
        params: shape (P,): the local model after training; for a gradient method, where it took g.
        loss: the mean training loss over the task; NaN where no step was done.
        client_state: what the client keeps after the task (`Strategy.client_state`), if anything.
        lr_factor: the factor of ``training.lr_schedule`` on the task's learning rate.
    """

    client: int
    base_version: int
    staleness: int
    num_samples: int
    steps: int
    delta: Tensor
    params: Tensor
    loss: float
    client_state: Tensor | None = None
    lr_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a schedule may know of an update's numbers (`Server.result`).

    Attributes:
        client, base_version, staleness, num_samples, steps, loss: as those of `Update`.
    """

    client: int
    base_version: int
    staleness: int
    num_samples: int
    steps: int
    loss: float


@dataclass(frozen=True, slots=True)
class Client:
    """A client that is about to train.

    What it has of its own counts from the arrival of an update on: a task that never arrives leaves
    no trace.

    Attributes:
        id: the client's index.
        params: shape (P,): the model it ended its last task with, or None before its first.
        state: what it kept after that task (`Strategy.client_state`), or None.
    """

    id: int
    params: Tensor | None
    state: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """What a client has done in a task.

    Attributes:
        steps: local steps, at least one.
        lr: the local learning rate.
        delta: shape (P,): the local model minus its starting point; for a gradient method, -g.
    """

    steps: int
    lr: float
    delta: Tensor


@dataclass(frozen=True, slots=True)
class Population:
    """What is known of the clients before the first of them answers.

    Attributes:
        clients: how many there are.
        num_samples: n_k, the samples that a client holds, by its index.
    """

    clients: int
    num_samples: Callable[[int], int]


class Strategy(BaseModel):
    """An algorithm of the server. Fields are its hyperparameters, and they are frozen.

    `schedule` handles no tensor and `aggregate` no clock; neither stores anything on the strategy.

    Example:
        >>> from afl_sim import Strategy
        >>> class Replace(Strategy):
        ...     concurrency: int = 5
        ...
        ...     def schedule(self, server):
        ...         server.send(self.concurrency)
        ...         while True:
        ...             update = yield server.arrival()
        ...             yield server.aggregate([update])
        ...             server.send()
        ...
        ...     def aggregate(self, params, state, updates, context):
        ...         return updates[-1].params, state
        >>> Replace(concurrency=10).concurrency
        10
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    kind: str = Field("", description="the strategy's name, or package.module:Class")
    server_optimizer: AnyOptimizer | None = Field(
        None,
        description="a torch.optim class, FedAdagrad, FedAdam or FedYogi that makes the server's "
        "step: it gets the pseudo-gradient, the negative of the move that the rule would make",
    )

    registered_name: ClassVar[str] = ""
    about: ClassVar[About | None] = None
    """Its paper and kind, for listings; a subclass has its own."""
    gradient: ClassVar[bool] = False
    """Tasks return -g at the downloaded model: the mean gradient over the task's mini-batches."""
    queues_at_clients: ClassVar[bool] = False
    """The schedule sends tasks to clients at work; implies ``clients.queue: fifo``."""
    polls: ClassVar[bool] = False
    """The schedule polls clients, which therefore cannot queue tasks."""
    needs_mean_times: ClassVar[bool] = False
    """The schedule asks for `Server.expected_seconds`, so that tasks must have a mean duration."""
    reads_results: ClassVar[bool] = False
    """The schedule reads results (`Server.result`), so it cannot run without training."""
    results_key: ClassVar[str] = "kind"
    """The key by which it comes to read results, for messages."""
    plain_sgd: ClassVar[bool] = False
    """The rule takes local work for steps ``w <- w - lr g`` (it divides by `Work.lr`), so that
    another local optimizer, momentum or a rate of 0 is refused."""
    optimizer_gets: ClassVar[Literal["direction", "nothing"]] = "direction"
    """What ``server_optimizer`` gets: what `direction` gives; or nothing, where the rule needs a
    step of its own and a setting is refused."""

    @model_validator(mode="before")
    @classmethod
    def _name_itself(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and not data.get("kind"):
            name = vars(cls).get("registered_name")  # its own: a subclass is another strategy
            return {**data, "kind": name or f"{cls.__module__}:{cls.__qualname__}"}
        return data

    @field_validator("server_optimizer")
    @classmethod
    def _optimizer_fits(cls, optimizer: Any) -> Any:
        if optimizer is not None and cls.optimizer_gets == "nothing":
            raise PydanticCustomError(
                "scenario",
                f"{cls.registered_name or cls.__name__} takes none: "
                "its rule needs a step of its own",
            )
        return optimizer

    @property
    def proximal(self) -> float:
        """Weight of the local proximal term, in place of ``training.proximal``; 0 for none."""
        return 0.0

    @property
    def lr_scale(self) -> float:
        """A factor on the local learning rate."""
        return 1.0

    def check(self, clients: int) -> Iterable[tuple[tuple[str, ...], str]]:
        """Settings that cannot work with this many clients, as (key path, message)."""
        return ()

    def schedule(self, server: ServerView) -> Generator[Any, Any, None]:
        """The server's life in virtual time: a SimPy process. It handles no tensor."""
        raise NotImplementedError

    def initial_state(self, params: Tensor, population: Population) -> State:
        """The strategy's state before the first aggregation; ``params`` has shape (P,)."""
        return None

    def aggregate(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """The next global model and state. A pure function: no argument is changed.

        Args:
            params: shape (P,), float32: the global model.
            state: what the last aggregation returned.
            updates: in order of arrival, at least one.
            context: the plain values that the schedule passed to ``server.aggregate``.
        """
        raise NotImplementedError

    def direction(
        self, params: Tensor, state: State, updates: Sequence[Update], context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """Where ``server_optimizer`` is to go, and the next state. A pure function, as `aggregate`.

        The optimizer gets the negative of this vector, shape (P,), as its gradient. By default that
        is the move that `aggregate` makes. A rule with a rate of its own leaves the rate out.
        """
        after, state = self.aggregate(params, state, updates, context)
        return after - params, state

    def refused(
        self, params: Tensor, state: State, context: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """The next model and state where the server's guard refused all updates of an aggregation.

        By default nothing changes. Where the state follows the context, it has to here too.
        """
        return params, state

    def starting_point(self, params: Tensor, state: State, client: Client) -> Tensor:
        """Where a client begins to train, shape (P,); by default at the model it downloads."""
        return params

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        """A vector, shape (P,), that is added to every local gradient of a task; None for none."""
        return None

    def client_state(
        self, params: Tensor, state: State, client: Client, work: Work
    ) -> Tensor | None:
        """What the client keeps after a task, a flat float32 vector of any length, or None.

        It counts once the update has arrived, comes with the update and is in every checkpoint. A
        task of no steps leaves what the client had. ``params`` and ``state`` are those that the
        client downloaded.
        """
        return None

    @classmethod
    def uses_own(cls) -> bool:
        """Whether a task depends on what its client has of its own."""
        hooks = ("starting_point", "correction", "client_state")
        return any(getattr(cls, hook) is not getattr(Strategy, hook) for hook in hooks)


class ServerView(Protocol):
    """The words of a schedule; `afl_sim.world.server.server.Server` documents each."""

    version: int

    @property
    def now(self) -> float: ...
    @property
    def clients(self) -> int: ...
    @property
    def idle(self) -> int: ...
    @property
    def in_flight(self) -> tuple[Any, ...]: ...
    def task(self, client: int) -> Any: ...
    def staleness(self, dispatch: Any) -> int: ...
    def is_gone(self, client: int) -> bool: ...
    def is_paused(self, dispatch: Any) -> bool: ...
    def expected_seconds(self, client: int) -> float: ...
    def uniform(self, purpose: str, client: int = 0, k: int = 0) -> float: ...
    def result(self, dispatch: Any) -> Reading: ...
    def measure(
        self, function: Callable[[Sequence[Update]], Any], updates: Iterable[Any]
    ) -> Any: ...
    def pick(self, n: int, among: Sequence[int] | None = None) -> list[int]: ...
    def pick_one(self) -> int: ...
    def workers(self, n: int) -> list[int]: ...
    def sample(self, n: int) -> list[int]: ...
    def dispatch(
        self,
        client: int,
        *,
        epochs: float | None = None,
        steps: int | None = None,
        until_polled: bool = False,
        retry: bool = True,
    ) -> Any: ...
    def dispatch_many(self, clients: Iterable[int]) -> list[Any]: ...
    def send(self, n: int = 1) -> list[Any]: ...
    def cancel(self, dispatch: Any) -> None: ...
    def discard(self, dispatch: Any) -> None: ...
    def recall(self, dispatch: Any) -> Any: ...
    def poll(self, client: int) -> Any: ...
    def sleep(self, seconds: float) -> Any: ...
    def arrival(self) -> Any: ...
    def arrivals(self) -> list[Any]: ...
    def wait(
        self, dispatches: Iterable[Any], *, first: int | None = None, deadline: float | None = None
    ) -> Any: ...
    def wait_idle(self, n: int = 1, among: Sequence[int] | None = None) -> Any: ...
    def spawn(self, schedule: Generator[Any, Any, None]) -> Any: ...
    def aggregate(self, updates: Iterable[Any], **context: Any) -> Any: ...


VirtualSeconds = Annotated[float, Field(ge=1e-6, le=9e12)]
"""A time that the clock can count, at least one microsecond."""

VirtualWait = Annotated[float, Field(ge=0, le=9e12)]
"""The same, or no time at all."""

LocalSteps = Annotated[int, Field(ge=1, le=10**8)]
"""Local steps in a task."""


def in_parallel(concurrency: Concurrency, clients: int) -> int:
    """The number of clients that ``concurrency`` means in a population of ``clients``."""
    return clients if concurrency == "all" else int(concurrency)


def per_round(clients_per_round: float, clients: int) -> int:
    """The number of clients that a count or a fraction of the population means, at least 1.

    A fraction is rounded once for the whole run, as the size of a cohort in FedAvg's paper is.
    """
    if isinstance(clients_per_round, int):
        return clients_per_round
    return max(1, round(clients_per_round * clients))


def check_at_most(
    key: str, value: Concurrency | float, clients: int
) -> list[tuple[tuple[str, ...], str]]:
    """A complaint if ``value`` is a number of clients larger than the population."""
    if isinstance(value, int) and value > clients:
        return [((key,), f"{value} is more than there are clients; expected at most {clients}")]
    return []


def weighted_mean(vectors: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``sum_i weights_i vectors_i / sum weights``, added up in the order given."""
    total = float(sum(weights))
    mean = vectors[0] * (weights[0] / total)
    for vector, weight in zip(vectors[1:], weights[1:], strict=True):
        mean = mean.add(vector, alpha=weight / total)
    return mean
