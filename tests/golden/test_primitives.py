"""Primitives of portable arithmetic have the same bits on every processor."""

from __future__ import annotations

import json

import primitives
import pytest

from afl_sim.execution.numerics import deterministic
from afl_sim.portable.processor import shortfall

pytestmark = pytest.mark.skipif(shortfall() is not None, reason=str(shortfall()))


def test_primitives_have_the_golden_bits() -> None:
    """Where a change is meant: python tests/support/primitives.py --write"""
    expected = json.loads(primitives.FILE.read_text())
    with deterministic():
        found = primitives.digests()
    assert list(found) == list(expected)
    differing = {
        name: (found[name], bits) for name, bits in expected.items() if found[name] != bits
    }
    assert not differing, f"these primitives have other bits here (found, expected): {differing}"
