"""TiFL: synchronous rounds, each within one latency tier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, count
from typing import ClassVar, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt

from afl_sim.lazy import Tensor
from afl_sim.strategies.about import About
from afl_sim.strategies.base import (
    Context,
    Problems,
    Schedule,
    ServerView,
    State,
    Step,
    Strategy,
    Updates,
)
from afl_sim.strategies.registry import register
from afl_sim.strategies.toolkit.means import weighted_mean
from afl_sim.strategies.toolkit.tiers import check_tiers, latency_tiers


@register("tifl")
class TiFL(Strategy):
    """Each round draws a latency tier and trains some of its clients, as FedAvg does.

    Chai et al., "TiFL: A Tier-based Federated Learning System", HPDC 2020 (arXiv 2001.09249).
    ``static`` draws tiers with fixed probabilities. ``adaptive`` (Algorithm 2) gives each tier a
    number of credits; a round costs one. Every ``interval`` rounds it looks at the accuracies of
    the tiers. If the accuracy of the current tier has not risen, the n tiers that have credits left
    get the probabilities (n - 1, n - 2, ..., 0) / (n (n - 1) / 2), from the least accurate to the
    most accurate. Two re-implementations (bacox/fltk and one after it) change the probabilities at
    every look (``changes: always``), to (n, n - 1, ..., 1) / (n (n + 1) / 2) (``ranks: from_one``),
    and one gives each tier ceil(rounds / tiers) credits.

    With ``accuracy: test``, as in the paper, the accuracy of a tier is the mean of the global
    model's accuracies on the samples that its clients keep for tests. That needs
    ``data.client_test`` and ``evaluation.per_client``. By default, the negative mean training loss
    of the tier's latest round takes its place. A tier whose accuracy is not known counts as the
    least accurate.

    When all credits are used up, all tiers get theirs again. If only tiers of probability 0 have
    credits left, these are drawn with equal probabilities. A tier whose clients have all left for
    good is not drawn.
    """

    about = About(
        "Chai et al., HPDC 2020 (arXiv 2001.09249)",
        "synchronous",
        checked="re-implementations",
        source="bacox/fltk, fltk/strategy/client_selection/tifl.py; notes on the paper's "
        "Algorithm 2 (QiTianyu-0403/Markdown4Zhihu)",
        unconfirmed="whether a look changes something if the current tier's accuracy has fallen, "
        "as here, or has risen, as the notes say; the paper's text was not found",
    )

    buffers_by_rule = True
    needs_mean_times: ClassVar[bool] = True
    results_key: ClassVar[str] = "policy"

    tiers: PositiveInt = Field(5, description="latency tiers of equal size")
    clients_per_round: PositiveInt = Field(10, description="clients in a round")
    policy: Literal["static", "adaptive"] = Field(
        "static", description="how a round's tier is drawn; adaptive reads training losses"
    )
    accuracy: Literal["loss", "test"] = Field(
        "loss",
        description="what is taken for a tier's accuracy (adaptive): its training loss with the "
        "opposite sign, or its accuracy on the samples that its clients keep for tests",
    )
    changes: Literal["unless_better", "always"] = Field(
        "unless_better",
        description="when a look changes the probabilities (adaptive): if the current tier's "
        "accuracy has not risen, or always",
    )
    ranks: Literal["from_zero", "from_one"] = Field(
        "from_zero",
        description="the probability of the most accurate tier after a change (adaptive): 0, or "
        "1 / (n (n + 1) / 2)",
    )
    probabilities: tuple[NonNegativeFloat, ...] | None = Field(
        None, description="weights of the tiers, the fastest first; equal if null"
    )
    interval: PositiveInt = Field(20, description="I: rounds between looks at the accuracies")
    credits: PositiveInt | None = Field(
        None, description="rounds that each tier may have (adaptive); null is no limit"
    )

    @property
    def reads_results(self) -> bool:  # type: ignore[override]
        return self.policy == "adaptive"

    @property
    def reads_client_tests(self) -> bool:  # type: ignore[override]
        return self.policy == "adaptive" and self.accuracy == "test"

    def check(self, clients: int) -> Problems:
        yield from check_tiers(self.tiers, self.clients_per_round, clients)
        if self.probabilities is not None and (
            len(self.probabilities) != self.tiers or not sum(self.probabilities)
        ):
            yield (
                ("probabilities",),
                f"expected {self.tiers} numbers, one for each tier, not all of them 0",
            )
        if self.policy == "static":
            for key in ("accuracy", "changes", "ranks", "credits"):
                if getattr(self, key) != type(self).model_fields[key].default:
                    yield (key,), "goes with policy: adaptive"

    def schedule(self, server: ServerView) -> Schedule:
        tiers = latency_tiers(server, self.tiers)
        weights = list(self.probabilities or [1.0] * self.tiers)
        full = [self.credits or math.inf] * self.tiers
        credits = list(full)
        accuracies = [-math.inf] * self.tiers
        earlier = list(accuracies)
        tier = 0
        for round_number in count():
            left = [not all(map(server.is_gone, members)) for members in tiers]
            if not any(credit and here for credit, here in zip(credits, left, strict=True)):
                credits = list(full)
            if self.policy == "adaptive" and not round_number % self.interval:
                if self.accuracy == "test":
                    accuracies = by_tier(server.client_accuracies(), tiers)
                change = self.changes == "always" or accuracies[tier] <= earlier[tier]
                if round_number and change:
                    weights = changed_probabilities(accuracies, credits, self.ranks)
                earlier = list(accuracies)
            tier = drawn(usable(weights, credits, left), server.uniform("tier", k=round_number))
            credits[tier] -= 1
            yield server.wait_idle(among=tiers[tier])
            cohort = server.dispatch(server.pick(self.clients_per_round, among=tiers[tier]))
            arrived = yield server.wait(cohort)
            if self.policy == "adaptive" and self.accuracy == "loss" and arrived:
                losses = [server.result(update).loss for update in arrived]
                accuracies[tier] = -sum(losses) / len(losses)
            yield server.aggregate(arrived, tier=tier)

    def aggregate(self, params: Tensor, state: State, updates: Updates, context: Context) -> Step:
        r"""$w \leftarrow \sum_{k \in S} n_k w_k / \sum_{k \in S} n_k$ over the round's clients."""
        samples = [update.num_samples for update in updates]
        return weighted_mean([update.params for update in updates], samples), state


def changed_probabilities(
    accuracies: Sequence[float],
    credits: Sequence[float],
    ranks: Literal["from_zero", "from_one"] = "from_zero",
) -> list[float]:
    """The probabilities of the tiers by rank; the least accurate is the most probable.

    Args:
        accuracies: of the tiers.
        credits: of the tiers; those without get probability 0.
        ranks: whether the most accurate tier counts 0 or 1.
    """
    left = [tier for tier, credit in enumerate(credits) if credit]
    ranked = sorted(left, key=lambda tier: accuracies[tier])
    lowest = 1 if ranks == "from_one" else 0
    shares = [lowest + above for above in reversed(range(len(left)))]
    probabilities = [0.0] * len(credits)
    for tier, share in zip(ranked, shares, strict=True):
        probabilities[tier] = share / sum(shares) if sum(shares) else 1.0
    return probabilities


def by_tier(accuracies: Sequence[float], tiers: Sequence[Sequence[int]]) -> list[float]:
    """The mean accuracy of the clients in each tier that have one; -inf where none has."""
    known = [
        [accuracies[client] for client in members if not math.isnan(accuracies[client])]
        for members in tiers
    ]
    return [sum(each) / len(each) if each else -math.inf for each in known]


def usable(weights: Sequence[float], credits: Sequence[float], left: Sequence[bool]) -> list[float]:
    """The weights of the tiers that have credits and clients left; equal weights if all are 0.

    If no tier has clients left, all tiers with credits count.
    """
    there = left if any(left) else [True] * len(left)
    able = [bool(credit) and here for credit, here in zip(credits, there, strict=True)]
    kept = [weight if ok else 0.0 for weight, ok in zip(weights, able, strict=True)]
    return kept if any(kept) else [float(ok) for ok in able]


def drawn(weights: Sequence[float], u: float) -> int:
    """An index drawn in proportion to the weights, by a uniform number u in (0, 1)."""
    edges = list(accumulate(weights))
    return next(i for i, edge in enumerate(edges) if u * edges[-1] < edge)
