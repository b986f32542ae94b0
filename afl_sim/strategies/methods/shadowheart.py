"""Shadowheart SGD: each worker computes and sends for as long as pays off for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import ClassVar

from pydantic import Field, NonNegativeFloat, PositiveFloat

from afl_sim.errors import ScheduleError
from afl_sim.lazy import Tensor
from afl_sim.learning.training.optimizers import AnyOptimizer
from afl_sim.strategies.about import About
from afl_sim.strategies.base import Context, Problems, Schedule, ServerView, State, Step, Updates
from afl_sim.strategies.bases import ConcurrentStrategy, GradientStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.settings import Concurrency
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.server_optimizer import check_one_rate

LR = 0.05


@dataclass(frozen=True)
class Share:
    """What a worker does in each round.

    Attributes:
        steps: b_i, the gradients that it computes.
        messages: m_i, how often it compresses their sum and sends it.
        weight: that of their mean in the server's step; the weights do not add up to 1.
    """

    steps: int
    messages: int
    weight: float


@register("shadowheart")
class Shadowheart(GradientStrategy, ConcurrentStrategy):
    """Workers compute gradients, and send their sum compressed several times, for a time each.

    Tyurin, Pozzi, Ilin, Richtarik, "Shadowheart SGD: Distributed Asynchronous SGD with Optimal Time
    Complexity Under Arbitrary Computation and Communication Heterogeneity", NeurIPS 2024 (arXiv
    2402.04785). Worker i takes h_i seconds for a gradient and tau_i seconds for a compressed
    message. In a round it computes ``b_i = floor(t*/h_i)`` gradients at w. Then it compresses their
    sum ``m_i = floor(t*/tau_i)`` times with new draws, and sends each result. Workers with b_i or
    m_i of 0 do nothing. When all have arrived, the server steps by
    ``w <- w - gamma sum_i w_i sum_j C_ij(sum_k g_ik) / sum_i w_i m_i b_i`` with
    ``w_i = 1 / (b_i omega + omega s + m_i s)``. omega is the variance of the compression, and s is
    sigma^2/epsilon, the variance of a gradient over the squared norm that is to be reached.

    t* is the equilibrium time (`equilibrium_time`). It is found once, before the first round, from
    mean times: h_i is the mean time of a step in the scenario's tasks. A worker's messages are one
    upload of m_i times the bytes. By default m_i is at most ``ceil(omega + 1)``, about P/K messages
    of K floats for P parameters. Without compression m_i is 1, because one message says all.
    Workers that have left are left out. If an update is lost, the others' weights stay in
    proportion.
    """

    about = About(
        "Tyurin et al., NeurIPS 2024 (arXiv 2402.04785)",
        "synchronous",
        keeps="nothing (a server optimizer: its moments)",
        checked="authors' code",
        source="vectozavr/ringmaster-lmo, code/experiments/asynchronous/"
        "algorithm_with_communication.py (Shadowheart, find_equilibrium_time), at commit 9013e25, "
        "by the group of the authors",
        unconfirmed="the bound on m_i, which that code has, but not by default; that m_i is 1 "
        "without compression is ours. Of the paper's text only the abstract and the beginning were "
        "found. Its variants that know no times, or compress the broadcast, are not here",
    )
    assigns_steps: ClassVar[bool] = True
    gives_steps: ClassVar[bool] = True
    needs_mean_times: ClassVar[bool] = True
    needs_unbiased_updates: ClassVar[bool] = True

    concurrency: Concurrency = Field("all", description="workers, or all clients")
    noise: NonNegativeFloat = Field(
        1.0,
        le=1e12,  # tasks would have too many steps; near the largest float, t* is not found
        description="s = sigma^2/epsilon: a gradient's variance over the squared norm to reach",
    )
    clip_messages: bool = Field(
        True, description="whether m_i is at most ceil(omega + 1), which is about P/K"
    )
    lr: PositiveFloat = Field(LR, description="gamma: the server's step size")
    server_optimizer: AnyOptimizer | None = Field(
        None, description="a torch.optim class that gets the weighted mean, in place of lr"
    )

    def check(self, clients: int) -> Problems:
        yield from super().check(clients)
        yield from check_one_rate("lr", self.lr, LR, self.server_optimizer)

    def schedule(self, server: ServerView) -> Schedule:
        workers = server.workers(self.in_parallel(server.clients))
        parts = [server.expected_parts(worker) for worker in workers]
        for worker, (step, _) in zip(workers, parts, strict=True):
            if not step:
                raise ScheduleError(
                    f"strategy {self.kind}: gradients are shared out by the time that they take, "
                    f"and client {worker}'s take none"
                )
        if not (self.clip_messages or all(message for _, message in parts)):
            raise ScheduleError(
                f"strategy {self.kind}: messages that take no time have no number in a given time; "
                "expected clip_messages: true"
            )
        omega = server.update_variance
        if omega is None:  # refused before the run, but for schedules of one's own
            raise ScheduleError(
                f"strategy {self.kind}: the variance of training.compression.upload is not known; "
                "expected none or randk"
            )
        steps, messages = [step for step, _ in parts], [message for _, message in parts]
        most = ceil(omega + 1) if self.clip_messages else None
        found = shares(steps, messages, omega, self.noise, most)
        planned = dict(zip(workers, found, strict=True))
        active = [worker for worker in workers if planned[worker].weight]
        while True:
            present = [worker for worker in active if not server.is_gone(worker)]
            if not present:
                yield server.wait_idle(among=active)
            tasks = [
                server.dispatch(
                    worker,
                    steps=planned[worker].steps,
                    messages=planned[worker].messages,
                    retry=False,
                )
                for worker in present
            ]
            arrived = yield server.wait(tasks)
            weights = {update.client: planned[update.client].weight for update in arrived}
            yield server.aggregate(arrived, weights=weights)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w - \gamma \sum_i a_i \bar g_i / \sum_i a_i$.

        $\bar g_i = \frac{1}{m_i} \sum_j C_{ij}(\frac{1}{b_i} \sum_k g_{ik})$ and
        $a_i = \frac{m_i b_i}{b_i \omega + \omega s + m_i s}$.
        """
        mean, state = self.direction(params, state, updates, context)
        return params + self.lr * mean, state

    def direction(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$-\sum_i a_i \bar g_i / \sum_i a_i$."""
        weights = [context["weights"][update.client] for update in updates]
        return weighted_mean([update.delta for update in updates], weights), state


def equilibrium_time(
    steps: Sequence[float], messages: Sequence[float], omega: float, noise: float
) -> float:
    """t*: the time (seconds) that workers compute, and then send, in a round.

    With the workers in the order of ``max(h_i, tau_i)`` it is the least over j of the larger one of
    ``max(h_j, tau_j)`` and x_j. x_j solves ``sum_{i <= j} x / (A_i + B_i/x) = 1`` with
    ``A_i = 2 tau_i omega + 2 h_i s`` and ``B_i = 4 tau_i omega h_i s``. It is 0 where an A_i is 0.

    Args:
        steps: h_i, of at least one worker.
        messages: tau_i.
        omega: the variance of a message's compression.
        noise: s, which is sigma^2/epsilon.

    Example:
        Two workers without compression need 2 gradients, and the slower one would take too long:

        >>> equilibrium_time([1.0, 9.0], [0.0, 0.0], omega=0.0, noise=1.0)
        2.0
    """
    order = sorted(range(len(steps)), key=lambda i: max(steps[i], messages[i]))
    terms: list[tuple[float, float]] = []
    best = inf
    for i in order:
        sending, computing = messages[i] * omega, steps[i] * noise
        terms.append((2 * sending + 2 * computing, 4 * sending * computing))
        best = min(best, max(_solved(terms), steps[i], messages[i]))
    return best


def _solved(terms: Sequence[tuple[float, float]]) -> float:
    """The x at which ``sum x^2 / (A x + B)`` is 1; the sum grows with x."""
    if not all(a for a, _ in terms):
        return 0.0
    low = 1 / sum(1 / a for a, _ in terms)  # where all B are 0, this is it
    if not any(b for _, b in terms):
        return low

    def enough(x: float) -> bool:
        return sum(x * x / (a * x + b) for a, b in terms) >= 1

    high = low
    while not enough(high):
        low, high = high, 2 * high
    while low < (middle := (low + high) / 2) < high:
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def shares(
    steps: Sequence[float],
    messages: Sequence[float],
    omega: float,
    noise: float,
    most: int | None = None,
) -> list[Share]:
    """What each worker does in a round; one that does nothing has the weight 0.

    Args:
        steps, messages, omega, noise: as for `equilibrium_time`; the steps take time.
        most: a bound on m_i; it is needed where a message takes no time.
    """
    time = equilibrium_time(steps, messages, omega, noise)
    if not omega:
        most = 1  # one message says all
    found = []
    for step, message in zip(steps, messages, strict=True):
        b = floor(time / step)
        in_time = time / message if message else inf
        m = floor(in_time if most is None else min(in_time, most))
        spread = b * omega + omega * noise + m * noise
        found.append(Share(b, m, b * m / spread if spread else float(b * m)))
    return found
