"""What a plain YAML scalar means: YAML 1.2's words, and numbers as people write them."""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None


def half_character(text: str) -> bool:
    """Whether the text holds half of a surrogate pair, which cannot be written as UTF-8."""
    return any("\ud800" <= c <= "\udfff" for c in text)


_WORDS: dict[str, Scalar] = {"": None, "~": None}
for _word, _meaning in (("null", None), ("true", True), ("false", False)):
    _WORDS.update(dict.fromkeys((_word, _word.capitalize(), _word.upper()), _meaning))

_INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9_]*)\Z|[-+]?0(?:x[0-9a-fA-F_]+|o[0-7_]+|b[01_]+)\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?\Z")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)\Z|\.(?:nan|NaN|NAN)\Z")


def resolve(text: str) -> Scalar:
    """What a plain (unquoted) scalar means.

    A number in exponent form that is whole, such as ``1e3``, is read as an integer, so that it is
    welcome where a count is expected.

    Raises:
        ValueError: an integer with more digits than Python converts.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        digits = text.replace("_", "")
        return int(digits, 0) if digits.lstrip("+-")[1:2] in ("x", "o", "b") else int(digits)
    if _FLOAT.match(text) and not re.match(r"[-+]?0[0-9]", text):
        value = float(text.replace("_", ""))
        if "." not in text and value.is_integer() and abs(value) < 2**53:
            return int(value)
        return value
    if _SPECIAL.match(text):
        return float(text.replace(".", "", 1))
    return text
