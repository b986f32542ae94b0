#!/bin/sh
# Guess: the mean that a frozen scipy.stats distribution gives lies between the ends of its support,
# and is infinite or nan where none exists.
# What happens: `invweibull(c).mean()` for c < 1 and `gengamma(a, c).mean()` for c < 0 and
# a + 1/c < 0, where the mean is infinite, are negative, though both laws are positive.
# `truncweibull_min` far out in the tail has the mean 0.0, below its support.
# Remedy: ask for the mean only where a rule says that it exists, and compare it with the support.
# Upstream: the same fault was mended in loglaplace (https://github.com/scipy/scipy/issues/20001)
# and burr12 (https://github.com/scipy/scipy/issues/18838).
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check scipy==1.17.1 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys

import scipy
from scipy import stats

print(f"scipy {scipy.__version__}")
seen = []
for name, law in (
    ("invweibull(0.9)", stats.invweibull(0.9)),
    ("gengamma(0.5, -1.2)", stats.gengamma(0.5, -1.2)),
    ("truncweibull_min(3.44, 4.673, 4.701)", stats.truncweibull_min(3.44, 4.673, 4.701)),
):
    mean, (low, high) = float(law.mean()), law.support()
    print(f"{name:38} support ({low}, {high}), median {law.median():.4g}, mean {mean:.4g}")
    seen.append(mean < low)
if not all(seen):
    print("no longer seen")
    sys.exit(1)
PYTHON
