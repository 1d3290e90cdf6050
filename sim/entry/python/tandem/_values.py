"""Values of Python as the files of descriptions have them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Union

Changes = Mapping[str, Any]


def _plain(value: Any) -> Any:
    """A NumPy scalar as a number, an array as a list: what json does not know."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{value!r} is no number, text, list or dictionary")


def text_of(value: Any, indent: Union[int, None] = None) -> str:
    """JSON, which is YAML."""
    return json.dumps(value, indent=indent, default=_plain)


def overrides(changes: Changes | None) -> list[tuple[str, str]]:
    """{"a.b": 3} as the (path, YAML text) pairs that the loader takes."""
    return [(path, value if isinstance(value, str) else text_of(value))
            for path, value in (changes or {}).items()]
