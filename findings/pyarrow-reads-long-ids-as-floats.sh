#!/bin/sh
# Guess: pyarrow's readers of CSV and of JSON lines keep whole numbers whole. A column of unsigned 64-bit ids
# (hashes of devices, addresses) becomes uint64, or text, or raises.
# What happens: the readers try int64 alone. One number of 2**63 or more among them makes the whole column
# double: the last three or four digits of every id are rounded, and different devices become one.
# Nothing is raised, and no warning is given; `pyarrow.array` refuses the same numbers with OverflowError.
# pandas, polars and DuckDB read the same files exactly. Half of all random ids are that large.
# Remedy: `ConvertOptions(column_types={"id": pyarrow.uint64()})`, or an explicit schema for JSON.
# Upstream: apache/arrow 36636 proposed uint64 for `pyarrow.array` and was closed. None about the readers was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check \
    pyarrow==26.0.1 pandas==3.1.1 polars==2.1.0 duckdb==2.0.1 numpy==2.4.6
cd "$place"
cat > ids.py <<'PYTHON'
import json
import random
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.json

# 50 devices, each with 20 addresses that lie side by side, as a maker of devices hands them out
draw = random.Random(1)
first = [draw.getrandbits(64) for _ in range(50)]
ids = [(device + step) % 2**64 for device in first for step in range(20)]
with open("ids.csv", "w") as file:
    file.write("id\n" + "".join(f"{number}\n" for number in ids))
with open("ids.jsonl", "w") as file:
    file.write("".join(json.dumps({"id": number}) + "\n" for number in ids))

exact = pyarrow.csv.ConvertOptions(column_types={"id": pyarrow.uint64()})
schema = pyarrow.schema([("id", pyarrow.uint64())])
readers = {
    "pyarrow.csv": lambda: pyarrow.csv.read_csv("ids.csv")["id"].to_pylist(),
    "pyarrow.json": lambda: pyarrow.json.read_json("ids.jsonl")["id"].to_pylist(),
    "pyarrow.csv, uint64": lambda: pyarrow.csv.read_csv("ids.csv", convert_options=exact)["id"].to_pylist(),
    "pyarrow.json, uint64": lambda: pyarrow.json.read_json(
        "ids.jsonl", parse_options=pyarrow.json.ParseOptions(explicit_schema=schema)
    )["id"].to_pylist(),
    "pandas.read_csv": lambda: pandas.read_csv("ids.csv")["id"].tolist(),
    "pandas.read_json": lambda: pandas.read_json("ids.jsonl", lines=True)["id"].tolist(),
    "polars.read_csv": lambda: polars.read_csv("ids.csv")["id"].to_list(),
    "polars.read_ndjson": lambda: polars.read_ndjson("ids.jsonl")["id"].to_list(),
    "duckdb, CSV": lambda: [row[0] for row in duckdb.sql("SELECT id FROM 'ids.csv'").fetchall()],
    "duckdb, JSON": lambda: [row[0] for row in duckdb.sql("SELECT id FROM 'ids.jsonl'").fetchall()],
}
print(f"{len(set(ids))} ids; pyarrow {pyarrow.__version__}, pandas {pandas.__version__},", end=" ")
print(f"polars {polars.__version__}, duckdb {duckdb.__version__}")
right = {}
for name, read in readers.items():
    values = read()
    right[name] = values == ids and all(type(value) is int for value in values)
    print(f"  {name:21s} {type(values[0]).__name__:5s} {len(set(values)):4d} different, exact: {right[name]}")
try:
    made = str(pyarrow.array(ids).type)
except OverflowError:
    made = "OverflowError"
print("  pyarrow.array of the same numbers:", made)
wrong = [name for name, value in right.items() if not value]
sys.exit(0 if wrong == ["pyarrow.csv", "pyarrow.json"] and made == "OverflowError" else 1)
PYTHON
"$place/venv/bin/python" ids.py
