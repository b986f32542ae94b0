"""The blocks of ``data.dataset`` for one's own data: files, LEAF, image folders, factories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from afl_sim.scenario.section import Count, Flag, Section, Whole, two
from afl_sim.scenario.wording import show


def _beside_the_file(path: str, info: ValidationInfo) -> str:
    # Written out whole, so that the resolved scenario in a run folder still finds it.
    base = getattr(info.context, "base", None)
    return path if base is None else str((base / Path(path).expanduser()).absolute())


Place = Annotated[str, Field(min_length=1), AfterValidator(_beside_the_file)]
"""A file or a folder, or a pattern with `*` or `?` that matches files. Relative to the scenario."""

LARGEST_VOCABULARY = 2**20
"""The most different tokens: a model has a vector for each of them."""

Name = Annotated[str, Field(min_length=1)]
Vocabulary = Annotated[Count, Field(le=LARGEST_VOCABULARY)]
Length = Annotated[Count, Field(le=2**20)]
"""Of sequences, all of which are filled up to it."""

Side = Annotated[Count, Field(le=10_000)]
Size = Annotated[tuple[Side, Side], two("[height, width]")]


class ArrayPlaces(Section):
    """One file for each array."""

    inputs: Place = Field(description="File of the inputs.")
    labels: Place = Field(description="File of the labels.")
    client: Place | None = Field(default=None, description="File of the clients' names.")
    weight: Place | None = Field(default=None, description="File of the samples' weights.")


class OwnDataset(Section):
    """What all blocks for one's own data say."""

    test_share: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Share of every client's samples that becomes the test set, where the data has "
        "no test set of its own. It is rounded, and every client keeps at least one sample for "
        "training. Without clients it is a share of all samples (no unit).",
    )
    test_seed: Whole = Field(
        default=0,
        ge=0,
        lt=2**63,
        description="Determines which samples `test_share` chooses. It is not the scenario's "
        "`seed`, so that all runs of a study have the same test set.",
    )

    @property
    def title(self) -> str:
        """What messages and listings call the data."""
        raise NotImplementedError


class FilesDataset(OwnDataset):
    """Arrays or tables in files: NumPy, Parquet, CSV, Arrow, folders of Hugging Face datasets."""

    kind: Literal["files"] = Field(description="Arrays or tables in files.")
    train: Place | ArrayPlaces = Field(
        description="The training set: a file, or a pattern that matches files, which are read in "
        "the order of their names: .npz, .npy, .parquet, .csv, .arrow or .feather; a folder "
        "written "
        "by save_to_disk of Hugging Face datasets; or a block {inputs, labels, client, weight} "
        "with "
        "one .npy file for each array. Relative to the scenario file."
    )
    test: Place | ArrayPlaces | None = Field(
        default=None,
        description="The test set, in the same way; null: `test_share` of the training set.",
    )
    inputs: Name | tuple[Name, ...] | None = Field(
        default=None,
        description="Array or column of the inputs, or a list of columns of numbers. null: "
        "`inputs`; "
        "in a table without such a column, all columns that no other key names.",
    )
    labels: Name | tuple[Name, ...] | None = Field(
        default=None,
        description="Array or column of the labels, or a list of columns (null: `labels`).",
    )
    client: Name | None = Field(
        default=None,
        description="Array or column that says from which client a sample comes; test files "
        "may lack it.",
    )
    weight: Name | None = Field(
        default=None,
        description="Array or column of the samples' weights, numbers above 0. The loss of a "
        "mini-batch is the weighted mean.",
    )
    type: Literal["images", "numbers", "tokens"] | None = Field(
        default=None,
        description="What the inputs are. null: arrays of bytes with 3 or 4 dimensions and columns "
        "of encoded images are images; columns with lists of whole numbers are tokens; everything "
        "else is numbers. Arrays of other whole numbers with 2 dimensions need this key.",
    )
    target: Literal["class", "number", "several", "tokens"] | None = Field(
        default=None,
        description="What the labels are: class: one class; number: numbers to predict; several: "
        "any "
        "number of classes; tokens: a class for each position of the input. null: whole numbers, "
        "true/false and words are classes; other numbers are numbers to predict; several columns "
        "of "
        "0 and 1 and lists of words are several classes; lists of whole numbers beside tokens are "
        "tokens.",
    )
    classes: Count | tuple[Name, ...] | None = Field(
        default=None,
        description="Number of classes, or their names in order. null: one more than the largest "
        "label "
        "of the training set, or the words in it, sorted.",
    )
    channels: Literal["first", "last"] | None = Field(
        default=None,
        description="Where the channels of images are, in (samples, channels, height, width) or "
        "(samples, height, width, channels). null: where there are 1 or 3 of them.",
    )
    size: Size | None = Field(
        default=None,
        description="[height, width] to which encoded images are resized; null: all have one size "
        "(pixels).",
    )
    padding: Whole = Field(
        default=0, ge=0, description="Token that fills up sequences that are shorter than others."
    )
    length: Length | None = Field(
        default=None,
        description="Number of tokens of a sequence; longer ones lose their end. null: that of the "
        "longest sequence.",
    )
    vocabulary: Vocabulary | None = Field(
        default=None,
        description="Number of different tokens. null: one more than the largest token.",
    )

    @field_validator("classes")
    @classmethod
    def _classes_have_names(cls, classes: int | tuple[str, ...] | None) -> Any:
        if isinstance(classes, tuple) and not 0 < len(set(classes)) == len(classes):
            twice = next((name for name in classes if classes.count(name) > 1), None)
            found = "has no names" if twice is None else f"has {show(twice)} twice"
            raise PydanticCustomError("scenario", f"{found}; expected different names of classes")
        return classes

    @model_validator(mode="after")
    def _has_a_test_set(self) -> Self:
        if (self.test is None) == (self.test_share is None):
            found = "neither test nor" if self.test is None else "both test and"
            raise ValueError(f"has {found} test_share; expected one of them")
        return self

    @property
    def title(self) -> str:
        return "files"


class LeafDataset(OwnDataset):
    """A data set of the LEAF benchmark, as its preprocessing writes it. Its users are clients."""

    kind: Literal["leaf"] = Field(description="JSON files of the LEAF benchmark.")
    root: Place = Field(
        description="Folder with the folders `train` and `test` of JSON files; without `test`, and "
        "for JSON files in the folder itself, `test_share` is needed. Relative to the scenario "
        "file."
    )
    invert: Flag = Field(
        default=False,
        description="Whether images are inverted. LEAF's FEMNIST has paper 1 and ink 0, the "
        "reverse "
        "of MNIST.",
    )
    images: Place | None = Field(
        default=None,
        description="Folder of the image files that the JSON files name (CelebA). null: "
        "`raw/img_align_celeba` beside or in `root`. Relative to the scenario file.",
    )
    size: Size = Field(
        default=(84, 84),
        description="[height, width] to which image files are resized (pixels).",
    )
    length: Length = Field(
        default=25, description="Number of words of a text that are used (Sent140)."
    )
    vocabulary: Annotated[Vocabulary, Field(ge=3)] = Field(
        default=10_000,
        description="Number of different words, with two for padding and all others: the most "
        "frequent ones of the training set (Sent140).",
    )

    @property
    def title(self) -> str:
        return "LEAF"


class ImageFolderDataset(OwnDataset):
    """Image files in folders that are named after their class, as torchvision's ImageFolder."""

    kind: Literal["image_folder"] = Field(description="Image files in folders named after classes.")
    root: Place = Field(
        description="Folder with the folders `train` and `test`; without `test`, and if the "
        "folders of "
        "the classes are in the folder itself, `test_share` is needed. Relative to the scenario "
        "file."
    )
    client_level: Literal["above", "below"] | None = Field(
        default=None,
        description="Whether a level of folders names clients: above the classes "
        "(CLIENT/CLASS/image) "
        "or below them (CLASS/CLIENT/image); null: there is none.",
    )
    size: Size | None = Field(
        default=None,
        description="[height, width] to which images are resized; null: all have one size "
        "(pixels).",
    )
    grey: Flag = Field(
        default=False,
        description="Whether images with colours are read as grey ones, with one channel.",
    )

    @property
    def title(self) -> str:
        return "image folder"


class FactoryDataset(OwnDataset):
    """A function of the user's. Every other key of the block is passed to it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str = Field(
        pattern=r"^[\w.]+:[\w.]+$", description="The function, as `package.module:factory`."
    )

    @property
    def title(self) -> str:
        return self.kind

    def arguments(self) -> dict[str, Any]:
        """What the function gets."""
        return dict(self.model_extra or {})

    def __hash__(self) -> int:  # its arguments may be lists and blocks
        return hash((self.kind, self.test_share, self.test_seed))
