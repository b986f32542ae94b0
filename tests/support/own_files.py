"""Small data sets of one's own, in the formats that `data.dataset` reads."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from afl_sim.errors import InputError
from afl_sim.learning.data.sources.reading import read_source
from afl_sim.learning.data.sources.source import Source
from afl_sim.scenario.sections.data import DataSpec


def own(block: Mapping[str, Any], **more: Any) -> DataSpec:
    """A scenario's section ``data`` with this block."""
    return DataSpec.model_validate({"dataset": dict(block), **more})


def read(**block: Any) -> Source:
    """The samples of a block; it reads files unless it has another kind."""
    spec = own({"kind": "files", **block})
    return read_source(spec.dataset)  # type: ignore[arg-type]


def refusal(**block: Any) -> str:
    """The one line with which a block is refused."""
    with pytest.raises(InputError) as error:
        read(**block)
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)
    return str(error.value)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def save_to_disk(folder: Path, *tables: pa.Table) -> str:
    """A folder as Hugging Face datasets writes it: Arrow streams, and a list of them."""
    folder.mkdir(parents=True)
    names = [f"data-{i:05}-of-{len(tables):05}.arrow" for i in range(len(tables))]
    for name, table in zip(names, tables, strict=True):
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as to,
        ):
            to.write_table(table)
    state = {"_data_files": [{"filename": name} for name in names], "_split": None}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")
    return str(folder)


def encoded(pixels: np.ndarray, form: str = "PNG") -> bytes:
    """An image file of (height, width) or (height, width, 3) bytes."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def grey_images(count: int, height: int = 6, width: int = 5) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, height, width), dtype=np.uint8)


def leaf(
    folder: Path, users: Mapping[str, Sequence[tuple[Any, Any]]], name: str = "a.json"
) -> None:
    """A JSON file of LEAF: the samples (x, y) of each user."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {user: {"x": [x for x, _ in s], "y": [y for _, y in s]} for user, s in users.items()}
    counts = [len(samples) for samples in users.values()]
    content = {"users": list(users), "num_samples": counts, "user_data": data}
    (folder / name).write_text(json.dumps(content))


def image_tree(root: Path, folders: Mapping[str, Sequence[np.ndarray]]) -> str:
    for folder, images in folders.items():
        (root / folder).mkdir(parents=True)
        for i, image in enumerate(images):
            (root / folder / f"{i}.png").write_bytes(encoded(image))
    return str(root)
