"""The numbers of samples of each label that each client gets: the arithmetic of partitions.

A deal is a table of counts, int64 (clients, classes). The sum of a column is at most the number of
samples with that label. `deal_labels` turns the table into sample indices.
"""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.scenario.apportioning import apportion
from afl_sim.scenario.distributions.elementary import each, exp, log
from afl_sim.scenario.sections.partitions import Classes, Dirichlet, Quantity

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def label_order(labels: Ints, classes: int) -> tuple[Ints, Ints]:
    """Sample indices sorted by label, and where each label starts (the end as the last entry)."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=classes))])
    return np.argsort(labels, kind="stable"), starts


def lognormal_weights(sigma: float, count: int, generator: np.random.Generator) -> Floats:
    """Lognormal draws, scaled so that the largest is 1, whatever their spread."""
    exponents = sigma * generator.standard_normal(count)
    return each(exp, exponents - exponents.max())


def scaled_sizes(spec: Quantity, clients: int, total: int, generator: np.random.Generator) -> Ints:
    """Client sizes from a law, scaled to `total` samples; none is below ``min_samples``."""
    if spec.law == "lognormal":
        weights = lognormal_weights(spec.sigma, clients, generator)
    elif spec.law == "power_law":  # inverse transform of a density x**-exponent on [1, inf)
        exponents = -each(log, 1 - generator.random(clients)) / (spec.exponent - 1)
        weights = each(exp, exponents - exponents.max())
    else:
        weights = np.maximum(1 + spec.std * generator.standard_normal(clients), 0)
    sizes = apportion(weights, total)
    return raise_to_minimum(sizes[:, None], spec.min_samples)[:, 0]


def raise_to_minimum(
    counts: Ints, minimum: int, keep_labels: bool = False, per_label: int = 1
) -> Ints:
    """Move samples, one at a time, from the largest client to those below a minimum.

    The sample that moves has the label of which the giver has most. Nothing is random, so the
    result is a function of the counts alone.

    Args:
        counts: int64 (clients, classes).
        minimum: fewest samples of a client.
        keep_labels: a client gets only labels that it has, and never gives its last samples of a
            label, so that each client keeps its set of labels.
        per_label: with ``keep_labels``, how many samples of a label a client never gives away.

    Raises:
        ScenarioError: it cannot be done.
    """
    counts = counts.copy()
    sizes = counts.sum(axis=1)
    if minimum * len(counts) > sizes.sum():
        raise _impossible(minimum)
    short = np.flatnonzero(sizes < minimum)
    if not len(short):
        return counts
    if keep_labels:
        _raise_within_labels(counts, sizes, short, minimum, per_label)
        return counts
    givers = [(-int(size), client) for client, size in enumerate(sizes) if size > minimum]
    heapq.heapify(givers)
    for client in short:
        for _ in range(minimum - int(sizes[client])):
            size, giver = heapq.heappop(givers)
            label = counts[giver].argmax()
            counts[giver, label] -= 1
            counts[client, label] += 1
            if -size - 1 > minimum:
                heapq.heappush(givers, (size + 1, giver))
    return counts


def _raise_within_labels(
    counts: Ints, sizes: Ints, short: Ints, minimum: int, per_label: int
) -> None:
    for client in short:
        while sizes[client] < minimum:
            taker = int(client)
            for giver, label in _chain(counts, sizes, taker, minimum, per_label):
                counts[giver, label] -= 1
                counts[taker, label] += 1
                taker = giver
            sizes[client] += 1
            sizes[taker] -= 1


def _chain(
    counts: Ints, sizes: Ints, client: int, minimum: int, per_label: int
) -> list[tuple[int, int]]:
    """The shortest chain of (giver, label) that ends at a client with samples to spare.

    Each giver gives one sample of a label that the client before it also holds. This is an
    augmenting path: if there is none, the minimum cannot be reached at all.
    """
    taker_of = np.full(len(counts), -1)
    label_of = np.full(len(counts), -1)
    taker_of[client] = client
    queue = [client]
    for taker in queue:
        reached = []
        for label in np.flatnonzero(counts[taker]):
            holders = np.flatnonzero((counts[:, label] > per_label) & (taker_of < 0))
            taker_of[holders], label_of[holders] = taker, label
            reached.extend(holders.tolist())
        giver = max(reached, key=lambda reached_client: sizes[reached_client], default=client)
        if sizes[giver] > minimum:
            chain = []
            while giver != client:
                chain.append((giver, int(label_of[giver])))
                giver = int(taker_of[giver])
            return chain[::-1]
        queue.extend(reached)
    spare = "" if per_label == 1 else f", and to leave others {per_label} of each of theirs"
    raise _impossible(minimum, f" of the labels it was given{spare}")


def _impossible(minimum: int, what: str = "") -> ScenarioError:
    return ScenarioError(
        "data.partition.min_samples: there are not enough samples to give every client "
        f"{minimum}{what}"
    )


def dirichlet_counts(
    alpha: float, clients: int, supply: Ints, generator: np.random.Generator
) -> Ints:
    """Each label is split among the clients in Dirichlet proportions; every sample is used."""
    columns = [
        apportion(generator.dirichlet(np.full(clients, alpha)), int(available))
        for available in supply
    ]
    return np.stack(columns, axis=1)


def mixture_counts(alpha: float, sizes: Ints, supply: Ints, generator: np.random.Generator) -> Ints:
    """Clients of given sizes, each with its own Dirichlet mixture of labels.

    Each client draws its labels from its mixture. If clients ask for more samples of a label than
    there are, chance decides who gets them, and the others draw again among the labels that are
    left. So no client has an advantage by its number. A client whose mixture is used up takes any
    labels that are left. The sum of the sizes is at most the number of samples.
    """
    clients, classes = len(sizes), len(supply)
    if alpha > 0:
        mixtures = generator.dirichlet(np.full(classes, alpha), size=clients)
    else:
        one_label = Classes(kind="classes", per_client=1)
        mixtures = np.zeros((clients, classes))
        held = balanced_labels(one_label, clients, classes, generator)
        np.put_along_axis(mixtures, held, 1.0, axis=1)
    counts = np.zeros((clients, classes), dtype=np.int64)
    wanted, left = sizes.copy(), supply.copy()
    while wanted.any():  # each pass except the last uses up some label
        shares = mixtures * (left > 0)
        used_up = shares.sum(axis=1) <= 0
        shares[used_up] = left
        shares /= shares.sum(axis=1, keepdims=True)
        asked = generator.multinomial(wanted, shares)
        for label in np.flatnonzero(asked.sum(axis=0) > left):
            asked[:, label] = generator.multivariate_hypergeometric(
                asked[:, label], int(left[label]), method="marginals"
            )
        counts += asked
        wanted -= asked.sum(axis=1)
        left -= asked.sum(axis=0)
    return counts


def balanced_labels(
    spec: Classes, clients: int, classes: int, generator: np.random.Generator
) -> Ints:
    """The labels of each client, int64 (clients, per_client), each label once per client.

    With random assignment the numbers of clients of any two labels differ by at most one.
    """
    held = spec.per_client
    if spec.assignment == "cyclic":
        return (np.arange(clients)[:, None] + np.arange(held)) % classes
    uses = np.zeros(classes, dtype=np.int64)
    labels = np.empty((clients, held), dtype=np.int64)
    for client, tie in enumerate(generator.random((clients, classes))):
        chosen = np.lexsort((tie, uses))[
            :held
        ]  # the least used so far; chance decides among equals
        uses[chosen] += 1
        labels[client] = chosen
    return labels


def held_labels_counts(
    held: Ints,
    supply: Ints,
    spec: Classes | Dirichlet,
    generator: np.random.Generator,
    measured: Ints | None = None,
) -> Ints:
    """The counts of clients that hold given labels.

    The holders of a label share its samples evenly or in lognormal proportions. Or each client gets
    ``samples`` samples, or as many as ``measured`` says, spread evenly over its labels.

    Raises:
        ScenarioError: a label has fewer samples than its holders need.
    """
    clients, per_client = held.shape
    counts = np.zeros((clients, len(supply)), dtype=np.int64)
    if spec.samples is not None:
        sizes = np.full(clients, spec.samples) if measured is None else measured
        for client, labels in enumerate(held):
            counts[client, labels] = sizes[client] // per_client
            counts[client, labels[: sizes[client] % per_client]] += 1
        wanted = counts.sum(axis=0)
        if np.any(wanted > supply):
            label = int((wanted - supply).argmax())
            raise ScenarioError(
                f"data.partition.samples: clients ask for {wanted[label]} samples of label "
                f"{label}, which has {supply[label]}; `replacement: true` lets clients share"
            )
        return counts
    least, sigma = (spec.min_per_label, spec.sigma) if isinstance(spec, Classes) else (1, 0.0)
    for label, available in enumerate(supply):
        holders = generator.permutation(np.flatnonzero((held == label).any(axis=1)))
        if len(holders) * least > available:
            key = "per_client" if isinstance(spec, Classes) else "alpha"
            each = "" if least == 1 else f", {least} samples each"
            raise ScenarioError(
                f"data.partition.{key if least == 1 else 'min_per_label'}: {len(holders)} clients "
                f"hold label {label}{each}, which has {available} samples"
            )
        if not len(holders):  # a label the data does not have
            continue
        if sigma > 0:
            weights = lognormal_weights(sigma, len(holders), generator)
            counts[holders, label] = least + apportion(weights, available - least * len(holders))
            continue
        counts[holders, label] = available // len(holders)
        counts[holders[: available % len(holders)], label] += 1
    return raise_to_minimum(counts, spec.min_samples, keep_labels=True, per_label=least)


def deal_labels(counts: Ints, labels: Ints, generator: np.random.Generator) -> Ints:
    """Sample indices for a table of counts: client after client, each in random order."""
    clients, classes = counts.shape
    order, starts = label_order(labels, classes)
    owners = np.empty(len(labels), dtype=np.int64)
    dealt = np.zeros(len(labels), dtype=bool)
    for label in range(classes):
        samples = generator.permutation(order[starts[label] : starts[label + 1]])
        samples = samples[: counts[:, label].sum()]
        owners[samples] = np.repeat(np.arange(clients), counts[:, label])
        dealt[samples] = True
    shuffled = generator.permutation(len(labels))
    shuffled = shuffled[dealt[shuffled]]
    return shuffled[np.argsort(owners[shuffled], kind="stable")]
