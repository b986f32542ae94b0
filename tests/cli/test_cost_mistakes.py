"""Wrong power, energy, prices, carbon, batteries, memory and links, through the real command."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from commands import Command

BASE = """\
strategy: {kind: fedasync, concurrency: 2}
stop: {versions: 3}
clients: {
  count: 4,
"""
FLEET = "network: {download: {latency: 1}, upload: {latency: 1}}"
LINE = 6
POWER = "power: {compute: 4 W, download: 1.1, upload: 1600 mW, idle: 0.05}"
NO_UNIT = "is no unit here; expected"
PRESETS = "expected a block of keys, or one of the presets phone-fast"


class Wrong(NamedTuple):
    """A mistake in line 6 of the file, among the keys of the clients or after them."""

    text: str
    key: str
    words: str
    fleet: str = FLEET
    after: bool = False

    @property
    def content(self) -> str:
        """The file."""
        inside, below = ("", f"}}\n{self.text}") if self.after else (f",\n{self.text}", "}")
        return f"{BASE}  {self.fleet}{inside}{below}\n"


def of_power(power: str, key: str, words: str) -> Wrong:
    return Wrong(f"power: {{{power}}}", f"clients.power.{key}", words)


def of_battery(battery: str, key: str, words: str) -> Wrong:
    return Wrong(f"{POWER}, battery: {{{battery}}}", f"clients.battery.{key}", words)


def of_carbon(carbon: str, key: str, words: str) -> Wrong:
    return Wrong(f"carbon_intensity: {carbon}", key, words, f"{FLEET}, {POWER}", after=True)


def of_link(link: str, key: str, words: str) -> Wrong:
    text = f"network: {{download: {{latency: 1}}, upload: {{{link}}}}}"
    return Wrong(text, f"clients.network.upload.{key}", words, "faults: {}")


def of_server(server: str, key: str, words: str) -> Wrong:
    return Wrong(f"server: {{{server}}}", f"server.{key}", words, after=True)


BATTERY = "capacity: 15 Wh, charging: 90 min"
REST = "download: 0, upload: 0, idle: 0"
SETTINGS = {
    # power
    "power-negative": of_power(f"{REST}, compute: -4", "compute", "got -4; expected 0 or more"),
    "power-nan": of_power(f"{REST}, compute: .nan", "compute", "not a finite number"),
    "power-inf": of_power(f"{REST}, compute: .inf", "compute", "not a finite number"),
    "power-vast": of_power(f"{REST}, compute: 1e13", "compute", "got 1e+13; expected at most"),
    "power-unit": of_power(f"{REST}, compute: 4 kJ", "compute", f"'kJ' {NO_UNIT} watts"),
    "power-list": of_power(f"{REST}, compute: [4, 5]", "compute", "a list of 2; expected a number"),
    "power-some": of_power(f"{REST}, compute: {{values: [1, 2]}}", "compute", "for 2 clients"),
    "power-file": of_power(f"{REST}, compute: {{trace: w.csv}}", "compute.trace", "there is no"),
    "power-phase": of_power("compute: 4, idle: 0, download: 1", "", "no power for upload"),
    "power-number": Wrong("power: 4", "clients.power", "got 4; expected a block of keys"),
    "power-measured": Wrong("power: 4 W", "clients.power", f"got '4 W'; {PRESETS}"),
    "power-name": Wrong("power: jetson", "clients.power", "did you mean 'jetson-nano'?"),
    "power-names": of_power("preset: [a]", "preset", "a list of 1; expected one of the presets"),
    "power-preset": of_power("preset: jeton-nano", "preset", "did you mean 'jetson-nano'?"),
    "server-power": of_server("power: -1", "power", "got -1; expected 0 or more"),
    "server-watts": of_server("power: 1 kWh", "power", f"'kWh' {NO_UNIT} watts"),
    "server-vast": of_server("power: 1e300", "power", "expected at most 1e+12"),
    "server-law": of_server("power: {dist: expon}", "power", "varies; expected one number"),
    # energy by sample and by byte
    "sample-unit": Wrong(
        "energy_per_sample: 5 W", "clients.energy_per_sample", f"'W' {NO_UNIT} joules per sample"
    ),
    "sample-negative": Wrong("energy_per_sample: -5", "clients.energy_per_sample", "got -5"),
    "sample-vast": Wrong(
        "power: {idle: 0}, energy_per_byte: 0, energy_per_sample: 1e19",
        "clients.energy_per_sample",
        "got 1e+19; expected at most 1e+18",
    ),
    "byte-unit": Wrong(
        "energy_per_byte: 5W", "clients.energy_per_byte", f"got '5W', but 'W' {NO_UNIT} joules"
    ),
    "byte-bit": Wrong("energy_per_byte: 5 nJ/bit", "clients.energy_per_byte", "but 'nJ/bit' is"),
    "byte-quoted": Wrong("energy_per_byte: '5'", "clients.energy_per_byte", "which has no unit"),
    "byte-negative": Wrong("energy_per_byte: -1", "clients.energy_per_byte", "0 or more"),
    "byte-list": Wrong("energy_per_byte: [1, 2]", "clients.energy_per_byte", "got a list of 2"),
    "byte-name": Wrong("energy_per_byte: wify", "clients.energy_per_byte", "did you mean 'wifi'?"),
    "byte-5g": Wrong("energy_per_byte: 5g", "clients.energy_per_byte", "no preset '5g'; expected"),
    "byte-block": Wrong(
        "energy_per_byte: {preset: {}}", "clients.energy_per_byte.preset", "got an empty block"
    ),
    "byte-way": Wrong(
        "energy_per_byte: {download: 1 uJ, upload: 2 uW}",
        "clients.energy_per_byte.upload",
        f"'uW' {NO_UNIT}",
    ),
    # batteries
    "level-full": of_battery(f"{BATTERY}, level: 2", "level", "got 2; expected a share of the"),
    "level-percent": of_battery(f"{BATTERY}, level: 80", "level", "did you mean 0.8?"),
    "level-law": of_battery(
        f"{BATTERY}, level: {{dist: uniform, loc: 0.5}}", "level", "can be 1.5; expected a share"
    ),
    "level-some": of_battery(
        f"{BATTERY}, level: {{values: [1, 1, 1.1, 1]}}", "level", "can be 1.1; expected a share"
    ),
    "level-negative": of_battery(f"{BATTERY}, level: -0.1", "level", "got -0.1; expected 0"),
    "low-full": of_battery(f"{BATTERY}, low: 1", "low", "got 1; expected less than 1"),
    "capacity-zero": of_battery("capacity: 0, charging: 1", "capacity", "always above 0"),
    "capacity-some": of_battery(
        "capacity: {values: [0, 1 Wh, 1 Wh, 1 Wh]}, charging: 1", "capacity", "always above 0"
    ),
    "capacity-unit": of_battery(
        "capacity: 4000 mAh, charging: 1", "capacity", f"'mAh' {NO_UNIT} joules"
    ),
    "capacity-vast": of_battery("capacity: 1e19, charging: 1", "capacity", "at most 1e+18"),
    "charging-unit": of_battery("capacity: 1 Wh, charging: 5 W", "charging", f"'W' {NO_UNIT}"),
    "charging-long": of_battery("capacity: 1 Wh, charging: 1e13", "charging", "end of the clock"),
    "battery-alone": Wrong(
        f"battery: {{{BATTERY}}}", "clients.battery", "nothing uses it up; expected power"
    ),
    # prices and budgets
    "price-negative": Wrong("price: {per_task: -1}", "clients.price.per_task", "got -1; expected"),
    "price-unit": Wrong("price: {per_gb: 1 EUR}", "clients.price.per_gb", "got '1 EUR'; expected"),
    "price-law": Wrong("price: {per_task: {dist: expon}}", "clients.price.per_task", "got a block"),
    "price-vast": Wrong("price: {per_task: 1e13}", "clients.price.per_task", "at most 1e+12"),
    "price-key": Wrong("price: {per_GB: 1}", "clients.price.per_GB", "did you mean 'per_gb'?"),
    "server-price": of_server("price: {per_hour: .inf}", "price.per_hour", "not a finite number"),
    # carbon
    "carbon-negative": of_carbon("-1", "carbon_intensity", "got -1; expected 0 or more"),
    "carbon-vast": of_carbon("1e7", "carbon_intensity", "expected at most 1e+06"),
    "carbon-unit": of_carbon("400 g/kWh", "carbon_intensity", "got '400 g/kWh'; expected the name"),
    "carbon-list": of_carbon("[1, 2]", "carbon_intensity", "got a list of 2; expected a number"),
    "carbon-file": of_carbon("no.csv", "carbon_intensity.trace", "there is no file"),
    "carbon-alone": Wrong(
        "carbon_intensity: 3", "carbon_intensity", "no energy is counted", after=True
    ),
    # memory
    "memory-zero": Wrong("memory: 0", "clients.memory.bytes", "always above 0"),
    "memory-unit": Wrong("memory: 4 Gb", "clients.memory.bytes", "did you mean 'GB'?"),
    "memory-list": Wrong("memory: [1, 2]", "clients.memory.bytes", "got a list of 2"),
    "memory-rule": Wrong(
        "memory: {bytes: 4 GB, too_small: smaler_batch}",
        "clients.memory.too_small",
        "did you mean 'smaller_batch'?",
    ),
    "memory-nothing": Wrong("memory: {too_small: absent}", "clients.memory", "how much there is"),
    # links
    "link-zero": of_link("bandwidth: 0", "bandwidth", "always above 0"),
    "link-unit": of_link("bandwidth: 10 Mb/s", "bandwidth", "'MB/s' (bytes) or 'Mbit/s' (bits)"),
    "link-both": of_link("bandwidth: 1, bandwidth_trace: ok.csv", "", "has both bandwidth and"),
    "link-measured": of_link("bandwidth_trace: 5 MB/s", "bandwidth_trace", "got '5 MB/s';"),
    "link-file": of_link("bandwidth_trace: no.csv", "bandwidth_trace.trace", "there is no file"),
    "link-lost": of_link("loss: 1", "loss", "got 1; expected less than 1"),
    "shared-zero": of_server("upload: {kind: shared, bandwidth: 0}", "upload.bandwidth", "got 0"),
    "shared-none": of_server("upload: shared", "upload", "does not say its bandwidth"),
}
INTENSITIES = {
    "empty": ("", "{file} is empty"),
    "header": ("time,g_per_kwh\n", "{file} has no rows; expected two or more"),
    "single": ("time,g_per_kwh\n0,400\n", "{file} has 1 row; expected two or more"),
    "gap": ("time_h,g_per_kwh\n0,1\n1,2\n3,4\n", "{file}:4: time_h is '3', 7200 s after"),
    "hours": ("time_h,g_per_kwh\n0,1\n2,2\n1,4\n", "{file}:4: time_h is '1', which is not after"),
    "twice": ("time_h,g_per_kwh\n0,1\n0,2\n", "{file}:3: time_h is '0', which is not after '0'"),
    "times": ("time,time,g_per_kwh\n0,0,1\n1,1,2\n", "{file}:1: column 'time' twice"),
    "units": ("time_h,time_s,g_per_kwh\n0,0,1\n", "{file}:1: has time_h and time_s; expected one"),
    "negative": ("time,g_per_kwh\n0,-1\n1,2\n", "{file}:2: g_per_kwh is '-1'; expected a number"),
    "nan": ("time,g_per_kwh\n0,1\n1,nan\n", "{file}:3: g_per_kwh is 'nan'; expected a number"),
    "vast": ("time,g_per_kwh\n0,1\n1,1e7\n", "{file}:3: g_per_kwh is '1e7'; expected a number"),
    "blank": ("time,g_per_kwh\n0,\n1,2\n", "{file}:2: g_per_kwh is ''; expected a number"),
    "column": ("time,gCO2\n0,1\n1,2\n", "{file}:1: no column 'g_per_kwh'; the file has"),
    "clock": ("hour,g_per_kwh\n0,1\n1,2\n", "{file}:1: no column 'time'; the file has"),
    "mixed": (
        "time,g_per_kwh\n2024-01-01,1\n3600,2\n",
        "{file}:3: time is '3600'; expected a date",
    ),
    "zones": (
        "time,g_per_kwh\n2024-01-01T00:00Z,1\n2024-01-01T01:00,2\n",
        "{file}:3: time has no time zone, but the first row has one; expected the same",
    ),
    "semicolons": ("time;g_per_kwh\n0;1\n", "{file}:1: the cells are separated by semicolons"),
}
BANDWIDTHS = {
    "empty": ("", "{file} is empty"),
    "header": ("start,end,bandwidth\n", "{file} has no rows"),
    "gap": ("start,end,bandwidth\n0,1,5e4\n2,3,5e4\n", "{file}:3: a gap: start is 2"),
    "order": ("start,end,bandwidth\n0,2,5e4\n1,3,5e4\n", "{file}:3: start 1 is before 2"),
    "late": ("start,end,bandwidth\n1,2,5e4\n", "{file}:2: start is 1, in the first row"),
    "negative": ("start,end,bandwidth\n0,2,-5\n", "{file}:2: bandwidth is '-5'; expected"),
    "zero": ("start,end,bandwidth\n0,2,0\n", "{file}:2: the bandwidth is 0 in all rows"),
    "inf": ("start,end,bandwidth\n0,2,inf\n", "{file}:2: bandwidth is 'inf'; expected"),
    "ends": ("start,end,end,bandwidth\n0,2,2,1\n", "{file}:1: column 'end' twice"),
    "none": ("start,end\n0,2\n", "{file}:1: no column of bandwidths beside start, end"),
    "backwards": ("start,end,bandwidth\n0,0,5e4\n", "{file}:2: end 0 is not after start 0"),
    "unit": ("start,end,rate_MB\n0,9,5\n", "{file}:1: 'rate_MB' says MB, which is no unit of"),
    "misread": ("start,end,rate_KB_per_s\n0,9,5\n", "{file}:1: 'rate_KB_per_s' says KB_per_s"),
}
DEVICES = {
    "negative": ("power_compute\n-1\n", "{file}:2: power_compute is '-1'; expected"),
    "vast": ("power_compute_kW\n1e10\n", "{file}:2: power_compute_kW is '1e10', times the factor"),
    "unit": ("power_compute_kJ\n1\n", "{file}:1: unknown column 'power_compute_kJ'"),
    "memory": ("memory_GB\n0\n", "{file}:2: memory_GB is '0', times the factor 1e+09; expected"),
    "memories": ("memory,memory_GB\n1,1\n", "{file}:1: has memory and memory_GB; expected one"),
}
COLUMNS = {
    "negative": ("compute_mW\n1\n-1\n", "{file}:3: compute_mW is '-1', times the factor 0.001"),
    "blank": ("watts,note\n1,a\n,b\n", "{file}:3: watts is ''; expected a finite number"),
    "unit": ("compute_mJ\n1\n", "{file}:1: 'compute_mJ' says mJ, which is no unit of watts"),
    "misread": ("compute_mw\n1\n", "{file}:1: 'compute_mw' says mw, which is no unit of watts"),
}


TABLES = {"carbon": INTENSITIES, "link": BANDWIDTHS, "device": DEVICES, "column": COLUMNS}


def of_table(kind: str, file: str, content: str, words: str) -> Wrong:
    """A scenario that reads a wrong table."""
    if kind == "carbon":
        return of_carbon(file, "carbon_intensity", words)
    if kind == "link":
        return of_link(f"bandwidth_trace: {file}", "bandwidth_trace", words)
    if kind == "device":
        return Wrong(f"devices: {file}", "clients.devices", words)
    column = content.split()[0].split(",")[0]
    return of_power(f"{REST}, compute: {{trace: {file}, column: {column}}}", "compute", words)


FILES = {
    f"{kind}-{name}.csv": (kind, content, words)
    for kind, tables in TABLES.items()
    for name, (content, words) in tables.items()
}
WRONG = SETTINGS | {
    f"file-{file.removesuffix('.csv')}": of_table(
        kind, file, content, words.replace("{file}", file)
    )
    for file, (kind, content, words) in FILES.items()
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file, (_, content, _) in FILES.items():
        (tmp_path / file).write_text(content)
    (tmp_path / "ok.csv").write_text("start,end,bandwidth\n0,1,5e4\n")
    for name, wrong in WRONG.items():
        (tmp_path / f"{name}.yaml").write_text(wrong.content)
    return tmp_path


def test_each_is_told_in_one_line_with_file_line_and_key(afl_sim: Command, folder: Path) -> None:
    (result,) = afl_sim.batch([("validate", *(f"{name}.yaml" for name in WRONG))])
    assert result.code == 2
    assert result.out == ""
    assert [message.partition(".yaml:")[0] for message in result.errors] == list(WRONG)
    for message, (name, wrong) in zip(result.errors, WRONG.items(), strict=True):
        place, key, _ = message.split(": ", 2)
        assert place == f"{name}.yaml:{LINE}", message
        assert f"{key}.".startswith(f"{wrong.key.rstrip('.')}."), message
        assert wrong.words in message, message


SUSPECT = {
    "compute": (
        "power: {download: 0, upload: 0, idle: 0, compute: 4 kW}",
        "power.compute: 4000 W is",
    ),
    "idle": (
        "power: {download: 0, upload: 0, idle: 5, compute: 4}",
        "power.idle: 5 W are more than",
    ),
    "table": ("devices: phones.csv", "devices.power_compute: 4000 W is much for a client"),
    "sample": (
        "power: {idle: 0}, energy_per_byte: 0, energy_per_sample: 2 kJ",
        "energy_per_sample: 2000 J is much for training on a sample",
    ),
    "byte": (
        "power: {idle: 0}, energy_per_sample: 0, energy_per_byte: 3",
        "energy_per_byte: 3 J is much for a byte",
    ),
    "upload": (
        "power: {idle: 0}, energy_per_sample: 0, energy_per_byte: {download: 0, upload: 3 J}",
        "energy_per_byte.upload: 3 J is much for a byte",
    ),
    "battery": (
        f"{POWER}, battery: {{capacity: 15, charging: 1 h}}",
        "battery.capacity: 15 J is little for a battery; a number is in joules, and text has a "
        "unit, such as 15 Wh",
    ),
    "link": (
        "network: {upload: {bandwidth: 20}}",
        "network.upload.bandwidth: 20 bytes per second is below 1 kB/s",
    ),
    "processor": ("compute: {flops_per_second: 20}", "compute.flops_per_second: 20 floating-point"),
}


def test_a_number_that_is_likely_in_another_unit_gives_a_warning_with_its_line(
    afl_sim: Command, tmp_path: Path
) -> None:
    columns = "power_compute,power_idle,power_upload,power_download"
    (tmp_path / "phones.csv").write_text(f"{columns}\n4000,1,1,1\n")
    for name, (text, _) in SUSPECT.items():
        fleet = "faults: {}" if "network" in text else FLEET
        (tmp_path / f"{name}.yaml").write_text(Wrong(text, "", "", fleet).content)
    (result,) = afl_sim.batch([("validate", *(f"{name}.yaml" for name in SUSPECT))])
    told = result.succeeded().out.splitlines()[:-1]
    for i, (name, (_, words)) in enumerate(SUSPECT.items()):
        assert told[2 * i] == f"{name}.yaml: ok, 1 run"
        assert told[2 * i + 1].startswith(f"warning: line {LINE}: clients.{words}"), told[2 * i + 1]
