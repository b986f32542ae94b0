"""Tables as text: CSV, Markdown, and LaTeX for the booktabs package."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd

Texts = list[tuple[str, list[str]]]
"""Heading and written values of each column; the first names the rows."""

_LATEX: Final = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "[": "{[}",  # after a row's end it would be read as an optional argument
        "]": "{]}",
    }
)


# What Markdown reads as more than a letter. A low line within a word is one, and brackets are only
# a link before another bracket.
_MARKDOWN: Final = re.compile(r"[|\\`*<>&~$]|(?<![^\W_])_|_(?![^\W_])|(?<=\])[(\[]")
_BEGINS_FORMULA: Final = tuple("=+-@")
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+")  # what a run can be called


def to_csv(frame: pd.DataFrame) -> str:
    """A frame in full precision.

    Text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    texts = frame.select_dtypes(exclude=["number", "bool"]).columns
    safe = frame.assign(**{name: frame[name].map(_no_formula) for name in texts})
    written: str = safe.to_csv(index=False)
    return written


def to_markdown(texts: Texts, left: Sequence[int] = (0,)) -> str:
    """A Markdown table, the first column to the left and the others to the right.

    Args:
        texts: heading and cells of each column.
        left: other columns to have on the left, by their numbers.
    """
    header = [escaped_markdown(heading) for heading, _ in texts]
    rows = [list(map(escaped_markdown, row)) for row in _rows(texts)]
    return markdown_table(header, rows, left)


def markdown_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)
) -> str:
    """The same, of cells that are Markdown."""
    rule = "|" + "|".join("---" if n in left else "---:" for n in range(len(header))) + "|"
    head, *body = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return "\n".join([head, rule, *body]) + "\n"


def to_latex(texts: Texts) -> str:
    r"""A ``tabular`` with the rules of booktabs, for ``\input`` in a table."""
    heads = [[escaped_latex(heading) for heading, _ in texts]]
    rows = [list(map(escaped_latex, row)) for row in _rows(texts)]
    return latex_table(f"l{'r' * (len(texts) - 1)}", heads, rows)


def latex_table(columns: str, heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> str:
    """The same, of cells that are LaTeX.

    Args:
        columns: what ``tabular`` is to know of them.
        heads: the rows of the heading.
        rows: the others.
    """
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        *(_latex_row(row) for row in heads),
        r"\midrule",
        *(_latex_row(row) for row in rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _rows(texts: Texts) -> list[list[str]]:
    return [list(row) for row in zip(*(values for _, values in texts), strict=True)]


def _no_formula(value: Any) -> Any:
    is_formula = isinstance(value, str) and value[:1] in _BEGINS_FORMULA
    return f"'{value}" if is_formula and not _NAME.fullmatch(value) else value


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def escaped_markdown(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def escaped_latex(text: str) -> str:
    """Text that LaTeX shows as it is."""
    return text.translate(_LATEX).replace("--", "-{}-")  # two hyphens would become a dash
