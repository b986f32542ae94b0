"""The ways of dealing a training set out to clients, as a scenario may say them.

Only the words are here; ``afl_sim.learning.partition`` does the dealing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from afl_sim.scenario.sections.natural import Natural
from afl_sim.scenario.sections.partition_base import (
    Order,
    PartitionBase,
    PerClient,
    Problem,
    enough,
    labels_left_over,
    no_file_order,
    too_many,
)


class Iid(PerClient):
    """Every client has a uniform sample of the training set, of equal size (to within one)."""

    kind: Literal["iid"] = Field(default="iid", description="Uniform partition.")
    order: Order = "shuffled"

    @model_validator(mode="after")
    def _order_is_possible(self) -> Self:
        no_file_order(self.order, self.replacement)
        return self


class Dirichlet(PerClient):
    """Label skew: proportions drawn from a symmetric Dirichlet distribution.

    By default each class is split over the clients in Dirichlet proportions (Yurochkin et al.,
    ICML 2019), so sizes differ too. With `equal_sizes`, or with `samples`, each client has its own
    Dirichlet mixture of labels (Hsu et al., arXiv 1909.06335). Of numbers that a regression
    predicts, the labels are ten bins with equal numbers of samples.
    """

    kind: Literal["dirichlet"] = Field(description="Dirichlet label skew.")
    alpha: float = Field(
        ge=0,
        le=1e9,
        description="Concentration: small values give skewed shares, large values uniform ones, "
        "and 0 one class per client (no unit).",
    )
    equal_sizes: bool = Field(
        default=False,
        description="Whether all clients have the same number of samples (to within one). If the "
        "samples of a client's classes are used up, it gets samples of other classes, because "
        "all samples are distributed.",
    )

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        yield from super().check(clients, total, classes)
        if self.alpha == 0 and not self.equal_sizes and self.samples is None:
            yield from labels_left_over(("alpha",), clients, clients, classes)


class Shards(PartitionBase):
    """Samples sorted by label, cut into equal shards and assigned at random (McMahan et al.)."""

    kind: Literal["shards"] = Field(description="Shards of label-sorted samples.")
    per_client: int = Field(
        default=2, ge=1, description="Number of shards of each client (shards)."
    )

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        if total is None:
            return
        shards = clients * self.per_client
        if shards > total:
            yield ("per_client",), f"{shards} shards cannot be cut from {total} samples"
        elif (least := total // shards * self.per_client) < self.min_samples:
            yield (
                ("min_samples",),
                f"{shards} shards of {total} samples give a client {least}; "
                f"expected at most {least}",
            )


class Classes(PerClient):
    """Every client holds exactly `per_client` labels; each label is shared evenly by its holders.

    With `sigma` the holders' parts are lognormal, so that labels and sizes are skewed together, as
    in Li et al., "Federated Optimization in Heterogeneous Networks", MLSys 2020: there the labels
    are cyclic pairs, `min_per_label` is 5 and `sigma` 2.
    """

    kind: Literal["classes"] = Field(description="A fixed number of labels per client.")
    per_client: int = Field(
        default=2, ge=1, description="Number of labels of each client (labels)."
    )
    assignment: Literal["random", "cyclic"] = Field(
        default="random",
        description="Which labels a client holds. `random`: random, but balanced over the clients; "
        "`cyclic`: client u holds u, u+1, ... modulo the number of classes.",
    )
    min_per_label: int = Field(
        default=1,
        ge=1,
        description="Smallest number of samples that a client holds of each of its labels "
        "(samples).",
    )
    sigma: float = Field(
        default=0.0,
        ge=0,
        le=20,
        description="The samples of a label beyond min_per_label for each holder are distributed "
        "over its holders in proportion to lognormal weights. sigma is the standard deviation of "
        "their logarithm; 0: evenly (no unit).",
    )

    @model_validator(mode="after")
    def _samples_leave_nothing_to_share(self) -> Self:
        if self.samples is not None:
            for key, usual in (("min_per_label", 1), ("sigma", 0)):
                if getattr(self, key) != usual:
                    raise ValueError(
                        f"{key} distributes all samples, but `samples` gives each client the same "
                        "number; expected one of the two"
                    )
        return self

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        if self.per_client > classes:
            yield ("per_client",), f"{self.per_client} labels per client; the data has {classes}"
            return
        yield from super().check(clients, total, classes)
        if self.samples is None:
            cyclic = self.assignment == "cyclic"
            more = (clients - 1) * (1 if cyclic else self.per_client)
            yield from labels_left_over(("per_client",), clients, self.per_client + more, classes)
        elif self.samples != "devices" and self.samples < self.per_client:
            yield ("samples",), f"{self.samples} samples cannot show {self.per_client} labels"


class Quantity(PartitionBase):
    """Clients of unequal size: sizes are drawn and scaled to the whole training set."""

    kind: Literal["quantity"] = Field(description="Quantity skew.")
    law: Literal["lognormal", "power_law", "normal", "devices"] = Field(
        default="lognormal",
        description="The distribution of the sizes before scaling; devices: the column samples of "
        "clients.devices gives them.",
    )
    sigma: float = Field(
        default=1.0,
        ge=0,
        le=20,
        description="lognormal: standard deviation of the logarithm of the size (no unit).",
    )
    exponent: float = Field(
        default=2.5,
        gt=1,
        le=1e6,
        description="power_law: the density falls as size**-exponent (no unit).",
    )
    std: float = Field(
        default=0.3,
        ge=0,
        le=1e3,
        description="normal: standard deviation as a share of the mean size; sizes below "
        "min_samples are raised to it (no unit).",
    )
    replacement: bool = Field(
        default=False,
        description="Each client draws its samples on its own, with replacement.",
    )
    order: Order = "shuffled"

    @model_validator(mode="after")
    def _order_is_possible(self) -> Self:
        no_file_order(self.order, self.replacement)
        return self

    @property
    def by_devices(self) -> bool:
        return self.law == "devices"

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        yield from too_many(("min_samples",), clients, self.min_samples, total)


class Sizes(PartitionBase):
    """Explicit sizes, one per client; remaining samples of the training set are not used."""

    kind: Literal["sizes"] = Field(description="Explicit client sizes.")
    sizes: tuple[int, ...] = Field(
        min_length=1,
        description="Number of samples of each client, one entry per client (samples).",
    )
    replacement: bool = Field(
        default=False,
        description="Each client draws its samples on its own, with replacement.",
    )
    order: Order = "shuffled"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        no_file_order(self.order, self.replacement)
        for client, size in enumerate(self.sizes):
            if size < self.min_samples:
                raise ValueError(
                    f"sizes[{client}] is {size}, below min_samples ({self.min_samples})"
                )
        return self

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        if len(self.sizes) != clients:
            yield (
                ("sizes",),
                f"{len(self.sizes)} sizes for {clients} clients; expected one per client",
            )
        wanted = sum(self.sizes)
        if total is not None and not self.replacement and wanted > total:
            yield (
                ("sizes",),
                f"the sizes sum to {wanted}, but there are {total} samples to deal out; "
                "`replacement: true` lets clients share samples",
            )


class Shared(PartitionBase):
    """Every client holds the same samples: distributed training of one common objective."""

    kind: Literal["shared"] = Field(description="The same samples for all.")
    samples: int | None = Field(
        default=None, ge=1, description="Number of samples; null: all (samples)."
    )
    order: Annotated[
        Literal["shuffled", "file"],
        Field(description="`shuffled`: a random subset; `file`: the first ones of the files."),
    ] = "shuffled"

    @property
    def replacement(self) -> bool:
        """Clients share samples, as those do that draw with replacement."""
        return True

    @model_validator(mode="after")
    def _minimum_is_kept(self) -> Self:
        enough(self.samples, self.min_samples)
        return self

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        key, wanted = ("min_samples",), self.min_samples
        if self.samples is not None:
            key, wanted = ("samples",), self.samples
        if total is not None and wanted > total:
            yield key, f"{wanted} samples for every client, but there are {total}"


PARTITIONS: dict[str, type[PartitionBase]] = {
    "iid": Iid,
    "dirichlet": Dirichlet,
    "shards": Shards,
    "classes": Classes,
    "quantity": Quantity,
    "sizes": Sizes,
    "shared": Shared,
    "natural": Natural,
}


def _kind_alone(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


PartitionSpec = Annotated[
    Annotated[
        Iid | Dirichlet | Shards | Classes | Quantity | Sizes | Shared | Natural,
        Field(discriminator="kind"),
    ],
    BeforeValidator(_kind_alone),
]
