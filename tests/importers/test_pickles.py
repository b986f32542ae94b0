"""Pickles are read without executing anything: plain values come out, all else is refused."""

from __future__ import annotations

import pickle
import pickletools
from collections import OrderedDict
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afl_sim.errors import InputError
from afl_sim.importers.pickles import read_pickle

PATH = Path("trace.pkl")
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(plain, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    assert read_pickle(PATH, pickle.dumps(value, protocol)) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_list_that_stands_in_several_places_is_one(protocol: int) -> None:
    times = [1, 2, 3]
    value = {i: {"active": times, "inactive": times} for i in range(300)}
    found = read_pickle(PATH, pickle.dumps(value, protocol))
    assert found == value
    assert found[0]["active"] is found[299]["inactive"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("value", "named"),
    [
        (OrderedDict({1: 2}), "names collections.OrderedDict"),
        ({1: date(2024, 1, 1)}, "names datetime.date"),
    ],
)
def test_a_pickle_that_names_anything_is_refused_and_the_message_tells_what_and_what_to_do(
    value: Any, named: str, protocol: int
) -> None:
    with pytest.raises(InputError) as error:
        read_pickle(PATH, pickle.dumps(value, protocol))
    told = str(error.value)
    assert named in told
    assert "nothing in a file is executed" in told
    assert "json.dump" in told
    assert "\n" not in told
    assert told.startswith("trace.pkl: byte ")


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, frozenset({1})])
def test_other_values_are_refused_even_if_they_are_harmless(value: Any) -> None:
    with pytest.raises(InputError, match="expected a pickle of dictionaries, lists, numbers"):
        read_pickle(PATH, pickle.dumps(value, 4))


@given(plain, st.data())
def test_a_damaged_pickle_is_refused_or_read_but_nothing_else_is_raised(
    value: Any, data: st.DataObject
) -> None:
    content = bytearray(pickle.dumps(value, data.draw(st.integers(0, 5))))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):  # any other exception fails the test
        read_pickle(PATH, bytes(content))


def test_the_instructions_that_import_or_call_are_all_refused() -> None:
    """Whatever Python's own reader looks up by name, or calls, is none of ours."""
    calling = {
        *("GLOBAL", "STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "REDUCE", "BUILD"),
        *("EXT1", "EXT2", "EXT4", "PERSID", "BINPERSID"),
    }
    known = {code.name for code in pickletools.opcodes}
    assert calling <= known
    code = {each.name: each.code.encode("latin-1") for each in pickletools.opcodes}
    arguments = {
        "GLOBAL": b"datetime\ndate\n",
        "INST": b"datetime\ndate\n",
        "EXT1": b"\1",
        "EXT2": b"\1\0",
        "EXT4": b"\1\0\0\0",
        "PERSID": b"one\n",
    }
    for name in calling:
        content = b"(NN" + code[name] + arguments.get(name, b"") + b"."
        with pytest.raises(InputError, match="nothing in a file is executed"):
            read_pickle(PATH, content)
