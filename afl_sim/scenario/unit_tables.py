"""The units that a scenario may write, and how many base units each of them is: exact decimals."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

_EXACT: Final = Context(prec=50)
"""In place of the caller's, which may have fewer digits."""

SECONDS: Final = {
    "ns": "1e-9",
    "us": "1e-6",
    "ms": "1e-3",
    "s": "1",
    "min": "60",
    "h": "3600",
    "d": "86400",
}
SPELT_OUT: Final = {
    "ns": "nanosecond",
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
}
_PREFIXES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY: Final = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

DURATIONS: Final[dict[str, Decimal]] = {
    **{unit: Decimal(size) for unit, size in SECONDS.items()},
    "µs": Decimal("1e-6"),  # the micro sign
    "μs": Decimal("1e-6"),  # the Greek letter
    **{f"{word}{s}": Decimal(SECONDS[u]) for u, word in SPELT_OUT.items() for s in ("", "s")},
}
RATES: Final[dict[str, Decimal]] = {
    **{f"{prefix}B/s": Decimal(size) for prefix, size in (_PREFIXES | _BINARY).items()},
    **{
        f"{prefix}bit/s": _EXACT.divide(Decimal(size), 8)
        for prefix, size in (_PREFIXES | _BINARY).items()
    },
    **{f"{prefix}bps": _EXACT.divide(Decimal(size), 8) for prefix, size in _PREFIXES.items()},
}
SIZES: Final[dict[str, Decimal]] = {
    f"{prefix}B": Decimal(size) for prefix, size in (_PREFIXES | _BINARY).items()
}
OPERATION_RATES: Final[dict[str, Decimal]] = {
    f"{prefix}{name}": Decimal(size)
    for prefix, size in (_PREFIXES | {"P": 10**15}).items()
    for name in ("FLOP/s", "FLOPS")
}
_SMALLER: Final = {
    "": "1",
    "k": "1e3",
    "M": "1e6",
    "m": "1e-3",
    "u": "1e-6",
    "n": "1e-9",
    "p": "1e-12",
}
POWERS: Final[dict[str, Decimal]] = {
    **{f"{prefix}W": Decimal(_SMALLER[prefix]) for prefix in ("", "k", "M", "m", "u")},
    **dict.fromkeys(("watt", "watts"), Decimal(1)),
}
ENERGIES: Final[dict[str, Decimal]] = {
    **{f"{prefix}J": Decimal(size) for prefix, size in _SMALLER.items()},
    **{
        f"{prefix}Wh": _EXACT.multiply(3600, Decimal(_SMALLER[prefix])) for prefix in ("", "k", "m")
    },
    **dict.fromkeys(("joule", "joules"), Decimal(1)),
}
