"""JSON from outside, read so that nothing a stranger sends can hurt what comes after.

Python's reader takes more than JSON (``NaN``, ``1e999`` as infinity) and passes on what later fails elsewhere:
lone surrogates (cannot be encoded), NUL (PostgreSQL refuses it), nesting deep enough to exhaust the stack of
whoever walks it. All of that ends here, with one plain sentence.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 100
"""Levels of nesting taken; protobuf's JSON reader has the same limit."""

MAX_INTEGER = 10**300
"""Integers up to here still fit a double."""


class BadJson(ValueError):
    """The text is not JSON we take; ``str()`` says why, in words fit for the client."""


def _refuse_constant(name: str) -> NoReturn:
    raise BadJson(f"{name} is not JSON")


def decode(text: str | bytes) -> Any:
    """The value of one JSON text. Raises :class:`BadJson`, never anything else."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except BadJson:
        raise
    except RecursionError:
        raise BadJson(f"nested more than {MAX_DEPTH} levels deep") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise BadJson("not JSON: not UTF-8") from None
    except ValueError:  # an integer of more digits than Python converts
        raise BadJson("a number is out of range") from None
    check(value)
    return value


def check(value: Any) -> None:
    """Refuse (:class:`BadJson`) what is too deep, not finite, or not text that can be stored and sent on."""
    level: list[Any] = [value]
    depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            raise BadJson(f"nested more than {MAX_DEPTH} levels deep")
        level = [child for item in level for child in _children(item)]


def _children(item: Any) -> list[Any]:
    if isinstance(item, str):
        _check_text(item)
    elif isinstance(item, float):
        if not math.isfinite(item):
            raise BadJson("a number is out of range")
    elif isinstance(item, int):
        if abs(item) > MAX_INTEGER:
            raise BadJson("a number is out of range")
    elif isinstance(item, dict):
        for key in item:
            if not isinstance(key, str):
                raise BadJson("keys have to be strings")
            _check_text(key)
        return list(item.values())
    elif isinstance(item, list):
        return item
    return []


def _check_text(text: str) -> None:
    if text.isascii():
        if "\0" in text:
            raise BadJson("a string contains the character NUL")
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadJson("a string is not valid Unicode (half of a surrogate pair)") from None
    if "\0" in text:
        raise BadJson("a string contains the character NUL")


def kind(value: Any) -> str:
    """What ``value`` is, in JSON's own words with an article: for error texts."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list):
        return "an array"
    return "an object"
