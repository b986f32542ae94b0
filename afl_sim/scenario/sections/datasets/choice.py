"""How a name is told from a block, and one kind of block from another."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Tag, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from afl_sim.scenario.sections.datasets.blocks import (
    FactoryDataset,
    FilesDataset,
    ImageFolderDataset,
    LeafDataset,
)
from afl_sim.scenario.sections.datasets.named import DATASETS, NamedDataset
from afl_sim.scenario.wording import hint, show

KINDS = ("files", "leaf", "image_folder")


def _known(value: Any) -> Any:
    if isinstance(value, str) and value in KINDS:
        _refuse(
            (), f"{show(value)} needs further keys; expected a block {{kind: {value}, ...}}", value
        )
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if not isinstance(kind, str) or (kind not in KINDS and ":" not in kind):
        found = "missing" if kind is None else f"unknown kind {show(kind)}"
        expected = f"expected one of {', '.join(KINDS)}, or package.module:factory for your own"
        if isinstance(kind, str) and kind in DATASETS:
            expected = f"expected `dataset: {kind}`, since a data set with a name is no block"
        near = hint(kind, KINDS) if isinstance(kind, str) else ""
        _refuse(("kind",), f"{found}; {expected}{near}", value)
    return value


def _refuse(location: tuple[str, ...], message: str, value: Any) -> None:
    detail = InitErrorDetails(
        type=PydanticCustomError("scenario", "{message}", {"message": message}),
        loc=location,
        input=value,
    )
    raise ValidationError.from_exception_data("dataset", [detail])


def _tag(value: Any) -> str:
    if isinstance(value, str) or not (isinstance(value, dict) or hasattr(value, "kind")):
        return "name"
    kind = value["kind"] if isinstance(value, dict) else value.kind
    return kind if kind in KINDS else "factory"


DatasetChoice = Annotated[
    Annotated[
        Annotated[NamedDataset, Tag("name")]
        | Annotated[FilesDataset, Tag("files")]
        | Annotated[LeafDataset, Tag("leaf")]
        | Annotated[ImageFolderDataset, Tag("image_folder")]
        | Annotated[FactoryDataset, Tag("factory")],
        Discriminator(_tag),
    ],
    BeforeValidator(_known),
]
"""The value of ``data.dataset``."""
