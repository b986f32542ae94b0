"""Arrow arrays are made of memory, with the content that ``pyarrow.array`` gives them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afl_sim.recording.plain_arrays import integers_of, lists, numbers, texts

LARGE = st.integers(-(2**63), 2**63 - 1)


@settings(deadline=None)
@given(st.lists(st.tuples(LARGE, st.booleans())))
def test_numbers_and_nulls_are_those_of_arrow(rows: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in rows], np.int64)
    absent = np.array([flag for _, flag in rows], np.bool_)
    made = numbers(values, absent)
    made.validate(full=True)
    assert made.equals(pa.array(values, mask=absent))
    assert numbers(values).equals(pa.array(values))
    small = values.astype(np.int8)
    assert numbers(small).equals(pa.array(small))


@settings(deadline=None)
@given(st.lists(st.none() | st.text()))
def test_texts_are_those_of_arrow(values: list[str | None]) -> None:
    made = texts(values)
    made.validate(full=True)
    assert made.equals(pa.array(values, pa.string()))


@pytest.mark.parametrize("shape", [(0, 3), (2, 0), (3, 4)])
def test_rows_become_lists(shape: tuple[int, int]) -> None:
    rows = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    made = lists(rows)
    made.validate(full=True)
    assert made.equals(pa.array(rows.tolist(), pa.list_(pa.int64())))


@settings(deadline=None)
@given(st.lists(st.lists(st.none() | LARGE)), st.integers(0, 5))
def test_whole_numbers_are_read_back_with_a_sign_for_nulls(
    chunks: list[list[int | None]], first: int
) -> None:
    column = pa.chunked_array([pa.array(chunk, pa.int64()) for chunk in chunks], pa.int64())
    wanted = [-1 if value is None else value for chunk in chunks for value in chunk]
    assert integers_of(column, -1).tolist() == wanted
    assert integers_of(column[first:], -1).tolist() == wanted[first:]


def test_smaller_whole_numbers_are_read_too() -> None:
    found = integers_of(pa.array([1, None, -128], pa.int8()), -1)
    assert (found.tolist(), found.dtype) == ([1, -1, -128], np.int64)


def test_none_of_them_loads_pandas() -> None:
    code = """
import sys
import numpy as np
import pyarrow as pa
from afl_sim.recording.plain_arrays import integers_of, lists, numbers, texts
five = np.arange(5)
made = [numbers(five, five > 2), lists(five[:, None]), texts(["a", None, "", "b", "c"])]
integers_of(pa.chunked_array([made[0]]), -1)
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
