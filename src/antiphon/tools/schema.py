"""JSON schemas that strangers wrote, and the values that a model filled in for them.

A schema may refer to itself only: nothing is ever fetched. A regular expression that could take for ever
(a repeat inside a repeat, or a choice inside one) is not run: the value passes, the tool has the last word on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from antiphon.errors import InvalidRequest

MAX_MATCHED_CHARACTERS = 256
"""Longer strings are not matched against a ``pattern``."""

_DATA = frozenset(("const", "default", "enum", "examples"))
"""Keywords whose values are data and not schemas."""
_ESCAPED_OR_CLASS = re.compile(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_FIXED_REPEAT = re.compile(r"\{\d+\}")
_NESTED = re.compile(r"\([^()]*[+*{|][^()]*\)[+*{]|\([^()]*\([^()]*\)[^()]*\)[+*{]|\\[1-9]|\(\?\(|\(\?P=")
_MOST_REPEATS = 3
"""Each further one may multiply the time by the length of the string."""


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and len(value) <= MAX_MATCHED_CHARACTERS and not _risky(pattern):
        yield from _MATCH(validator, pattern, value, schema)


_MATCH: Any = jsonschema.Draft202012Validator.VALIDATORS["pattern"]
_EXTEND: Any = jsonschema.validators.extend  # untyped
_VALIDATOR: Any = _EXTEND(jsonschema.Draft202012Validator, {"pattern": _pattern})
_NOTHING_OUTSIDE: Any = Registry()


def check_schema(schema: Mapping[str, Any], path: str) -> None:
    """Raise :class:`InvalidRequest` naming ``path`` unless ``schema`` can be used."""
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        for keyword, value in _keywords(schema):
            if keyword in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
                raise InvalidRequest.of(path, f"{keyword} may refer to the same schema only, with #")
            if keyword == "pattern" and isinstance(value, str):
                re.compile(value)
            if keyword == "patternProperties" and isinstance(value, Mapping):
                for pattern in value:
                    re.compile(pattern)
                    if _risky(pattern):
                        raise InvalidRequest.of(path, "a patternProperties expression is too complex")
    except SchemaError as error:
        raise InvalidRequest.of(path, f"not a JSON schema: {error.message[:200]}") from None
    except re.error as error:
        raise InvalidRequest.of(path, f"not a regular expression: {error}") from None
    except (RecursionError, OverflowError):
        raise InvalidRequest.of(path, "too complex") from None


def problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with ``value``, in a few words, or ``None``."""
    try:
        found = best_match(_VALIDATOR(schema, registry=_NOTHING_OUTSIDE).iter_errors(value))
    except Unresolvable:
        return None  # a reference to nowhere says nothing about the value
    except (RecursionError, OverflowError):
        return "cannot be checked, its schema has no end"
    if found is None:
        return None
    where = "".join(f"[{part!r}]" for part in found.absolute_path)
    message = found.message if len(found.message) <= 200 else f"{found.message[:199]}…"
    return f"{where} {message}" if where else message


def _risky(pattern: str) -> bool:
    """Whether matching could take much longer than reading: judged by its looks, in doubt yes."""
    bare = _ESCAPED_OR_CLASS.sub("x", pattern)
    if _NESTED.search(bare):
        return True
    return len(re.findall(r"[+*{]", _FIXED_REPEAT.sub("", bare))) > _MOST_REPEATS


def _keywords(schema: Any) -> Iterator[tuple[str, Any]]:
    """Everything in a schema that may be a keyword, with its value."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            yield key, value
            if key not in _DATA:
                yield from _keywords(value)
    elif isinstance(schema, list):
        for item in schema:
            yield from _keywords(item)
