#!/bin/sh
# Guess: a text column of Parquet that is read with `read_dictionary` holds each text once, and so
# does the list that `to_pylist` makes of it: equal rows are one Python object.
# What happens: `to_pylist` makes a new string for every row. A file of some kilobytes with one long
# text in all rows becomes as large as all its rows: 200 rows of 100,000 characters are 20 MB.
# Remedy: make Python objects of the dictionary, and look them up by the indices.
# Upstream: discussed as a possible improvement in https://github.com/apache/arrow/pull/50327
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import os
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq

rows, text = 200, "x" * 100_000
pq.write_table(pa.table({"name": [text] * rows}), "t.parquet")
column = pq.read_table("t.parquet", read_dictionary=["name"]).column("name").chunk(0)
print(f"pyarrow {pa.__version__}: {os.path.getsize('t.parquet'):,} bytes in the file, "
      f"{column.nbytes:,} in {type(column).__name__}")


def measured(make):
    tracemalloc.start()
    found = make()
    size = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return len({id(each) for each in found}), size, found


def by_index():
    texts = column.dictionary.to_pylist()
    return [texts[index] for index in column.indices.to_pylist()]


objects, size, listed = measured(column.to_pylist)
print(f"to_pylist: {objects} objects, {size:,} bytes")
few, small, same = measured(by_index)
print(f"by index:  {few} object, {small:,} bytes")
assert listed == same
if objects != rows or size < rows * len(text):
    print("no longer seen")
    sys.exit(1)
PYTHON
