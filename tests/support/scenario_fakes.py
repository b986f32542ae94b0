"""A small catalogue, so that reading scenarios is tested without the real strategies or torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from afl_sim.errors import ScenarioError
from afl_sim.scenario import Catalogue

BASE = """\
name: base
seed: 7
clients:
  count: 10
  compute: {seconds_per_task: 2.0}
strategy: {kind: average, clients_per_round: 4}
stop: {updates: 20}
"""


class Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Polynomial(Block):
    kind: Literal["polynomial"] = "polynomial"
    exponent: float = Field(0.5, ge=0)


class Hinge(Block):
    kind: Literal["hinge"]
    a: float
    b: float


class Average(Block):
    kind: str = "average"
    clients_per_round: int = Field(4, gt=0, description="Clients picked for a round (clients).")

    def check(self, clients: int) -> Iterator[tuple[tuple[str, ...], str]]:
        if self.clients_per_round > clients:
            yield (
                ("clients_per_round",),
                f"got {self.clients_per_round}; expected at most {clients}",
            )


class Buffered(Block):
    kind: str = "buffered"
    concurrency: int | Literal["all"] = 5
    buffer_size: int = 3
    mu: float = 0.0
    staleness: Annotated[Polynomial | Hinge, Field(discriminator="kind")] = Polynomial()

    @property
    def proximal(self) -> float:
        return self.mu


class Lenet(Block):
    kind: str = "lenet"


class Mlp(Block):
    kind: str = "mlp"
    hidden: tuple[int, ...]


class SGD(Block):
    kind: str = "SGD"
    lr: float = 0.05
    nesterov: bool = False


class Own(Block):
    kind: str
    strength: float = 1.0


class Explosive(Block):
    kind: str = "explosive"

    def check(self, clients: int) -> Iterator[tuple[tuple[str, ...], str]]:
        raise RuntimeError("boom")


def resolve(name: str) -> type[BaseModel]:
    if name == "my.module:Own":
        return Own
    raise ScenarioError(f"cannot import {name}")


CATALOGUE = Catalogue(
    strategies={"average": Average, "buffered": Buffered, "explosive": Explosive},
    models={"lenet": Lenet, "mlp": Mlp},
    optimizers={"SGD": SGD},
    resolve_strategy=resolve,
    resolve_model=resolve,
)
