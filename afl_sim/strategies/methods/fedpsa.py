"""FedPSA: a buffer weighted by how alike sensitive the models are to their parameters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from afl_sim.lazy import F, Tensor, torch
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Population,
    Public,
    Schedule,
    ServerView,
    State,
    Step,
    Updates,
)
from afl_sim.strategies.bases import ConcurrentStrategy
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.schedules import buffers
from afl_sim.streams import Streams

_LEAST: Final = 2.0**-23  # in place of an M_0 of 0


@register("fedpsa")
class FedPSA(ConcurrentStrategy):
    """FedBuff with weights by likeness: how sensitive the loss is to each parameter.

    Lu, Sun, Yang, Chen, Yin, Zhu, "FedPSA: Modeling Behavioral Staleness in Asynchronous Federated
    Learning", Expert Systems with Applications 2026 (arXiv 2602.15337). A model's sensitivity is
    about what the loss would change by if one parameter were 0: ``s_j = |g_j w_j - F_j w_j^2 / 2|``
    with the gradient g of a batch that the server and all clients have, and ``F_j = g_j^2``. Its
    sketch is ``R s``, with k rows of independent normal numbers of variance 1/k; R is the same in
    all runs. ``kappa_i`` is the cosine between the sketches of client i's model and of the global
    one.

    M is the mean of ``||Delta||^2`` over the last L_q updates, and M_0 what it was when there were
    as many for the first time. When ``buffer_size`` updates have arrived, the step is
    ``w <- w + sum_i a_i Delta_i`` with ``a = softmax(kappa / T)`` and
    ``T = gamma M / M_0 + delta``. So weights differ more as updates become smaller. Until M_0 is
    known they are equal.

    The common batch is noise, standard normal inputs with labels drawn at random, or a part of
    ``data.validation``. Sensitivities take no virtual time, and sketches are no part of an upload.
    """

    about = About(
        "Lu et al., Expert Systems with Applications 2026 (arXiv 2602.15337)",
        "semi-synchronous",
        keeps="the norms of the last updates",
        checked="re-implementations",
        source="nclabteam/FedProC, strategies/FedPSA.py, which names the paper's formulas, in a "
        "state after commit 91f81c7, whose defaults its documentation calls the paper's; a digest "
        "of the paper has T",
        unconfirmed="the absolute value in s, which a digest of the paper does not have; what the "
        "common batch consists of: the re-implementation has noise, and by a digest noise can "
        "stand for common samples; its size; the weights before M_0 is known. Of the paper only "
        "the abstract was found, and no code of its authors",
    )
    adapts = ("concurrency", "buffer_size")

    buffer_size: PositiveInt = Field(5, description="updates per server step")
    sketch_size: PositiveInt = Field(16, description="k: the length of a sketch")
    window: PositiveInt = Field(50, description="L_q: the number of updates that M is a mean of")
    temperature_scale: NonNegativeFloat = Field(
        5.0, description="gamma: the part of T that follows M"
    )
    least_temperature: PositiveFloat = Field(
        0.5, description="delta: the part of T that is constant"
    )
    batch: Literal["noise", "validation"] = Field(
        "noise", description="the samples of the common batch: noise, or of data.validation"
    )
    batch_samples: PositiveInt = Field(32, description="the number of samples in the common batch")

    @property
    def public_batch(self) -> Public:
        return Public(self.batch_samples, self.batch)

    def schedule(self, server: ServerView) -> Schedule:
        return buffers(server, self.in_parallel(server.clients), self.buffer_size)

    def initial_state(self, params: Tensor, population: Population) -> State:
        return {"norms": [], "first": None}

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow w + \sum_i a_i \Delta_i$, with $a = \text{softmax}(\kappa / T)$.

        $\kappa_i = \cos(R s(w_i), R s(w))$, $T = \gamma M / M_0 + \delta$.
        """
        state = self._later(state, [float(each.delta.double().square().sum()) for each in updates])
        weights = [1.0] * len(updates)
        if state["first"] is not None:
            ours = self._sketch(params, context["public_gradient"])
            sketches = [self._sketch(each.params, each.public_gradient) for each in updates]
            likeness = [float(F.cosine_similarity(sketch, ours, dim=0)) for sketch in sketches]
            weights = softmax(likeness, self._temperature(state))
        return params + weighted_mean([update.delta for update in updates], weights), state

    def _later(self, state: State, norms: Sequence[float]) -> State:
        """The state after updates of these squared norms, in order of arrival."""
        window, first = list(state["norms"]), state["first"]
        for norm in norms:
            window = [*window, norm][-self.window :]
            if first is None and len(window) == self.window:
                first = math.fsum(window) / self.window
        return {"norms": window, "first": first}

    def _temperature(self, state: State) -> float:
        """T."""
        now = math.fsum(state["norms"]) / len(state["norms"])
        first = max(float(state["first"]), _LEAST)
        return self.temperature_scale * now / first + self.least_temperature

    def _sketch(self, params: Tensor, gradient: Tensor | None) -> Tensor:
        """R s, shape (k,)."""
        assert gradient is not None
        change = gradient * params
        sensitivity = (change - 0.5 * change * change).abs()
        return projection(self.sketch_size, len(params)) @ sensitivity


@lru_cache(maxsize=2)
def projection(rows: int, columns: int) -> Tensor:
    """R, shape (k, P)."""
    draws = Streams(0).generator("fedpsa").standard_normal((rows, columns), dtype="float32")
    return torch.from_numpy(draws) / math.sqrt(rows)


def softmax(numbers: Sequence[float], temperature: float) -> list[float]:
    """``e^(x / T) / sum e^(x / T)``, for each x."""
    largest = max(numbers)
    powers = [math.exp((number - largest) / temperature) for number in numbers]
    return [power / math.fsum(powers) for power in powers]
