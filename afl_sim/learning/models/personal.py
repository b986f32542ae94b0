"""Parts of a model that each client keeps for itself: ``model.personal``.

The *whole* vector of a model is what is trained and evaluated. The *shared* vector, without the
personal parts, is all that travels and all that the server has: strategies, compression and the
guard see nothing else. Both have parameters first and buffers after them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

from afl_sim.errors import ScenarioError
from afl_sim.lazy import Tensor, nn, torch
from afl_sim.learning.models.layout import Layout
from afl_sim.learning.models.names import matching

KEY = "model.personal"
TUNED = "evaluation.fine_tuning.parameters"


class PersonalParts:
    """Which entries of a model's vector are personal.

    Args:
        whole: the layout of the whole vector, of shape (P + B,).
        names: the personal parameters and buffers.

    Attributes:
        whole: the layout of the whole vector.
        shared: the layout of the shared vector.
        personal: the layout of the personal vector.
    """

    def __init__(self, whole: Layout, names: Collection[str]) -> None:
        self.whole = whole
        self._own = tuple(name in names for name in whole.names)
        self.shared = _part(whole, [not own for own in self._own])
        self.personal = _part(whole, self._own)

    @cached_property
    def personal_parameters(self) -> tuple[bool, ...]:
        """For each parameter, whether it is personal."""
        return self._own[: len(self.whole.trained)]

    @cached_property
    def shared_parameters(self) -> tuple[bool, ...]:
        """For each parameter, whether it is shared."""
        return tuple(not own for own in self.personal_parameters)

    def join(self, shared: Tensor, personal: Tensor) -> Tensor:
        """The whole vector of a shared and a personal one."""
        return self._joined(shared, personal, self._own)

    def join_parameters(self, shared: Tensor, personal: Tensor) -> Tensor:
        """The parameters, shape (P,), of shared parameters and a personal vector."""
        return self._joined(shared, personal, self.personal_parameters)

    def _joined(self, shared: Tensor, personal: Tensor, own: tuple[bool, ...]) -> Tensor:
        sizes = self.whole.sizes[: len(own)]
        theirs = iter(shared.split([n for n, mine in zip(sizes, own, strict=True) if not mine]))
        begins, begin = [], 0
        for size, mine in zip(sizes, own, strict=True):
            begins.append(begin)
            begin += size if mine else 0
        return torch.cat(
            [
                personal[at : at + size] if mine else next(theirs)
                for at, size, mine in zip(begins, sizes, own, strict=True)
            ]
        )

    def split(self, whole: Tensor) -> tuple[Tensor, Tensor]:
        """The shared and the personal part of a whole vector, or of its parameters alone."""
        every = len(whole) == self.whole.size
        parts = whole.split(self.whole.sizes[: None if every else len(self.whole.trained)])
        pairs = list(zip(parts, self._own, strict=False))
        shared = torch.cat([part for part, own in pairs if not own])
        personal = [part for part, own in pairs if own]
        return shared, torch.cat(personal) if personal else whole[:0]


def parts_named(
    model: nn.Module | None, layout: Layout, patterns: Sequence[str], key: str
) -> PersonalParts:
    """The parts of a model that match patterns, apart from the others.

    Args:
        model: has the layout's tensors. A pattern may match any name of a tied parameter. None if
            no parameter is tied, as in the built-in models.
        layout: of its whole vector.
        patterns: of names.
        key: the scenario's key, for the message.

    Raises:
        ScenarioError: a pattern matches nothing that is sent.
    """
    names = {name: name for name in layout.names}
    if model is not None:
        first = {id(tensor): name for name, tensor in model.named_parameters()}
        names = {
            name: first[id(tensor)]
            for name, tensor in model.named_parameters(remove_duplicate=False)
            if first[id(tensor)] in layout.names
        } | names
    what = "parameter or buffer that is in the model's vector"
    return PersonalParts(layout, {names[name] for name in matching(patterns, names, key, what)})


def personal_parts(
    model: nn.Module | None, layout: Layout, patterns: Sequence[str] | None
) -> PersonalParts | None:
    """The parts of a model that clients keep for themselves; None if they keep none.

    Args:
        model, layout: as for `parts_named`.
        patterns: the scenario's ``model.personal``.

    Raises:
        ScenarioError: a pattern matches nothing that is sent; or nothing trained is left to send.
    """
    if patterns is None:
        return None
    parts = parts_named(model, layout, patterns, KEY)
    if not any(parts.shared.trained):
        raise ScenarioError(
            f"{KEY}: the patterns match everything that is trained, so nothing would be sent; "
            "expected patterns of some parameters, such as those of the last layer"
        )
    return parts


def _part(whole: Layout, chosen: Sequence[bool]) -> Layout:
    """The layout of a vector with some of the tensors."""
    count = len(whole.trained)
    return Layout(
        tuple(name for name, own in zip(whole.names, chosen, strict=True) if own),
        tuple(shape for shape, own in zip(whole.shapes, chosen, strict=True) if own),
        tuple(t for t, own in zip(whole.trained, chosen[:count], strict=True) if own),
    )
