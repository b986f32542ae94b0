"""Whether a model of the user's own does what training asks of it, found before anything runs."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from afl_sim.blame import told
from afl_sim.errors import ScenarioError
from afl_sim.learning.models import Shape


def check_model(model: nn.Module, shape: Shape, classes: int) -> None:
    """Try a model on two samples, without training it.

    Args:
        model: it is left as it was.
        shape: one sample as (channels, height, width).
        classes: number of labels.

    Raises:
        ScenarioError: it fails, or what it returns are no numbers for each sample and label.
    """
    training = model.training
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            outputs = model.eval()(torch.zeros(2, *shape))
    except Exception as error:  # the user's module may raise anything
        raise ScenarioError(f"model: it fails on images of {(2, *shape)}: {told(error)}") from error
    model.train(training)
    expected = f"expected a tensor of (2, {classes}), a row for each"
    if not isinstance(outputs, Tensor):
        kind = type(outputs).__name__
        raise ScenarioError(f"model: it returns a {kind} for two images; {expected}")
    found = tuple(outputs.shape)
    if len(found) != 2 or found[0] != 2 or found[1] < classes:
        raise ScenarioError(f"model: it returns a tensor of {found} for two images; {expected}")


def check_parameters(parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
    """Refuse named parameters that cannot be trained.

    Raises:
        ScenarioError: there are none, or one has no shape yet.
    """
    trained = False
    for name, parameter in parameters:
        if nn.parameter.is_lazy(parameter):
            raise ScenarioError(
                f"model: parameter {name!r} has no shape before the model is first used; expected "
                "a layer of given size, or a factory that uses it once on zeros"
            )
        trained |= parameter.requires_grad
    if not trained:
        raise ScenarioError("model: it has no parameters to train; expected some")
