#!/bin/sh
# Guess: a filter that NaN passes (`loss != 1`, or `NOT loss < 1` in SQL, where DuckDB holds NaN for the
# largest number) finds a row with NaN in a Parquet file as it does in a table in memory.
# What happens: writers leave NaN out of a column's statistics, and readers trust the statistics. A
# row group whose other values all fail the filter is skipped, with the NaN rows in it.
# Remedy: write null where a number is absent, or read the whole column and filter afterwards.
# Upstream: duckdb/duckdb 25521.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q duckdb==2.0.1 pyarrow==26.0.1 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

print("duckdb", duckdb.__version__, "pyarrow", pa.__version__)
table = pa.table({"loss": [1.0, 1.0, float("nan")]})
pq.write_table(table, "loss.parquet")
duckdb.sql("create table table_in_memory (loss double)")
duckdb.sql("insert into table_in_memory values (1), (1), ('nan')")


def found_by_duckdb(source):
    return duckdb.sql(f"select count(*) from {source} where loss > 1").fetchall()[0][0]


different = pc.field("loss") != 1
lost = {}
for filtered, memory, file in (
    ("duckdb, loss > 1", found_by_duckdb("table_in_memory"), found_by_duckdb("'loss.parquet'")),
    (
        "pyarrow, loss != 1",
        table.filter(different).num_rows,
        pq.read_table("loss.parquet", filters=different).num_rows,
    ),
):
    print(f"{filtered}: {memory} row in memory, {file} in the file")
    lost[filtered] = memory == 1 and file == 0
sys.exit(0 if all(lost.values()) else 1)
PYTHON
