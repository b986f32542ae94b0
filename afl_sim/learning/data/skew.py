"""Feature skew and concept shift: what a client's samples look like to that client alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from afl_sim.errors import ScenarioError
from afl_sim.lazy import torch
from afl_sim.learning.data.dataset import Dataset
from afl_sim.learning.data.form import SampleForm
from afl_sim.learning.data.inputs import RawInputs
from afl_sim.scenario.distributions.draws import draw
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.skew import ConceptShift, FeatureSkew
from afl_sim.streams import Streams

Ints = npt.NDArray[np.int64]
Array32 = npt.NDArray[np.float32]
_NEGLIGIBLE = 1e-18  # a term of a series below this changes no result


def skewed(
    dataset: Dataset, spec: DataSpec, held: Callable[[int], Ints], clients: int, streams: Streams
) -> Dataset:
    """The data set, in which every client's samples are as that client sees them.

    Args:
        dataset: it is not changed.
        spec: the scenario's ``data`` section.
        held: gives the indices of a client's samples, always in the same order; no sample belongs
            to two clients.
        clients: number of clients.
        streams: the scenario's seed (purposes "skew.rotate", "skew.scale", "skew.noise", "concept"
            and "concept.labels").

    Raises:
        ScenarioError: the samples do not allow it.
    """
    check_skew(spec, dataset.form)
    if spec.skew is not None:
        dataset = _with_features(dataset, spec.skew, held, clients, streams)
    if spec.concept_shift is not None:
        dataset = _with_concepts(dataset, spec.concept_shift, held, clients, streams)
    return dataset


def check_skew(spec: DataSpec, form: SampleForm) -> None:
    """Refuse a skew that does not suit the samples.

    Args:
        spec: the scenario's ``data`` section.
        form: what one sample looks like.

    Raises:
        ScenarioError: it does not.
    """
    if spec.skew is not None and form.vocabulary is not None:
        raise ScenarioError("data.skew: the inputs are tokens; expected numbers")
    if spec.skew is not None and spec.skew.rotate.constant != 0 and not form.is_image:
        raise ScenarioError(
            f"data.skew.rotate: only images can be turned, but the inputs are {form.inputs}; "
            "expected scale or noise"
        )
    if spec.concept_shift is not None and form.target != "class":
        raise ScenarioError(
            f"data.concept_shift: it permutes classes, but the labels are {form.labels}"
        )


def _with_features(
    dataset: Dataset, skew: FeatureSkew, held: Callable[[int], Ints], clients: int, streams: Streams
) -> Dataset:
    if isinstance(dataset.inputs, RawInputs):
        raise ScenarioError(
            "data.storage: inputs that differ between clients are not the ones of the files; "
            "expected float32"
        )
    inputs = dataset.inputs.clone()
    for client in range(clients):
        rows = torch.tensor(held(client))  # a copy: it may be read-only
        own: Array32 = inputs[rows].numpy()
        angle = draw(skew.rotate, streams, "skew.rotate", client) % 360
        if angle:
            own = rotated(own, angle)
        factor = draw(skew.scale, streams, "skew.scale", client)
        if factor != 1:
            own = own * np.float32(factor)
        deviation = draw(skew.noise, streams, "skew.noise", client)
        if deviation:
            draws = streams.generator("skew.noise", client, 1)
            noise = draws.standard_normal(own.shape, dtype=np.float32)
            own = own + noise * np.float32(deviation)
        inputs[rows] = torch.from_numpy(np.ascontiguousarray(own))
    return replace(dataset, inputs=inputs)


def _with_concepts(
    dataset: Dataset,
    shift: ConceptShift,
    held: Callable[[int], Ints],
    clients: int,
    streams: Streams,
) -> Dataset:
    labels = dataset.labels.clone()
    for client in range(clients):
        group = concept_of(shift, client, streams)
        if group:
            rows = torch.tensor(held(client))  # a copy: it may be read-only
            order = streams.generator("concept.labels", group).permutation(dataset.form.outputs)
            labels[rows] = torch.from_numpy(order)[labels[rows]]
    return replace(dataset, labels=labels)


def concept_of(shift: ConceptShift, client: int, streams: Streams) -> int:
    """The group of a client, from 0; the clients of group 0 have the labels of the data."""
    return int(streams.uniform("concept", client) * shift.groups)


def rotated(images: Array32, degrees: float) -> Array32:
    """Images turned counter-clockwise about their centre, with the same bits on every machine.

    Pixels in between are interpolated bilinearly; beyond the border they are those of the border.

    Args:
        images: float32 (samples, channels, height, width).
        degrees: the angle.
    """
    height, width = images.shape[2:]
    sine, cosine = sine_and_cosine(degrees)
    middle = (height - 1) / 2, (width - 1) / 2
    down, right = np.meshgrid(
        np.arange(height) - middle[0], np.arange(width) - middle[1], indexing="ij"
    )
    # Where the pixel comes from: turned back, with rows that count downwards.
    row = np.clip(cosine * down + sine * right + middle[0], 0, height - 1)
    column = np.clip(cosine * right - sine * down + middle[1], 0, width - 1)
    top, left = np.floor(row).astype(np.int64), np.floor(column).astype(np.int64)
    below, beside = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    lower, later = row - top, column - left
    wide = images.astype(np.float64)
    upper_row = wide[:, :, top, left] * (1 - later) + wide[:, :, top, beside] * later
    lower_row = wide[:, :, below, left] * (1 - later) + wide[:, :, below, beside] * later
    turned: Array32 = (upper_row * (1 - lower) + lower_row * lower).astype(np.float32)
    return turned


def sine_and_cosine(degrees: float) -> tuple[float, float]:
    """Of an angle; exact for multiples of 90 degrees, and with the same bits on every machine.

    The system's own functions may differ in the last bit. A series of additions, multiplications
    and divisions does not.
    """
    quarters = round(degrees / 90)
    angle = (degrees - 90 * quarters) * (math.pi / 180)  # at most pi / 4
    sine, cosine, term, power = 0.0, 0.0, 1.0, 0
    while abs(term) > _NEGLIGIBLE:
        if power % 2:
            sine += term if power % 4 == 1 else -term
        else:
            cosine += term if power % 4 == 0 else -term
        power += 1
        term *= angle / power
    turned = ((sine, cosine), (cosine, -sine), (-sine, -cosine), (-cosine, sine))
    return turned[quarters % 4]
