"""``clients.attack``: clients that send false updates, or train on false labels.

An attacker takes as long as an honest client, so an attack changes no schedule.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.own_rules import OpenTo, Rule, RuleKind
from afl_sim.scenario.own_rules.calling import code_of_rule, refusal
from afl_sim.scenario.section import Float32, Number, Whole, refuse_many
from afl_sim.scenario.sections.partition_base import Problem

Labels = npt.NDArray[np.int64]


class Attack(Rule):
    """Which clients attack. The base class of all attacks, built-in and your own.

    An attack overrides `attack`, `poison` or both.

    Example:
        >>> import torch
        >>> from afl_sim import Attack
        >>> class Shrink(Attack):
        ...     factor: float = 0.1
        ...
        ...     def attack(self, update, model, draws):
        ...         return self.factor * update
        >>> Shrink(share=0.2).attack(torch.tensor([10.0]), torch.zeros(1), None)
        tensor([1.])
    """

    share: Annotated[Number, Field(gt=0, le=1)] | None = Field(
        default=None,
        description="Share of the clients that attack, rounded to whole clients. They are drawn "
        "once for the run. With the same seed, a larger share contains the clients of a smaller "
        "one. Give either this or `clients`.",
    )
    clients: Annotated[tuple[Annotated[Whole, Field(ge=0)], ...] | None, Field(min_length=1)] = (
        Field(default=None, description="The indices of the clients that attack, from 0.")
    )

    @model_validator(mode="after")
    def _who(self) -> Self:
        refuse_many(self, ("share", "clients"))
        if self.share is None and self.clients is None:
            raise PydanticCustomError(
                "scenario", "does not say which clients attack; expected share or clients"
            )
        if self.clients is not None and len(set(self.clients)) < len(self.clients):
            raise PydanticCustomError(
                "scenario", "names a client twice in clients; expected different indices"
            )
        return self

    def attack(self, update: Any, model: Any, draws: np.random.Generator) -> Any:
        """What an attacker sends, a tensor of shape (P,), float32. By default its honest update.

        It is called after the local training of each of the attacker's tasks, before compression.
        A client that goes on from its own model goes on from what it sent.

        Args:
            update: shape (P,), float32, not to be changed: the local model after training minus its
                starting point; for a gradient method, -g.
            model: shape (P,), float32, not to be changed: the global model that it downloaded.
            draws: a generator of this task's own, for all random numbers.
        """
        return update

    def poison(self, labels: Labels, classes: int) -> Labels:
        """The labels on which the attackers train, int64 (n,). By default the true ones.

        It is called once, before training, with the labels of all samples of all attackers.

        Args:
            labels: int64 (n,), read-only: the true labels.
            classes: the number of classes.
        """
        return labels

    def problems(self, count: int) -> list[Problem]:
        """What does not suit so many clients, as (key path, message)."""
        if self.share is not None and round(self.share * count) == 0:
            message = (
                f"a share of {self.share:g} of {count} clients is none of them; expected a larger "
                "share, or clients"
            )
            return [(("share",), message)]
        wrong = [client for client in self.clients or () if client >= count]
        if wrong:
            return [(("clients",), f"there is no client {wrong[0]}; expected 0 to {count - 1}")]
        return []

    @classmethod
    def falsifies(cls) -> bool:
        """Whether attackers send other updates than they compute."""
        return cls.attack is not Attack.attack

    @classmethod
    def poisons(cls) -> bool:
        """Whether attackers train on other labels than they hold."""
        return cls.poison is not Attack.poison


class SignFlip(Attack):
    """An attacker sends the negative of its update."""

    registered_name: ClassVar[str] = "sign_flip"

    kind: Literal["sign_flip"] = Field(description="The kind of attack.")
    factor: Annotated[Float32, Field(gt=0)] = Field(
        default=1.0, description="Length of what is sent, in lengths of the update (no unit)."
    )

    def attack(self, update: Any, model: Any, draws: np.random.Generator) -> Any:
        return -self.factor * update


class Scale(Attack):
    """An attacker multiplies its update, so that it counts more than those of others."""

    registered_name: ClassVar[str] = "scale"

    kind: Literal["scale"] = Field(description="The kind of attack.")
    factor: Float32 = Field(default=10.0, description="The factor on the update (no unit).")

    def attack(self, update: Any, model: Any, draws: np.random.Generator) -> Any:
        return self.factor * update


class Noise(Attack):
    """An attacker adds normal noise to its update."""

    registered_name: ClassVar[str] = "noise"

    kind: Literal["noise"] = Field(description="The kind of attack.")
    deviation: Annotated[Float32, Field(gt=0)] = Field(
        default=1.0, description="Standard deviation of the noise on each entry (no unit)."
    )

    def attack(self, update: Any, model: Any, draws: np.random.Generator) -> Any:
        noise = draws.standard_normal(len(update), dtype=np.float32) * np.float32(self.deviation)
        return update + update.new_tensor(noise)


class LabelFlip(Attack):
    """An attacker trains on false labels: class y becomes class C - 1 - y of C classes."""

    registered_name: ClassVar[str] = "label_flip"

    kind: Literal["label_flip"] = Field(description="The kind of attack.")

    def poison(self, labels: Labels, classes: int) -> Labels:
        return classes - 1 - labels


ATTACKS = RuleKind(
    "attack",
    "afl_sim.attacks",
    Attack,
    "attack",
    ("update", "model", "draws"),
    instead=("poison",),
)
BUILT_IN = ("sign_flip", "scale", "noise", "label_flip")

AnyAttack = Annotated[
    Annotated[SignFlip | Scale | Noise | LabelFlip, Field(discriminator="kind")],
    OpenTo(ATTACKS, BUILT_IN),
]
"""A built-in attack, or one of the user's own."""


def poisoned_by(rule: Attack, labels: Labels, classes: int) -> Labels:
    """The labels on which attackers train, checked.

    Args:
        rule, labels, classes: as for `Attack.poison`.

    Raises:
        OwnRuleError: the attack raised an exception, or gave other things than labels.
    """
    given = labels.copy()
    given.flags.writeable = False
    with code_of_rule(rule, ATTACKS.noun, "poison"):
        found = rule.poison(given, classes)
    wanted = f"expected int64 of shape {labels.shape}, from 0 to {classes - 1}"
    if not isinstance(found, np.ndarray) or found.dtype.kind not in "iu":
        got = found.dtype if isinstance(found, np.ndarray) else type(found).__name__
        raise refusal(rule, ATTACKS.noun, "poison", f"returned {got}; {wanted}")
    if found.shape != labels.shape:
        raise refusal(rule, ATTACKS.noun, "poison", f"returned shape {found.shape}; {wanted}")
    if found.size and not 0 <= int(found.min()) <= int(found.max()) < classes:
        what = f"returned labels from {found.min()} to {found.max()}; {wanted}"
        raise refusal(rule, ATTACKS.noun, "poison", what)
    return found.astype(np.int64)
