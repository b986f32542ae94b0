"""Which of the idle clients the server chooses, whatever its strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from afl_sim.errors import OwnRuleError
from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal
from afl_sim.scenario.section import Count, Number, Seconds, Section
from afl_sim.scenario.sections.candidates import Candidates


class _Selection(Section):
    reads_results: ClassVar[bool] = False
    """Whether it needs losses, and so cannot work without training."""


class Selection(Rule):
    """The base class of a user's own client selection.

    The server calls it each time it chooses clients. A selection keeps nothing: what happened
    before is in the candidates.

    Example:
        >>> import numpy as np
        >>> from afl_sim import Candidates, Selection
        >>> class Fastest(Selection):
        ...     def choose(self, n, candidates, draws):
        ...         return candidates.clients[np.argsort(candidates.expected_seconds)[:n]]
        >>> Fastest().choose(1, Candidates.of([3, 8], expected_seconds=[9.0, 2.0]), None).tolist()
        [8]
    """

    reads_results: ClassVar[bool] = False
    """Whether it reads `Candidates.loss`. Then it cannot run without training, and the schedule has
    to wait for each update that arrives."""

    def choose(self, n: int, candidates: Candidates, draws: np.random.Generator) -> Sequence[int]:
        """The clients that the server chooses, in the order in which it sends to them.

        Args:
            n: how many are wanted, from 1 to ``len(candidates)``.
            candidates: the clients that are idle and available. If clients queue tasks, busy
                clients are among them.
            draws: a generator of this choice's own, for all random numbers.

        Returns:
            ``n`` different entries of ``candidates.clients``.
        """
        raise NotImplementedError


SELECTIONS = RuleKind(
    "selection", "afl_sim.selections", Selection, "choose", ("n", "candidates", "draws")
)


def chosen_by(
    rule: Selection, n: int, candidates: Candidates, draws: np.random.Generator
) -> list[int]:
    """The clients that a user's own selection chooses, checked.

    Args:
        rule, n, candidates, draws: as for `Selection.choose`.

    Raises:
        OwnRuleError: the selection raised an exception, or gave something else than ``n`` different
            candidates.
    """
    with code_of_rule(rule, SELECTIONS.noun, "choose"):
        answer = rule.choose(n, candidates, draws)
    try:
        found = np.asarray(answer)
    except ValueError:  # a ragged list
        found = np.empty((), dtype=object)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        got = f"{found.dtype} of shape {found.shape}" if found.ndim else f"a {_type(answer)}"
        raise _refused(rule, f"returned {got}; expected {n} whole numbers, indices of clients")
    chosen: list[int] = found.tolist()
    if len(chosen) != n:
        raise _refused(rule, f"returned {len(chosen)} clients; expected {n}")
    if len(set(chosen)) < n:
        raise _refused(rule, "returned a client twice; expected different clients")
    strangers = sorted(set(chosen) - set(candidates.clients.tolist()))
    if strangers:
        raise _refused(
            rule,
            f"returned client {strangers[0]}, which is no candidate; expected entries of "
            "candidates.clients",
        )
    return chosen


def loss_is_closed(rule: Selection) -> OwnRuleError:
    """The error of a selection that reads losses and does not say so."""
    return _refused(
        rule, "reads losses; expected reads_results: ClassVar[bool] = True in its class"
    )


def _refused(rule: Selection, what: str) -> OwnRuleError:
    return refusal(rule, SELECTIONS.noun, "choose", what)


def _type(answer: object) -> str:
    return type(answer).__name__


class UniformSelection(_Selection):
    """All idle clients have the same probability. Only this selection has no cost per client."""

    kind: Literal["uniform"] = Field(default="uniform", description="The kind of selection.")


class WeightedSelection(_Selection):
    """Clients are drawn one after another, with probabilities proportional to their weights."""

    kind: Literal["weighted"] = Field(description="The kind of selection.")
    by: Literal["samples", "speed"] = Field(
        description="A client's weight: the number of its samples, or one over the mean round "
        "trip of its tasks."
    )
    exponent: Number = Field(
        default=1.0,
        description="Exponent of the weight; a negative one reverses the preference (no unit).",
    )


class RoundRobin(_Selection):
    """Clients are chosen cyclically in the order of their numbers; busy clients are skipped."""

    kind: Literal["round_robin"] = Field(description="The kind of selection.")


class WithoutReplacement(_Selection):
    """The clients chosen least often, in random order: each serves once before any serves twice."""

    kind: Literal["without_replacement"] = Field(description="The kind of selection.")


class PowerOfChoice(_Selection):
    """The clients with the highest losses among candidates drawn in proportion to their samples.

    Cho, Wang, Joshi, "Towards Understanding Biased Client Selection in Federated Learning",
    AISTATS 2022. A client's loss is the mean training loss of its last update; clients that have
    sent none come first, those whose loss is not finite last.
    """

    reads_results: ClassVar[bool] = True

    kind: Literal["power_of_choice"] = Field(description="The kind of selection.")
    candidates: Count = Field(
        description="d: number of clients that are drawn; of these the ones with the highest loss "
        "are chosen."
    )


class Oort(_Selection):
    """The most useful clients: high losses on many samples, and not too slow.

    Lai et al., "Oort: Efficient Federated Learning via Guided Participant Selection", OSDI 2021.
    The utility is ``n_k loss_k``, plus the paper's bonus for clients not heard of for long, times
    ``(T / t_k)^alpha`` for those that take longer than T; the mean training loss of the last update
    stands for the root mean square that the paper takes over samples. A loss that is not finite is
    the lowest.
    """

    reads_results: ClassVar[bool] = True

    kind: Literal["oort"] = Field(description="The kind of selection.")
    exploration: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.1,
        description="Mean share of the chosen clients that are drawn from clients that have not "
        "reported yet, for any number of clients chosen at a time (no unit).",
    )
    preferred_seconds: Seconds | None = Field(
        default=None,
        description="T: the longest round trip that is not penalised (seconds); null: no penalty.",
    )
    penalty: Annotated[Number, Field(ge=0)] = Field(
        default=2.0, description="alpha: how strongly slower clients are penalised (no unit)."
    )


BUILT_IN = ("uniform", "weighted", "round_robin", "without_replacement", "power_of_choice", "oort")

AnySelection = Annotated[
    Annotated[
        UniformSelection
        | WeightedSelection
        | RoundRobin
        | WithoutReplacement
        | PowerOfChoice
        | Oort,
        Field(discriminator="kind"),
    ],
    OpenTo(SELECTIONS, BUILT_IN),
]
"""A built-in selection, or one of the user's own."""
