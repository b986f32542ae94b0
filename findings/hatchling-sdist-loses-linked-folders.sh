#!/bin/sh
# Guess: a package in which a folder is a link to one beside it is packed alike by `build --wheel` and
# by plain `build`, which makes the wheel from the sdist: both follow links.
# What happens: the wheel holds the linked folder. The sdist holds each folder once, under the name
# that is walked first, and says nothing; the wheel made from it lacks the folder. Excluding the other
# name does not bring it back.
# Remedy: name the folder under `force-include` of the sdist, and exclude the link.
# Upstream: pypa/hatch 1197 and 2008.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q build==1.6.0 hatchling==1.33.0
cd "$place"
mkdir project project/simulator project/drawing
cd project
touch simulator/__init__.py drawing/__init__.py
ln -s ../drawing simulator/drawing
cat > pyproject.toml <<'TOML'
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "simulator"
version = "1.0"
[tool.hatch.build.targets.wheel]
packages = ["simulator"]
[tool.hatch.build.targets.sdist]
exclude = ["/drawing"]
TOML
"$place/venv/bin/python" -m build -q --no-isolation --wheel --outdir ../direct .
"$place/venv/bin/python" -m build -q --no-isolation --outdir ../both .
"$place/venv/bin/python" - <<'PYTHON'
import sys
import zipfile
from glob import glob
from importlib.metadata import version

print("hatchling", version("hatchling"))
held = {}
for way in ("direct", "both"):
    (wheel,) = glob(f"../{way}/*.whl")
    held[way] = "simulator/drawing/__init__.py" in zipfile.ZipFile(wheel).namelist()
    print(f"wheel built {'directly' if way == 'direct' else 'from the sdist'}: linked folder is there: {held[way]}")
sys.exit(0 if held == {"direct": True, "both": False} else 1)
PYTHON
