#!/bin/sh
# Guess: pyarrow needs pandas only where pandas objects go in or come out. An Arrow array that is made
# of a NumPy array, and one that is turned into a NumPy array, do not load it.
# What happens: where pandas is installed, `pyarrow.array`, `Array.to_numpy` and `Array.fill_null` import
# all of it, also for NumPy's numbers. `Array.from_buffers` does not.
# Upstream: apache/arrow 34994 (the first array is slow), open; the shim came with apache/arrow 3893.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q pyarrow==25.0.1 pandas==3.1.1 numpy==2.4.6
cat > "$place/loads.py" <<'PYTHON'
import sys

import numpy as np
import pyarrow as pa

numbers = np.arange(4)
made = pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
what = {
    "from_buffers": lambda: made,
    "array": lambda: pa.array(numbers),
    "to_numpy": lambda: made.to_numpy(),
    "fill_null": lambda: made.fill_null(0),
}
what[sys.argv[1]]()
print(sum(name.partition(".")[0] == "pandas" for name in sys.modules))
PYTHON
"$place/venv/bin/python" -c "import pyarrow, pandas; print('pyarrow', pyarrow.__version__, 'pandas', pandas.__version__)"
for call in from_buffers array to_numpy fill_null; do
  loaded=$("$place/venv/bin/python" "$place/loads.py" "$call")
  echo "$call: $loaded modules of pandas are loaded"
  eval "$call=$loaded"
done
test "$from_buffers" = 0
for loaded in "$array" "$to_numpy" "$fill_null"; do
  test "$loaded" -gt 100
done
