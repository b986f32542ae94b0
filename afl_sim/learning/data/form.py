"""The form of a scenario's samples."""

from __future__ import annotations

from afl_sim.learning.data.sample_form import IGNORED, SampleForm, Target
from afl_sim.learning.data.sources.reading import own_form
from afl_sim.scenario.sections.data import DataSpec
from afl_sim.scenario.sections.datasets import OwnDataset

__all__ = ["IGNORED", "SampleForm", "Target", "form_of"]


def form_of(spec: DataSpec) -> SampleForm:
    """The form of a scenario's samples. Own data is read for it, once for each process.

    Args:
        spec: the scenario's ``data`` section.

    Raises:
        DataError: own data is missing, damaged or not what the scenario says.
    """
    if isinstance(spec.dataset, OwnDataset):
        return own_form(spec.dataset)
    return SampleForm(spec.info.input_shape, spec.info.classes, spec.info.target)
