"""Tables of gradients: the sum kept beside them is that of what they hold."""

from __future__ import annotations

import torch
from vectors import assert_is, moved, vec

from afl_sim.strategies.toolkit.gradient_table import (
    Table,
    empty,
    mean_of_means,
    replaced,
    tabulated,
)


def means_again(table: Table) -> torch.Tensor:
    """The mean of means, added up anew."""
    means = [total.double() / number for total, number in table["rows"].values()]
    return torch.stack(means).mean(0)


def test_a_client_counts_by_the_mean_of_what_it_sent() -> None:
    table = tabulated(empty(vec(0, 0)), [moved(2, 0, client=7), moved(0, 6, client=3)])
    assert_is(mean_of_means(table), 1, 3)
    table = tabulated(table, [moved(4, 2, client=7)])
    assert_is(mean_of_means(table), 1.5, 3.5)  # ((3, 1) + (0, 6)) / 2


def test_of_what_is_replaced_nothing_stays() -> None:
    table = replaced(empty(vec(0, 0)), [moved(9, 9, client=0), moved(2, 0, client=0)])
    assert_is(mean_of_means(table), 2, 0)
    table = replaced(table, [moved(0, 4, client=1), moved(6, 2, client=0)])
    assert_is(mean_of_means(table), 3, 3)


def test_a_table_is_never_changed_in_place() -> None:
    first = tabulated(empty(vec(0, 0)), [moved(2, 0, client=0)])
    tabulated(first, [moved(4, 4, client=0)])
    replaced(first, [moved(4, 4, client=0)])
    assert_is(mean_of_means(first), 2, 0)
    assert first["rows"][0][1] == 1


def test_rounding_does_not_build_up_over_many_steps() -> None:
    draws = torch.Generator().manual_seed(3)
    table = empty(torch.zeros(5))
    for k in range(3000):
        scale = 10.0 ** (k % 7 - 3)  # large entries that come and go take digits with them
        delta = scale * torch.randn(5, generator=draws)
        table = replaced(table, [moved(*delta.tolist(), client=k % 10)])
    torch.testing.assert_close(
        mean_of_means(table).double(), means_again(table), rtol=1e-6, atol=1e-9
    )
