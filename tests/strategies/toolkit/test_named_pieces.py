"""Named tensors in the one vector that a client keeps."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from vectors import vec

from afl_sim.strategies.toolkit.named_pieces import NamedPieces


class Kept(NamedTuple):
    first: Tensor
    steps: Tensor
    second: Tensor


PIECES = NamedPieces(Kept, numbers=("steps",))
KEPT = Kept(vec(1, 2, 3), torch.tensor(5.0), vec(-1, -2, -3))


def test_pieces_lie_one_after_the_other_in_the_order_of_their_fields() -> None:
    assert PIECES.pack(KEPT).tolist() == [1, 2, 3, 5, -1, -2, -3]


def test_what_was_packed_is_unpacked_bit_for_bit() -> None:
    kept = PIECES.unpack(PIECES.pack(KEPT))
    for before, after in zip(KEPT, kept, strict=True):
        assert torch.equal(before, after)
    assert kept.steps.shape == ()


def test_unpacked_pieces_are_views() -> None:
    flat = PIECES.pack(KEPT)
    assert PIECES.unpack(flat).second.data_ptr() == flat[4:].data_ptr()


def test_vectors_without_numbers_share_the_length() -> None:
    class Two(NamedTuple):
        a: Tensor
        b: Tensor

    two = NamedPieces(Two).unpack(vec(1, 2, 3, 4))
    assert two.a.tolist() == [1, 2]
    assert two.b.tolist() == [3, 4]
