#!/bin/sh
# Guess: Image.convert("L") and convert("RGB") scale a grey image of 16 bits to 8 bits, as other
# programs do. Loaders of training data call them on every file, torchvision's default loader too.
# What happens: every value above 255 becomes 255, so a 16-bit PNG (an X-ray, a depth map) turns
# almost wholly white. Nothing is raised, and no warning is given.
# Remedy: look at Image.mode first, and refuse or scale I;16, I and F.
# Upstream: https://github.com/python-pillow/Pillow/issues/3011 and issues/3159.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install -q pillow==13.0.0 numpy==2.4.6
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sys
from importlib.metadata import version

import numpy as np
from PIL import Image

print("pillow", version("pillow"))
ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
Image.fromarray(ramp).save("ramp.png")
with Image.open("ramp.png") as image:
    print("mode", image.mode, "values", ramp.min(), "to", ramp.max())
    grey = np.array(image.convert("L"))
    colour = np.array(image.convert("RGB"))
scaled = (ramp >> 8).astype(np.uint8)
print("scaled to 8 bits:", len(np.unique(scaled)), "grey values")
print("convert('L'):", np.unique(grey).tolist(), f"{(grey == 255).mean():.1%} of the pixels white")
print("convert('RGB'):", np.unique(colour).tolist())
sys.exit(0 if len(np.unique(grey)) == 2 and len(np.unique(scaled)) == 256 else 1)
PYTHON
