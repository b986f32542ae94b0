#!/bin/sh
# Guess: fastparquet reads integers in DELTA_BINARY_PACKED, an encoding that it lists as supported and
# that pyarrow writes, as every other reader does.
# What happens: as soon as the differences of a page need 29 bits or more, many values come back
# wrong. Nothing is raised, and smaller differences are read rightly, so that a short test passes.
# Remedy: write such columns in another encoding where fastparquet may be the reader.
# Upstream: no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q fastparquet==2026.9.0 pyarrow==25.0.1 pandas==3.1.1
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import random
import sys
from importlib.metadata import version

import fastparquet
import pyarrow as pa
import pyarrow.parquet as pq

print("fastparquet", version("fastparquet"), "pyarrow", version("pyarrow"))
draw = random.Random(1)
wrong = {}
for bits in range(24, 34):
    times, now = [], 0
    for _ in range(2000):
        now += draw.randrange(2**bits)
        times.append(now)
    table = pa.table({"time": pa.array(times, pa.int64())})
    options = {"use_dictionary": False, "column_encoding": {"time": "DELTA_BINARY_PACKED"}}
    pq.write_table(table, "times.parquet", **options)
    assert pq.read_table("times.parquet")["time"].to_pylist() == times
    read = fastparquet.ParquetFile("times.parquet").to_pandas()["time"].tolist()
    wrong[bits] = sum(a != b for a, b in zip(read, times, strict=True))
    print(f"differences of up to {bits} bits: {wrong[bits]:5d} of {len(times)} values are wrong")
sys.exit(0 if wrong[24] == 0 and wrong[32] > 0 else 1)
PYTHON
