"""The content of a ``target.yaml``: studies, reported numbers, and tolerances with reasons."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from afl_sim.scenario.section import Flag, Number, Section, refuse_many

Positive = Annotated[Number, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]


def _row(value: Any) -> Any:
    """Read a bare number as the reported number, and null as a row that is only measured."""
    if value is None:
        return {}
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"reported": value}
    return value


def _usable(form: str) -> str:
    try:
        if form.format(1.0) == form.format(2.0):
            raise ValueError
    except (ValueError, LookupError, AttributeError, TypeError):
        message = f"{form!r} cannot format a number; expected a format such as '{{:.2f}}'"
        raise PydanticCustomError("scenario", message) from None
    return form


class Minutes(Section):
    """How long a reproduction takes."""

    small: Positive = Field(description="At small scale, on two cores (minutes).")
    full: Positive = Field(description="At full scale, on two cores (minutes).")


class Cut(Section):
    """How a study is reduced for the small scale."""

    settings: dict[str, Any] = Field(
        alias="set", min_length=1, description="Settings by key path, in place of the file's."
    )
    cut: Text = Field(description="What the small scale leaves out, in words.")


class Runs(Section):
    """A scenario file of a target, and how it is run."""

    file: Text = Field(description="The scenario file, beside the target.")
    timing_only: Flag = Field(
        default=False, description="Whether the study is run without training."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict,
        alias="set",
        description="Settings by key path, in place of the file's, so that studies may be parts "
        "of one file.",
    )
    small: Cut | Literal["skip"] | None = Field(
        default=None,
        description="At small scale: further settings to change; skip leaves the study out; null: "
        "all of it is run.",
    )
    cost: str = Field(
        default="",
        description="What the whole study costs (sample-gradients, minutes on two cores).",
    )


class Tolerance(Section):
    """Allowed distance of a measured number from the reported one, fixed before it is measured."""

    relative: Positive | None = Field(
        default=None, description="As a share of the reported number (no unit)."
    )
    absolute: Positive | None = Field(default=None, description="In the quantity's own unit.")
    spread: Literal["prediction"] | None = Field(
        default=None,
        description="prediction: the reported number lies in the 95 % prediction interval of one "
        "more replication.",
    )
    because: str = Field(default="", description="The reason for this tolerance.")

    @model_validator(mode="after")
    def _one_rule(self) -> Self:
        names = ("relative", "absolute", "spread")
        refuse_many(self, names)
        if all(getattr(self, name) is None for name in names):
            raise PydanticCustomError("scenario", f"expected one of {', '.join(names)}")
        if self.spread is None and not self.because:
            raise PydanticCustomError(
                "scenario", "has no `because`; expected the reason for the tolerance"
            )
        return self


class Row(Section):
    """One number of a table."""

    reported: Number | None = Field(
        default=None, description="The published number; null: measured only."
    )
    confirmed: Flag = Field(
        default=True, description="Whether the number was read in a primary or secondary source."
    )
    tolerance: Tolerance | None = Field(
        default=None, description="A tolerance that replaces that of the table."
    )


class Missed(Section):
    """Why a number is outside its tolerance, and what showed that."""

    cause: Text = Field(description="The cause, in a sentence.")
    study: Text = Field(description="The study of this target that shows it.")


class Superseded(Section):
    """Rows whose published numbers another table judges, with other settings or another test.

    Their verdicts stay visible, but a published number counts once: in the other table as soon as
    its row has been run, here until then.
    """

    by: Text = Field(description="The quantity of the other table; its rows have the same names.")
    because: Text = Field(description="Why, and what was known when the other was written.")
    rows: tuple[str, ...] | None = Field(
        default=None, description="These rows; null: all that have a reported number."
    )


class Table(Section):
    """Reported numbers of one quantity."""

    quantity: Text = Field(description="Its name in the analysis.")
    title: Text = Field(description="The table's heading.")
    unit: str = Field(default="", description="Of the numbers.")
    format: Annotated[str, AfterValidator(_usable)] = Field(
        default="{:.4g}", description="How a number is written, as Python's str.format."
    )
    statistic: Literal["mean", "median"] = Field(
        default="mean",
        description="Over replications. mean: with Student's 95 % interval; median: with the "
        "quartiles.",
    )
    at_small: Flag = Field(
        default=True, description="Whether the small scale can give these numbers."
    )
    tolerance: Tolerance | None = Field(
        default=None, description="The tolerance of all rows without their own."
    )
    rows: dict[str, Annotated[Row, BeforeValidator(_row)]] = Field(
        min_length=1, description="By label: the reported number, null, or a block."
    )
    missed: dict[str, Missed] = Field(
        default_factory=dict, description="By label of a row that is outside its tolerance: why."
    )
    superseded: Superseded | None = Field(
        default=None, description="Rows that count in another table instead."
    )

    def tolerance_of(self, row: str) -> Tolerance | None:
        """The tolerance that a row is judged by."""
        return self.rows[row].tolerance or self.tolerance

    def superseded_rows(self) -> tuple[str, ...]:
        """The rows that count in another table instead."""
        if self.superseded is None:
            return ()
        if self.superseded.rows is not None:
            return self.superseded.rows
        return tuple(label for label, row in self.rows.items() if row.reported is not None)


class Claim(Section):
    """A statement that each replication supports or does not."""

    quantity: Text = Field(description="Its name in the analysis.")
    says: Text = Field(description="The statement.")
    at_small: Flag = Field(default=True, description="Whether the small scale can show it.")


class Words(Section):
    """A whole ``target.yaml``."""

    title: Text = Field(description="What is reproduced, in a line.")
    citation: Text = Field(description="Where it was published.")
    minutes: Minutes = Field(description="How long it takes.")
    studies: dict[str, Runs] = Field(min_length=1, description="What is run, by name.")
    tables: tuple[Table, ...] = Field(default=(), description="Reported beside measured.")
    claims: tuple[Claim, ...] = Field(default=(), description="Statements to check.")
    figure: str | None = Field(default=None, description="The figure's caption; null: no figure.")
    analysis: str | None = Field(
        default=None,
        description="The measuring module; default: afl_sim.analysis.papers.<the folder's name>.",
    )
