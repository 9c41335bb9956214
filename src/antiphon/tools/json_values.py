"""JSON that somebody else wrote, and values as text."""

from __future__ import annotations

import json
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Levels of nesting taken; the data messages have the same limit."""


def read_json(text: str) -> Any:
    """The value of one JSON text. Raises ``ValueError`` for all that cannot be stored and sent on later."""
    try:
        value = json.loads(text, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("nested too deep") from None
    except UnicodeError:
        raise ValueError("a string is not valid Unicode") from None
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        level = [child for item in level for child in _children(item)]
    return value


def read_object(text: str) -> dict[str, Any]:
    """Likewise, of a JSON object."""
    value = read_json(text)
    if not isinstance(value, dict):
        raise ValueError("expected a JSON object")
    return value


def compact(value: Any, *, ascii_only: bool = False) -> str:
    """A value as JSON without spaces."""
    return json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))


def as_text(value: Any, *, ascii_only: bool = False) -> str:
    """A string as it is, anything else as its JSON."""
    return value if isinstance(value, str) else compact(value, ascii_only=ascii_only)


def _children(item: Any) -> list[Any]:
    if isinstance(item, str):
        if "\0" in item:
            raise ValueError("a string contains the character NUL")
    elif isinstance(item, dict):
        return [*item.keys(), *item.values()]
    elif isinstance(item, list):
        return item
    return []


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
