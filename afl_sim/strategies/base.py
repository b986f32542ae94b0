"""What a strategy is: a schedule in virtual time and a pure update rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.scenario.section import Checked
from afl_sim.strategies.about import About
from afl_sim.strategies.declared import misdeclared
from afl_sim.strategies.inputs import Client, Population, Public, Reading, Update, Work
from afl_sim.strategies.server_view import ServerView
from afl_sim.strategies.settings import Problems
from afl_sim.strategies.task_view import Schedule

__all__ = [
    "Client",
    "Context",
    "Population",
    "Problems",
    "Public",
    "Reading",
    "Schedule",
    "ServerView",
    "State",
    "Step",
    "Strategy",
    "Update",
    "Updates",
    "Work",
]

State = Any
"""A strategy's own numbers: None, a tensor, or nested dicts, lists and tuples of plain values."""

Updates = Sequence[Update]
"""The updates of an aggregation, in order of arrival, at least one."""

Context = Mapping[str, Any]
"""The plain values that the schedule passed to `ServerView.aggregate`."""

Step = tuple[Tensor, State]
"""What a rule returns: a vector of shape (P,), and the next state."""


class Strategy(Checked):
    """An algorithm of the server. Its fields are its hyperparameters; they cannot be changed.

    `schedule` decides when clients train and when the server aggregates. It handles no tensor.
    `aggregate` computes the next model. It knows no clock. Neither stores anything on the strategy.

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
    """Its source and type, for listings. Each subclass has its own."""
    gradient: ClassVar[bool] = False
    """A task computes the mean gradient g over its mini-batches at the downloaded model, and its
    delta is -g."""
    gradients_per_step: ClassVar[int] = 1
    """How many gradients a local step computes; it takes so many times as long, where the scenario
    gives the time of a sample or of a step."""
    refreshes: ClassVar[bool] = False
    """The schedule sends tasks with ``refresh_after``: clients ask for the newest model on the way,
    and merge it into their own by `refresh_weight`."""
    queues_at_clients: ClassVar[bool] = False
    """The schedule sends tasks to clients at work. This implies ``clients.queue: fifo``."""
    polls: ClassVar[bool] = False
    """The schedule polls clients, so clients cannot queue tasks."""
    assigns_steps: ClassVar[bool] = False
    """The schedule gives clients numbers of steps by the time that a step takes, so a task's time
    must depend on its steps."""
    gives_steps: ClassVar[bool] = False
    """Every task is sent with a number of steps, so ``training.epochs`` and ``training.steps`` have
    no effect."""
    reads_timing: ClassVar[bool] = False
    """The schedule uses `ServerView.timing`, so computations must take time, and clients that leave
    must not send part of their work."""
    needs_mean_times: ClassVar[bool] = False
    """The schedule uses `ServerView.expected_seconds`, so task times must have a mean."""
    needs_unbiased_updates: ClassVar[bool] = False
    """The schedule uses `ServerView.update_variance`, so ``training.compression.upload`` must be
    none or randk."""
    waits_for_all: ClassVar[bool] = False
    """The first version needs an update of every client. Fleets with a client that never takes part
    are then refused."""
    waits_again: ClassVar[bool] = False
    """Each later version needs an update of every client, too, that has come since the one
    before."""
    reads_results: ClassVar[bool] = False
    """The schedule uses `ServerView.result` or `measure`, so it cannot run without training."""
    buffers_by_rule: ClassVar[bool] = False
    """The rule is a weighted mean of vectors of any length, so ``server.buffers: rule`` can apply
    it to buffers as well."""
    reads_client_tests: ClassVar[bool] = False
    """The schedule uses `ServerView.client_accuracies`, which needs ``evaluation.per_client``."""
    results_key: ClassVar[str] = "kind"
    """The key that makes the schedule read results, for messages."""
    plain_sgd: ClassVar[bool] = False
    """The rule takes local steps to be ``w <- w - lr g`` (it divides by `Work.lr`). Another local
    optimizer, momentum and a rate of 0 are then refused."""
    adapts: ClassVar[tuple[str, ...]] = ()
    """The settings that ``server.adaptive`` may change: ``concurrency`` if the schedule sends
    tasks with `ServerView.send`, first so many and then one for each that has ended;
    ``buffer_size`` if it asks `ServerView.in_force` for it. The rule finds their values in the
    context."""
    optimizer_gets: ClassVar[Literal["direction", "nothing"]] = "direction"
    """What ``server_optimizer`` gets: the vector of `direction`; or nothing, if the rule needs a
    step of its own, and then the setting is refused."""

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

    @model_validator(mode="after")
    def _says_what_can_be(self) -> Self:
        problem = misdeclared(self)
        if problem is not None:
            raise PydanticCustomError("scenario", "{why}", {"why": f"{self.kind}: {problem}"})
        return self

    @property
    def proximal(self) -> float:
        """The weight of the local proximal term, in place of ``training.proximal``; 0 is none."""
        return 0.0

    @property
    def lr_scale(self) -> float:
        """A factor on the local learning rate."""
        return 1.0

    @property
    def public_batch(self) -> Public | None:
        """A batch whose gradients the rule uses; None, the default, is no such batch.

        `Update.public_gradient` is its gradient at the client's model as the server has it, and
        ``context["public_gradient"]`` that at the global model. They take no virtual time.
        """
        return None

    @property
    def task_limit(self) -> tuple[str, float] | None:
        """The key and the seconds after which the schedule gives up each task, without using it.

        A fleet whose tasks all take longer is then refused. None, the default, is no such limit.
        """
        return None

    def check(self, clients: int) -> Problems:
        """Settings that cannot work with this number of clients, as (key path, message)."""
        return ()

    def schedule(self, server: ServerView) -> Schedule:
        """What the server does in virtual time. The words that it can use are in `ServerView`.

        It is a SimPy process: a generator that yields the events that it waits for.
        """
        raise NotImplementedError

    def initial_state(self, params: Tensor, population: Population) -> State:
        """The strategy's state before the first aggregation.

        Args:
            params: shape (P,), float32: the initial model.
            population: the clients.
        """
        return None

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        """The next global model, shape (P,), and the next state.

        It is a pure function: it changes none of its arguments.

        Args:
            params: shape (P,), float32: the global model.
            state: the state that the last aggregation returned.
            updates: in order of arrival, at least one.
            context: the plain values that the schedule passed to ``server.aggregate``.
        """
        raise NotImplementedError

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        """The vector along which ``server_optimizer`` steps, shape (P,), and the next state.

        The optimizer gets the negative of this vector as its gradient. By default the vector is the
        move that `aggregate` makes. A rule with its own learning rate leaves that rate out. It is a
        pure function with the arguments of `aggregate`.
        """
        after, state = self.aggregate(params, state, updates, context)
        return after - params, state

    def refused(self, params: Tensor, state: State, context: Context) -> Step:
        """The next model and state if the server's guard has refused all updates.

        By default nothing changes. A state that follows the context must follow it here too.
        """
        return params, state

    def starting_point(self, params: Tensor, state: State, client: Client) -> Tensor:
        """The model at which a client begins to train, shape (P,); by default the global model."""
        return params

    def correction(self, params: Tensor, state: State, client: Client) -> Tensor | None:
        """A vector, shape (P,), added to every local gradient of a task; None adds nothing."""
        return None

    def second_point(
        self, params: Tensor, state: State, client: Client
    ) -> tuple[Tensor, float] | None:
        """Another model w', shape (P,), at which a gradient task computes a gradient, and a factor.

        It is the gradient g(w') of the same samples with the same random numbers. With the factor b
        the task's delta is ``-(g(w) - b g(w'))``. None, the default, leaves it at -g(w). Only
        gradient methods have it, and they say so by ``gradients_per_step = 2``.
        """
        return None

    def refresh_weight(self, base_version: int, fresh_version: int) -> float:
        """The weight b of a fresh model w', which a client merges into its own during a task.

        Its parameters w become ``(1 - b) w + b w'``, and its optimizer goes on as it is. It is for
        strategies with ``refreshes = True``.

        Args:
            base_version: the version that the task began with.
            fresh_version: the version of w'. It is larger: else there is nothing to merge.

        Returns:
            A number from 0 to 1; by default 1, so that the client goes on from w'.
        """
        return 1.0

    def proximal_factor(self, params: Tensor, state: State, client: Client) -> float:
        """A factor on the weight of the proximal term of a client's task; by default 1."""
        return 1.0

    def client_state(
        self, params: Tensor, state: State, client: Client, work: Work
    ) -> Tensor | None:
        """What the client keeps after a task: a flat float32 vector of any length, or None.

        It takes effect when the update arrives. It comes with the update, and every checkpoint
        holds it. After a task of no steps the client keeps what it had.
        `afl_sim.strategies.toolkit.named_pieces` puts several named tensors into one vector.

        Args:
            params: shape (P,), the model that the client downloaded.
            state: the state at that time.
            client: the client before the task.
            work: what it has done in the task.
        """
        return None

    @classmethod
    def uses_own(cls) -> bool:
        """Whether a task depends on what its client keeps."""
        hooks = ("starting_point", "correction", "proximal_factor", "client_state")
        return any(getattr(cls, hook) is not getattr(Strategy, hook) for hook in hooks)

    @classmethod
    def uses_state(cls) -> bool:
        """Whether a task depends on the strategy's state, or on what its client keeps."""
        return cls.uses_own() or cls.second_point is not Strategy.second_point
