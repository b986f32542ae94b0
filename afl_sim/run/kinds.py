"""What a scenario's open blocks can name: strategies, models, optimizers."""

from __future__ import annotations

from functools import cache

from afl_sim.learning.models.built_in import MODELS
from afl_sim.learning.models.factories import resolve_model
from afl_sim.learning.training.optimizers import OPTIMIZERS
from afl_sim.scenario.catalogue import Catalogue
from afl_sim.strategies import resolve_strategy, strategies


def catalogue() -> Catalogue:
    """Everything that is built in, registered or installed at this moment."""
    return Catalogue(
        strategies=strategies(),
        models=MODELS,
        optimizers=OPTIMIZERS,
        resolve_strategy=cache(resolve_strategy),
        resolve_model=cache(resolve_model),
    )
