#!/bin/sh
# Guess: the package scipy-openblas32 holds a library and functions that say where it lies, for
# builds. Its import loads nothing, so that a program may import it, choose the library's kernel by
# OPENBLAS_CORETYPE, and then load the library.
# What happens: the import itself loads the library, for all later libraries of the process
# (RTLD_GLOBAL). The kernel is chosen in that moment, and what the program sets afterwards has no
# effect. Nothing is raised, and products have other last digits.
# Remedy: find the package (importlib.util.find_spec) without importing it, and load the file.
# Upstream: no issue was found.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q scipy-openblas32==0.3.34.481.3
cat > "$place/kernel.py" <<'PYTHON'
import ctypes
import os
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

os.environ.pop("OPENBLAS_VERBOSE", None)
os.environ["OPENBLAS_CORETYPE"] = "Nehalem"
if sys.argv[1] == "imported":
    import scipy_openblas32

    folder = Path(scipy_openblas32.get_lib_dir())
else:
    folder = Path(find_spec("scipy_openblas32").origin).parent / "lib"
os.environ["OPENBLAS_CORETYPE"] = "Prescott"
library = ctypes.CDLL(str(next(folder.glob("libscipy_openblas*.so"))))
name = library.scipy_openblas_get_corename
name.restype = ctypes.c_char_p
print(version("scipy-openblas32"), f"{sys.argv[1]}, then Prescott asked for:", name().decode())
PYTHON
cd "$place"
imported=$("$place/venv/bin/python" kernel.py imported)
found=$("$place/venv/bin/python" kernel.py found)
printf '%s\n%s\n' "$imported" "$found"
[ "${imported##* }" = Nehalem ] && [ "${found##* }" != Nehalem ]
