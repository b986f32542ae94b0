"""Tasks that ask for a newer model equal those of an independent event loop, ties included."""

from __future__ import annotations

from dataclasses import fields

import plain_schedules
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_cases import Fleet, digest_rows, fleets
from refreshing_loop import RefreshingFleet


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_fedasmu(data: st.DataObject) -> None:
    drawn = data.draw(fleets())
    steps = data.draw(st.integers(2, 5))
    step = data.draw(st.integers(1, steps - 1))
    given = {field.name: getattr(drawn, field.name) for field in fields(Fleet)}
    fleet = RefreshingFleet(**given, step=step, steps=steps)
    concurrency = data.draw(st.integers(1, fleet.clients))
    limit = data.draw(st.none() | st.integers(1, 4))
    block = {
        "kind": "fedasmu",
        "concurrency": concurrency,
        "staleness_limit": limit,
        "request_after": step / steps,
    }
    outcome = fleet.simulated(block, training={"steps": steps})
    stale = None if limit is None else limit - 1
    assert digest_rows(outcome) == fleet.expected(plain_schedules.fedasync, concurrency, stale).rows
