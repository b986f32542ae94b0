#!/bin/sh
# Guess: IEEE 754 prescribes the rounding of the square root, and every processor has an instruction
# for it. So `torch.sqrt` of float32 numbers is correctly rounded everywhere, as NumPy's is.
# What happens: PyTorch's wheels hand contiguous numbers to MKL, which chooses its code by the vendor
# of the processor. On an AMD processor a sixth of the roots differ in the last bit from the correct
# ones; on an Intel processor none does. So Adam, RMSprop and norms depend on the vendor.
# The script asks both vendors: emulated processors, if QEMU is installed (Debian: qemu-user), else the
# processor itself, which has to be AMD's.
# Remedy: `numpy.sqrt(tensor.numpy())`.
# Upstream: none found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.14.1 numpy==2.4.6
cd "$place"
cat > roots.py <<'PYTHON'
import numpy as np
import torch

torch.set_num_threads(1)
numbers = (np.arange(1, 100_001) * np.float32(0.00731)).astype(np.float32)
correct = np.sqrt(numbers.astype(np.float64)).astype(np.float32)
wrong = int((torch.sqrt(torch.from_numpy(numbers)).numpy() != correct).sum())
numpys = int((np.sqrt(numbers) != correct).sum())
print(f"torch {torch.__version__}: {wrong} of 100000 roots are not correctly rounded; NumPy: {numpys}")
PYTHON
if command -v qemu-x86_64 > /dev/null; then
  intel=$(qemu-x86_64 -cpu Haswell "$place/venv/bin/python" roots.py 2> /dev/null)
  amd=$(qemu-x86_64 -cpu EPYC "$place/venv/bin/python" roots.py 2> /dev/null)
  printf 'Intel Haswell, %s\nAMD EPYC, %s\n' "$intel" "$amd"
  case $intel in *": 0 of"*) ;; *) exit 1 ;; esac
else
  amd=$("$place/venv/bin/python" roots.py)
  printf 'this processor, %s\n' "$amd"
fi
case $amd in *": 0 of"*) exit 1 ;; esac
