"""The comparisons of the theory suite are counted, because its false-alarm rate is shared out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparisons import COMPARISONS, Comparisons


@pytest.fixture(scope="session")
def compare() -> Iterator[Comparisons]:
    comparisons = Comparisons()
    yield comparisons
    assert comparisons.made <= COMPARISONS, "raise COMPARISONS: the level must be shared by more"
