#!/bin/sh
# Guess: of the times 1, 2 and infinity, `seaborn.ecdfplot` draws a curve that ends at two thirds:
# one run of three did not reach its target. A mean of 1 and infinity is not drawn, or raises.
# What happens: seaborn turns infinities into missing values and leaves these out, without a word. The
# curve ends at 1, as if every run had reached it; `lineplot` and `barplot` show a mean of 1 and
# infinity as 1, so that a diverged repetition makes a curve better. matplotlib's `ecdf` counts infinities.
# Remedy: Axes.ecdf, or looking for infinities before drawing.
# Upstream: VectorPlotter.comp_data in seaborn/_base.py; no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q --disable-pip-version-check \
    seaborn==0.13.2 matplotlib==3.11.2 pandas==3.1.1 numpy==2.4.6
cd "$place"
cat > draw.py <<'PYTHON'
import sys
import warnings

import matplotlib
import numpy as np
import seaborn

matplotlib.use("Agg")
plot = matplotlib.pyplot
times = [1.0, 2.0, np.inf]


def height(axes):
    """The highest point of the curve at a time that ended."""
    x, y = axes.lines[0].get_data()
    return float(np.max(np.asarray(y)[np.isfinite(x)]))


with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always", UserWarning)
    by_seaborn = height(seaborn.ecdfplot(x=times, ax=plot.figure().gca()))
    axes = plot.figure().gca()
    axes.ecdf(times)
    by_matplotlib = height(axes)
    axes = seaborn.lineplot(x=[1, 1, 2, 2], y=[1.0, np.inf, 3.0, 5.0], ax=plot.figure().gca())
    means = axes.lines[0].get_ydata().tolist()
    bars = seaborn.barplot(x=["a", "a"], y=[1.0, np.inf], ax=plot.figure().gca()).patches
print(f"seaborn {seaborn.__version__}, matplotlib {matplotlib.__version__}")
print(f"share of the times {times} that the curve reaches:")
print(f"  seaborn.ecdfplot {by_seaborn:.3f}, Axes.ecdf {by_matplotlib:.3f}")
print(f"mean of 1 and inf: lineplot {means[0]}, barplot {float(bars[0].get_height())}; warnings: {len(told)}")
ok = by_seaborn == 1 and abs(by_matplotlib - 2 / 3) < 1e-9 and means == [1.0, 4.0]
sys.exit(0 if ok and bars[0].get_height() == 1 and not told else 1)
PYTHON
"$place/venv/bin/python" draw.py
