"""What the kinds of partition have in common: keys, and what cannot be dealt out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from afl_sim.scenario.section import Count, Section

Problem = tuple[tuple[str, ...], str]  # key path inside the block, what is wrong


class PartitionBase(Section):
    """What every kind of partition says."""

    kind: str = Field(description="The kind of partition.")
    min_samples: int = Field(
        default=1,
        ge=1,
        description="Smallest number of samples that a client may hold; a partition that cannot "
        "satisfy this is refused (samples).",
    )

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        """What cannot work with this many clients and samples, as (key path, message).

        Args:
            clients: number of clients.
            total: samples to deal out, or None where the files must be read to know.
            classes: number of labels in the data set.
        """
        yield from ()

    @property
    def by_devices(self) -> bool:
        """Whether the devices of the clients say how many samples each of them holds."""
        return False


def _needs_samples(replacement: bool, samples: int | str | None) -> None:
    if replacement and samples is None:
        raise ValueError("replacement: true needs `samples`, the number drawn for each client")


def enough(each: int | str | None, minimum: int) -> None:
    """Refuse a number of samples below the minimum."""
    if isinstance(each, int) and each < minimum:
        raise ValueError(f"samples ({each}) is below min_samples ({minimum})")


class PerClient(PartitionBase):
    """Kinds in which every client may be given the same number of samples."""

    samples: Count | Literal["devices"] | None = Field(
        default=None,
        description="Number of samples of each client; devices: the column samples of "
        "clients.devices gives each client's own. Without it all samples are distributed; with "
        "it, and without replacement, a random part of the training set is used (samples).",
    )
    replacement: bool = Field(
        default=False,
        description="Whether each client draws its `samples` independently, on demand and with "
        "replacement. This allows more clients than samples; different clients may hold the "
        "same samples.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _needs_samples(self.replacement, self.samples)
        enough(self.samples, self.min_samples)
        return self

    @property
    def by_devices(self) -> bool:
        return self.samples == "devices"

    def check(self, clients: int, total: int | None, classes: int) -> Iterator[Problem]:
        if self.replacement or self.samples == "devices":
            return
        if self.samples is not None:
            share = "; `replacement: true` lets clients share samples"
            yield from too_many(("samples",), clients, self.samples, total, share)
        else:
            share = "; `samples` with `replacement: true` lets clients share samples"
            yield from too_many(("min_samples",), clients, self.min_samples, total, share)


def too_many(
    key: tuple[str, ...], clients: int, each: int, total: int | None, share: str = ""
) -> Iterator[Problem]:
    """A complaint if there are fewer samples than the clients are to hold.

    Args:
        key: what says how many each client is to hold, to be blamed.
        clients: their number.
        each: samples that each is to hold.
        total: samples to deal out, or None where the files must be read to know.
        share: how more clients could have as many samples, for the message.
    """
    if total is None or clients * each <= total:
        return
    found = f"{clients} clients x {each} samples = {clients * each}, but there are {total} to "
    most = total // clients
    expected = f"{most}" if most else f"{total // each or total} clients"
    yield key, f"{found}deal out; expected at most {expected}{share}"


def labels_left_over(
    key: tuple[str, ...], clients: int, covered: int, classes: int
) -> Iterator[Problem]:
    """A complaint if a label has no client to hold it."""
    if covered < classes:
        yield (
            key,
            f"{clients} clients hold {covered} labels, so the samples of the other "
            f"{classes - covered} would be lost; give `samples` to use a part of the training set",
        )


Order = Annotated[
    Literal["shuffled", "file"],
    Field(
        description="`shuffled` distributes samples at random; `file` gives each client "
        "consecutive samples in the order of the files.",
    ),
]


def no_file_order(order: str, replacement: bool) -> None:
    """Refuse contiguous stretches of samples that are drawn with replacement."""
    if order == "file" and replacement:
        raise ValueError(
            "order: file gives consecutive samples, but replacement: true draws at random"
        )
