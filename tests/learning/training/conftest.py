"""Tests of training compute as a run does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from afl_sim.execution.numerics import deterministic


@pytest.fixture
def as_in_a_run() -> Iterator[None]:
    with deterministic():
        yield
