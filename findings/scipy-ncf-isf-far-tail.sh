#!/bin/sh
# Guess: `isf` of a distribution is the inverse of its `sf`, to many digits, also far out in the
# tail: that is what it is for.
# What happens: for the noncentral F distribution with few denominator degrees of freedom, sf(isf(q))
# is 19 times q at q = 1e-10, and with fewer still `isf` raises OverflowError where the answer is
# about 6e43. `ppf` errs likewise. The central F distribution is right to the last digits.
# Remedy: write it as a Poisson mixture of central laws, whose terms are all positive, and solve.
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
central, law = stats.f(2, 1.1), stats.ncf(2, 1.1, 0.5)
for q in (1e-4, 1e-6, 1e-8, 1e-10):
    ratios = [float(d.sf(d.isf(q)) / q) for d in (central, law)]
    print(f"q = {q:g}: sf(isf(q)) / q is {ratios[0]:.6f} for f, {ratios[1]:.6f} for ncf")
try:
    far = stats.ncf(2, 0.27, 0.5).isf(1e-6)
except OverflowError as error:
    far = f"OverflowError: {error}"
print("ncf(2, 0.27, 0.5).isf(1e-6):", far)
if abs(ratios[0] - 1) > 1e-6 or ratios[1] < 10 or "OverflowError" not in str(far):
    print("no longer seen")
    sys.exit(1)
PYTHON
