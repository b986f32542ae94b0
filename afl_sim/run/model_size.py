"""How the model of a scenario lies in its vector: what a schedule has to know of it."""

from __future__ import annotations

from dataclasses import dataclass

from afl_sim.errors import ScenarioError
from afl_sim.learning.data.form import form_of
from afl_sim.learning.models.built_in import count_parameters
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.personal import PersonalParts, personal_parts
from afl_sim.machine import physical_memory
from afl_sim.run.kinds import model_spec
from afl_sim.scenario import Scenario

# Training holds at least the model, its gradient, the global model and an update.
_VECTORS = 4


@dataclass(frozen=True)
class ModelSize:
    """How a model lies in its vector, without its numbers.

    Attributes:
        whole: of the whole model.
        parts: which parts of it each client keeps for itself; None if there are none.
    """

    whole: Layout
    parts: PersonalParts | None = None

    @property
    def layout(self) -> Layout:
        """How the part of it that is sent lies in a vector."""
        return self.whole if self.parts is None else self.parts.shared


def model_size(scenario: Scenario) -> ModelSize | None:
    """The size of a scenario's model, without building it; None if only the model itself tells.

    It tells if the user wrote it or changes its layers, or if it starts from a file of weights,
    which has to fit.

    Raises:
        ScenarioError: the model cannot take the samples, a pattern of names does not fit, or the
            model is too large for this machine.
    """
    spec = model_spec(scenario.model.model_dump(by_alias=True))
    if spec.tried or spec.changed or getattr(spec, "pretrained", None) is not None:
        return None
    form = form_of(scenario.data)
    count, entries = count_parameters(spec, form), spec.entries(form)
    if count is None or entries is None:
        return None
    check_memory(count)
    whole = entries.layout(getattr(spec, "trainable", None))
    check_memory(whole.size)
    return ModelSize(whole, personal_parts(None, whole, spec.kept_by_clients))


def check_memory(numbers: int) -> None:
    """Refuse a model that is too large to be trained in this machine's memory, even alone."""
    needed, there = 4 * _VECTORS * numbers, physical_memory()
    if there is not None and needed > there:
        raise ScenarioError(
            f"model: it has {numbers:,} parameters; training needs at least "
            f"{needed / 2**30:,.0f} GiB, and this machine has {there / 2**30:,.0f} GiB; "
            "expected a smaller model"
        )
