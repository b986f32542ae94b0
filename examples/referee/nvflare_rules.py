"""The buffered server of NVFlare's edge devices as a rule for `afl_sim.testing.judge`.

It gets differences, each with the version of the model that the device downloaded.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from nvflare.apis.dxo import DXO, DataKind
from nvflare.apis.fl_context import FLContext
from nvflare.edge.assessors.buff_model_manager import BuffModelManager
from nvflare.edge.mud import ModelUpdate


class _Server(BuffModelManager):  # type: ignore[misc]
    def fire_event(self, *arguments: Any) -> None:
        """An event needs an engine, and there is none here."""


def nvflare(buffer_size: int, **settings: Any) -> Callable[[Mapping[str, Any]], Any]:
    """What `judge` asks for, from the settings of `BuffModelManager`."""

    def begin(weights: Mapping[str, Any]) -> Callable[[Sequence[Any]], dict[str, Any]]:
        context = FLContext()
        server = _Server(num_updates_for_model=buffer_size, **settings)
        server.initialize_model(DXO(DataKind.WEIGHTS, data=dict(weights)), context)
        server.generate_new_model(context)  # its version 1 is the initial model
        versions = [dict(weights)]

        def rule(updates: Sequence[Any]) -> dict[str, Any]:
            now = server.current_model_version
            for number, each in enumerate(updates):
                version = now - each.staleness
                base = versions[version - 1]
                step = {name: weight - base[name] for name, weight in each.weights.items()}
                dxo = DXO(DataKind.WEIGHT_DIFF, data={"dict": step, "count": 1})
                update = ModelUpdate(version, dxo.to_shareable(), {str(number): 0.0})
                server.process_updates({version: update}, context)
            made = server.current_model.data
            versions.append({name: np.asarray(weight) for name, weight in made.items()})
            return versions[-1]

        return rule

    return begin
