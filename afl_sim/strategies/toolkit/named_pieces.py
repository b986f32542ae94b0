"""Named tensors in the one flat vector that a client keeps (`Strategy.client_state`)."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from afl_sim.lazy import Tensor, torch

T = TypeVar("T", bound=NamedTuple)


class NamedPieces(Generic[T]):
    """Packs named tensors into one flat vector, and unpacks them again.

    Args:
        kind: a NamedTuple whose fields are tensors of shape (P,), packed in their order.
        numbers: the fields that are single numbers instead.

    Example:
        >>> class Kept(NamedTuple):
        ...     gradient: Tensor
        ...     steps: Tensor
        >>> pieces = NamedPieces(Kept, numbers=("steps",))
        >>> flat = pieces.pack(Kept(torch.tensor([0.5, 1.5]), torch.tensor(8.0)))
        >>> flat
        tensor([0.5000, 1.5000, 8.0000])
        >>> pieces.unpack(flat).steps
        tensor(8.)
    """

    def __init__(self, kind: type[T], numbers: tuple[str, ...] = ()) -> None:
        self._kind = kind
        self._is_number = [name in numbers for name in kind._fields]

    def pack(self, pieces: T) -> Tensor:
        """The pieces, one after the other, in a flat vector."""
        return torch.cat([piece.reshape(-1) for piece in pieces])

    def unpack(self, flat: Tensor) -> T:
        """The pieces of a vector that `pack` made, as views of it. A number has shape ()."""
        numbers = sum(self._is_number)
        length = (len(flat) - numbers) // (len(self._is_number) - numbers)
        sizes = [1 if single else length for single in self._is_number]
        pieces = zip(torch.split(flat, sizes), self._is_number, strict=True)
        return self._kind._make(piece[0] if single else piece for piece, single in pieces)
