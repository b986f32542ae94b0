"""Makes diabetes.csv from the diabetes data that scikit-learn 1.9.1 ships.

    pip install scikit-learn==1.9.1
    python scenarios/data/make_diabetes.py

README.md beside this file states the source and its licence.
"""

from __future__ import annotations

import csv
from pathlib import Path

from sklearn.datasets import load_diabetes


def main() -> None:
    """Write the file beside this script."""
    data = load_diabetes(scaled=False)
    with Path(__file__).with_name("diabetes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow([*data.feature_names, "progression"])
        for features, target in zip(data.data, data.target, strict=True):
            rows.writerow([f"{value:.7g}" for value in (*features, target)])


if __name__ == "__main__":
    main()
