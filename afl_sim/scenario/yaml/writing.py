"""Plain data as YAML text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from afl_sim.scenario.yaml.scalars import resolve


class _Dumper(yaml.SafeDumper):
    """Quotes what either this package or another YAML reader would take for no text."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        try:
            quoted = not isinstance(resolve(data), str)
        except ValueError:
            quoted = True
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)


_Dumper.add_representer(str, _Dumper.represent_str)
_Dumper.ignore_aliases = lambda self, data: True  # type: ignore[method-assign]


def as_text(data: Mapping[str, Any]) -> str:
    """YAML text of plain dictionaries, lists and scalars."""
    return yaml.dump(
        data,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=None,
        width=100,
    )
