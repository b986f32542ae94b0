"""Makes boards.csv: sixty synthetic devices, from sensors to phones.

    python scenarios/traces/make_boards.py

Three classes of device, whose parameters are round numbers, not measurements: a class decides the
medians of processor, memory, links and samples together, and lognormal factors spread the devices
around them.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

SEED = 21
CLASSES = (  # name, devices, MFLOP/s, memory of training (MB), kB/s down and up, samples
    ("phone", 15, 2000, 64, 2000, 600, 160),
    ("gateway", 25, 500, 8, 1000, 300, 100),
    ("sensor", 20, 100, 3, 300, 80, 60),
)
COLUMNS = (
    "device",
    "MFLOP_per_s",
    "memory_MB",
    "download_bandwidth_kB_per_s",
    "upload_bandwidth_kB_per_s",
    "samples",
)


def main() -> None:
    """Write the file beside this script."""
    random = np.random.default_rng(SEED)
    file = Path(__file__).with_name("boards.csv")
    with file.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name, count, flops, memory, down, up, samples in CLASSES:
            for index in range(count):
                fast, large, wide, many = np.exp(random.normal(0.0, (0.3, 0.2, 0.4, 0.4))).tolist()
                numbers = (flops * fast, memory * large, down * wide, up * wide)
                row = (*(f"{value:.4g}" for value in numbers), round(samples * many))
                writer.writerow([f"{name}-{index + 1}", *row])


if __name__ == "__main__":
    main()
