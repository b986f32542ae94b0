"""Durations and rates may be written as text with a unit."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from afl_sim.errors import ScenarioError
from afl_sim.run.kinds import catalogue
from afl_sim.scenario import Scenario, dump_scenario, read_study, scenario_id
from afl_sim.scenario.mistakes.lookup import models_in
from afl_sim.scenario.mistakes.partial import adapter
from afl_sim.scenario.schema import json_schema
from afl_sim.scenario.units import (
    DURATION,
    ENERGY,
    OPERATIONS,
    PER_SAMPLE,
    POWER,
    RATE,
    SIZE,
    Quantity,
    Unreadable,
)
from afl_sim.scenario.yaml.nodes import compose, plain
from afl_sim.scenario.yaml.scalars import resolve

FILE = """
clients:
  count: 4
  compute: {seconds_per_sample: SPEED, jitter_seconds: JITTER}
  network: {download: {latency: LATENCY, bandwidth: RATE}}
  availability: {kind: on_off, on: STAYS, off: AWAY, warm_up: WARMING}
server: {upload: {kind: shared, bandwidth: LINK}, aggregation_seconds: MERGING}
strategy: {kind: x}
evaluation: {every_seconds: EVERY}
stop: {virtual_seconds: END}
"""
WITH_UNITS = {
    "SPEED": "{dist: lognorm, s: 0.5, scale: 20 ms}",
    "JITTER": "{mixture: [{weight: 1, dist: 10 ms}, {weight: 2, dist: expon, scale: 1 s}]}",
    "LATENCY": "{values: [1 ms, 2 ms, 250 us, 0.004]}",
    "RATE": "{dist: loguniform, a: 10 kB/s, b: 1 MiB/s}",
    "STAYS": "{sequence: [8 h, 4 h]}",
    "AWAY": "{dist: gamma, a: {values: [1, 2, 3, 4]}, scale: {values: [1 min, 2 min, 1 h, 9 s]}}",
    "WARMING": "3 days",
    "LINK": "10 Mbit/s",
    "MERGING": "5 ms",
    "EVERY": "1.5 min",
    "END": "8 h",
}
IN_BASE_UNITS = {
    "SPEED": "{dist: lognorm, s: 0.5, scale: 0.02}",
    "JITTER": "{mixture: [{weight: 1, dist: 0.01}, {weight: 2, dist: expon, scale: 1}]}",
    "LATENCY": "{values: [0.001, 0.002, 0.00025, 0.004]}",
    "RATE": "{dist: loguniform, a: 10000, b: 1048576}",
    "STAYS": "{sequence: [28800, 14400]}",
    "AWAY": "{dist: gamma, a: {values: [1, 2, 3, 4]}, scale: {values: [60, 120, 3600, 9]}}",
    "WARMING": "259200",
    "LINK": "1250000",
    "MERGING": "0.005",
    "EVERY": "90",
    "END": "28800",
}


def written(values: dict[str, str]) -> str:
    text = FILE
    for word, value in values.items():
        text = text.replace(word, value)
    return text


def load(text: str) -> Scenario:
    return read_study(text, None).cases[0].scenario


def refusal(**values: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load(written({**IN_BASE_UNITS, **values}))
    return str(caught.value)


def test_a_scenario_with_units_is_the_scenario_in_base_units() -> None:
    ours, plain = load(written(WITH_UNITS)), load(written(IN_BASE_UNITS))
    assert ours == plain
    assert dump_scenario(ours) == dump_scenario(plain)
    assert scenario_id(ours) == scenario_id(plain)


@given(
    digits=st.integers(0, 10**9),
    places=st.integers(0, 9),
    unit=st.sampled_from(
        [(q, unit) for q in (DURATION, RATE, SIZE, OPERATIONS) for unit in q.units]
    ),
)
def test_text_is_the_number_in_base_units_to_the_last_bit(
    digits: int, places: int, unit: tuple[Quantity, str]
) -> None:
    quantity, name = unit
    number = Decimal(digits).scaleb(-places)
    in_base_units = format(number * quantity.units[name], "f")
    assert float(quantity.read(f"{number:f} {name}")) == float(resolve(in_base_units))
    assert quantity.read(f"{number:f}{name}") == quantity.read(f"{number:f} {name}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,5 s", "decimal sign"),
        ("3 min 20 s", "200 s, not 3 min 20 s"),
        ("12:30", "colons"),
        ("10", "has no unit"),
        ("10 m", "did you mean 'min'?"),
        ("10 MS", "did you mean 'ms'?"),
        ("2 hrs", "did you mean 'h'?"),
        ("10 kB/s", "expected seconds, or text with one of the units ns, us, ms, s, min, h, d"),
        ("ms", "expected a number of seconds, or text with a unit, such as 10 ms"),
    ],
)
def test_a_duration_is_refused_if_it_could_be_misread(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=r"^got ") as caught:
        DURATION.read(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10 Mb/s", "did you mean 'MB/s' (bytes) or 'Mbit/s' (bits)?"),
        ("10 mb/s", "did you mean 'MB/s' (bytes) or 'Mbit/s' (bits)?"),
        ("10 MB/S", "did you mean 'MB/s'?"),
        ("10 KB/s", "did you mean 'kB/s' (1000 bytes) or 'KiB/s' (1024 bytes)?"),
        ("20 kB", "did you mean 'kB/s'?"),
        ("5 MBps", "did you mean 'MB/s'?"),
        ("10 ms", "expected bytes per second"),
    ],
)
def test_bits_and_bytes_are_never_guessed(text: str, told: str) -> None:
    with pytest.raises(Unreadable) as caught:
        RATE.read(text)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("4 gb", "did you mean 'GB'?"),
        ("4 Gb", "did you mean 'GB'?"),
        ("4 Gbit", "did you mean 'GB', of which each has 8 bits?"),
        ("4 KB", "did you mean 'kB' (1000 bytes) or 'KiB' (1024 bytes)?"),
        ("4 gib", "did you mean 'GiB'?"),
        ("4 GB/s", "expected bytes, or text with one of the units B, kB, MB, GB"),
    ],
)
def test_sizes_of_memory_are_in_bytes(text: str, told: str) -> None:
    with pytest.raises(Unreadable) as caught:
        SIZE.read(text)
    assert told in str(caught.value)
    assert SIZE.read("4 GB") == 4e9
    assert SIZE.read("1.5 MiB") == 1.5 * 2**20


@pytest.mark.parametrize("text", ["20 GFLOP", "20 Gflops", "20 gflop/s", "20 GFlops/sec"])
def test_operations_are_per_second(text: str) -> None:
    with pytest.raises(Unreadable, match="did you mean 'GFLOP/s'") as caught:
        OPERATIONS.read(text)
    assert "expected floating-point operations per second" in str(caught.value)
    assert OPERATIONS.read("20 GFLOP/s") == OPERATIONS.read("20 GFLOPS") == 2e10


def test_the_schema_takes_devices_with_units() -> None:
    valid = jsonschema.Draft202012Validator(json.loads(json.dumps(json_schema(catalogue()))))
    text = written(WITH_UNITS).replace("kind: x", "kind: fedbuff")
    text = text.replace("  count: 4", "  count: 4\n  memory: 4 GB")
    speed = WITH_UNITS["SPEED"]
    text = text.replace(f"seconds_per_sample: {speed}", "flops_per_second: 3 GFLOP/s")
    assert valid.is_valid(plain(compose(text, "")[0]))
    block = text.replace("memory: 4 GB", "memory: {bytes: {values: [1 MB, 2]}, too_small: absent}")
    assert valid.is_valid(plain(compose(block, "")[0]))
    for wrong in ("memory: 4 Gb", "memory: {bytes: 4 GB, too_small: wait}"):
        assert not valid.is_valid(plain(compose(text.replace("memory: 4 GB", wrong), "")[0]))


def test_a_unit_may_repeat_what_the_key_says() -> None:
    assert PER_SAMPLE.read("10 ms/sample") == 0.01
    with pytest.raises(Unreadable):
        PER_SAMPLE.read("10 ms/step")


def test_messages_name_the_unit_that_is_expected() -> None:
    assert "4: clients.compute.seconds_per_sample: got '20 kB/s'" in refusal(SPEED="20 kB/s")
    assert "expected a number of seconds, or text" in refusal(END="[5]")
    assert "expected more than 0" in refusal(END="0 s")
    assert "expected a number of seconds per sample, or text" in refusal(SPEED="lognorm")


def test_only_loc_and_scale_of_a_distribution_have_a_unit() -> None:
    told = refusal(SPEED="{dist: lognorm, s: 10 ms, scale: 20 ms}")
    assert "seconds_per_sample.s: got '10 ms'" in told
    assert "only loc and scale have" in told
    assert "jitter: got '2 s'" in refusal(JITTER="1 s, jitter: 2 s")  # a factor has no unit


def test_a_decimal_comma_in_braces_is_explained() -> None:
    assert "the decimal sign is a point" in refusal(END="1,5 s")


def _takes_a_number(spec: type[BaseModel], name: str) -> bool:
    try:
        adapter(spec, name).validate_python(20)
    except ValidationError:
        return False
    return True


def _measured(spec: type[BaseModel], seen: set[type[BaseModel]]) -> list[tuple[type, str, str]]:
    """Every key that its description says is in seconds or bytes per second."""
    if spec in seen:
        return []
    seen.add(spec)
    found: list[tuple[type, str, str]] = []
    for name, field in spec.model_fields.items():
        about = field.description or ""
        if name not in ("trace", "factor") and _takes_a_number(spec, name):
            if "(bytes per second" in about:
                found.append((spec, name, "20 kB/s"))
            elif "(seconds" in about or about.startswith("seconds of virtual time"):
                found.append((spec, name, "20 s"))
        for inner in models_in(field.annotation):
            found += _measured(inner, seen)
    return found


def test_every_key_in_seconds_or_bytes_per_second_takes_a_unit() -> None:
    seen: set[type[BaseModel]] = set()
    keys = _measured(Scenario, seen)
    for spec in catalogue().strategies.values():
        keys += _measured(spec, seen)
    assert len(keys) > 40
    for spec, name, text in keys:
        check = adapter(spec, name)
        number = {"20 kB/s": 20_000, "20 s": 20}[text]
        assert check.validate_python(text) == check.validate_python(number), (spec, name)
        with pytest.raises(ValidationError):
            check.validate_python("20 parsecs")


def test_the_schema_takes_numbers_and_text() -> None:
    schema = json.loads(json.dumps(json_schema(catalogue())))
    text = written(WITH_UNITS).replace("kind: x", "kind: fedbuff")
    valid = jsonschema.Draft202012Validator(schema)
    assert valid.is_valid(plain(compose(text, "")[0]))
    assert not valid.is_valid(plain(compose(text.replace("8 h", "8 hours ago"), "")[0]))
    assert not valid.is_valid(plain(compose(text.replace("10 Mbit/s", "10 ms"), "")[0]))


@pytest.mark.parametrize(
    ("column", "factor"),
    [
        ("latency_ms", 0.001),
        ("latency (us)", 1e-6),
        ("ms_per_sample", 0.001),
        ("seconds", 1.0),
        ("latency_min", None),  # a minimum, or minutes
        ("d", None),
    ],
)
def test_the_name_of_a_column_says_its_unit(column: str, factor: float | None) -> None:
    assert DURATION.of_column(column) == factor


@pytest.mark.parametrize(
    ("column", "factor"),
    [("kB_per_s", 1e3), ("upload_Mbit_per_s", 125e3), ("Mbps", 125e3), ("bytes_per_second", 1.0)],
)
def test_the_name_of_a_column_says_its_rate(column: str, factor: float) -> None:
    assert RATE.of_column(column) == factor


@pytest.mark.parametrize(
    ("quantity", "column", "word"),
    [
        (DURATION, "latency_msec", "msec"),
        (DURATION, "usecs", "usecs"),
        (DURATION, "Hours", "Hours"),
        (DURATION, "latency_MB", "MB"),
        (RATE, "uplink_KB_per_s", "KB_per_s"),
        (RATE, "uplink (Mb/s)", "Mb/s"),
        (RATE, "uplink_mbps", "mbps"),
        (RATE, "uplink_MBps", "MBps"),
        (RATE, "uplink_bits", "bits"),
        (SIZE, "memory_gb", "gb"),
        (OPERATIONS, "peak_gflops", "gflops"),
        (POWER, "compute_mw", "mw"),
        (ENERGY, "battery_kwh", "kwh"),
    ],
)
def test_a_name_that_could_be_misread_is_refused(
    quantity: Quantity, column: str, word: str
) -> None:
    why = quantity.misnamed(column)
    assert why is not None
    assert f"{column!r} says {word}, which is no unit of {quantity.base}; expected" in why


@pytest.mark.parametrize(
    ("quantity", "column"),
    [
        (DURATION, "latency_min"),
        (DURATION, "latency_Min"),
        (DURATION, "delay_sec"),  # what it is without a unit, too
        (DURATION, "batches_per_second"),
        (RATE, "bandwidth"),
        (RATE, "link_b"),
        (RATE, "tcp_bytes"),
        (RATE, "kbps"),
        (SIZE, "memory_bytes"),
        (OPERATIONS, "flops"),
    ],
)
def test_other_names_are_not(quantity: Quantity, column: str) -> None:
    assert quantity.misnamed(column) is None


def trace(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_a_column_of_a_trace_has_the_unit_in_its_name(tmp_path: Path) -> None:
    file = trace(tmp_path, "a.csv", "delay_ms,other\n9,1\n20,2\n")
    by_name = load(written({**IN_BASE_UNITS, "JITTER": f"{{trace: {file}, column: delay_ms}}"}))
    law = by_name.clients.compute.jitter_seconds
    assert law.quantile(0.1) == 0.009
    assert law.form["factor"] == 0.001  # the resolved file does not depend on the name
    factor = f"{{trace: {file}, column: delay_ms, factor: 0.001}}"
    assert load(written({**IN_BASE_UNITS, "JITTER": factor})) == by_name
    plain = load(written({**IN_BASE_UNITS, "JITTER": f"{{trace: {file}, column: other}}"}))
    assert "factor" not in plain.clients.compute.jitter_seconds.form


def test_a_factor_takes_the_place_of_the_unit_in_a_name(tmp_path: Path) -> None:
    file = trace(tmp_path, "a.csv", "ms\n9\n")
    text = written({**IN_BASE_UNITS, "JITTER": f"{{trace: {file}, column: ms, factor: 1}}"})
    assert load(text).clients.compute.jitter_seconds.constant == 9


def test_a_resolved_trace_is_read_as_it_was(tmp_path: Path) -> None:
    file = trace(tmp_path, "a.csv", "ms\n9\n")
    form = load(written({**IN_BASE_UNITS, "JITTER": f"{{trace: {file}, factor: 1}}"}))
    digest = form.clients.compute.jitter_seconds.form["sha256"]
    again = f"{{trace: {file}, sha256: {digest}}}"  # as a run without a factor was recorded
    read = load(written({**IN_BASE_UNITS, "JITTER": again}))
    assert read.clients.compute.jitter_seconds.constant == 9
