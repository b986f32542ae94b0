#!/bin/sh
# Guess: an emulator is slow, but a library of pure arithmetic gives the same numbers in it.
# What happens: under QEMU's user emulation of an AVX2 processor (7.2, Debian 12), NumPy's
# `maximum` of float32 arrays whose numbers are not neighbours in memory returns numbers that are
# neither of the two operands. Nothing is raised. Without NumPy's optional code
# (NPY_DISABLE_CPU_FEATURES) the emulated results are right, and on a processor they always are.
# Needs qemu-x86_64 (Debian: qemu-user).
# Upstream: none found.
set -eu
command -v qemu-x86_64 > /dev/null || { echo "qemu-x86_64 is not installed" >&2; exit 2; }
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6
cd "$place"
cat > maxima.py <<'PYTHON'
import numpy as np

draws = np.random.default_rng(1)
wrong = total = 0
for n in range(1, 40):
    pairs = draws.standard_normal((5, n, 2), dtype=np.float32)
    first, second = pairs[..., 0], pairs[..., 1]
    larger = np.maximum(first, second)
    wrong += int(((larger != first) & (larger != second)).sum())
    total += larger.size
print(f"NumPy {np.__version__}: {wrong} of {total} maxima are neither operand")
PYTHON
qemu-x86_64 --version | head -n 1
there=$("$place/venv/bin/python" maxima.py)
emulated=$(qemu-x86_64 -cpu EPYC "$place/venv/bin/python" maxima.py 2> /dev/null)
optional=$("$place/venv/bin/python" -c 'from numpy._core._multiarray_umath import __cpu_dispatch__ as d; print(*d)')
plain=$(NPY_DISABLE_CPU_FEATURES="$optional" qemu-x86_64 -cpu EPYC "$place/venv/bin/python" maxima.py 2> /dev/null)
printf 'processor: %s\nemulated:  %s\nemulated, without optional code: %s\n' "$there" "$emulated" "$plain"
case $there in *": 0 of"*) ;; *) exit 1 ;; esac
case $plain in *": 0 of"*) ;; *) exit 1 ;; esac
case $emulated in *": 0 of"*) exit 1 ;; esac
