"""JSON schemas that strangers wrote, and the values that a model filled in for them.

A schema may refer to itself only: nothing is ever fetched. A check takes milliseconds at most, whatever the schema: a
regular expression that could take for ever (a repeat inside a repeat, or a choice inside one) is not run, the value
passes and the tool has the last word on it; references are followed so many times and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import jsonschema
from jsonschema.exceptions import SchemaError, ValidationError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from antiphon.errors import InvalidRequest

MAX_MATCHED_CHARACTERS = 256
"""Longer strings are not matched against a ``pattern``."""

MAX_REFERENCES = 2_000
"""Followed in one check."""
MAX_KEYWORDS = 5_000
"""Of the schemas of one call's tools together; checking them takes half a second."""

_REMEMBERED_CHARACTERS = 4_096
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


class _TooManyReferences(Exception):
    """The schema multiplies itself."""


_followed: ContextVar[int] = ContextVar("followed")


def _counted(keyword: str) -> Callable[..., Iterator[ValidationError]]:
    follow: Any = jsonschema.Draft202012Validator.VALIDATORS[keyword]

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        _followed.set(_followed.get() + 1)
        if _followed.get() > MAX_REFERENCES:
            raise _TooManyReferences
        yield from follow(validator, value, instance, schema) or ()

    return check


_MATCH: Any = jsonschema.Draft202012Validator.VALIDATORS["pattern"]
_EXTEND: Any = jsonschema.validators.extend  # untyped
_VALIDATOR: Any = _EXTEND(
    jsonschema.Draft202012Validator,
    {"pattern": _pattern, "$ref": _counted("$ref"), "$dynamicRef": _counted("$dynamicRef")},
)
_NOTHING_OUTSIDE: Any = Registry()


def check_schema(schema: Mapping[str, Any], path: str) -> None:
    """Raise :class:`InvalidRequest` naming ``path`` unless ``schema`` can be used."""
    try:
        text = json.dumps(schema)
        fault = _remembered_fault(text) if len(text) <= _REMEMBERED_CHARACTERS else _fault(schema)
    except (RecursionError, OverflowError):
        fault = "too complex"
    if fault is not None:
        raise InvalidRequest.of(path, fault)


@lru_cache(maxsize=1024)
def _remembered_fault(text: str) -> str | None:
    """The tools of one call are mostly those of the last one too."""
    return _fault(json.loads(text))


def _fault(schema: Mapping[str, Any]) -> str | None:
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        for keyword, value in _keywords(schema):
            if keyword in ("$ref", "$dynamicRef") and not str(value).startswith("#"):
                return f"{keyword} may refer to the same schema only, with #"
            if keyword in ("unevaluatedProperties", "unevaluatedItems"):
                return f"{keyword} is not supported"
            if keyword == "pattern" and isinstance(value, str):
                re.compile(value)
            if keyword == "patternProperties" and isinstance(value, Mapping):
                for pattern in value:
                    re.compile(pattern)
                    if _risky(pattern):
                        return "a patternProperties expression is too complex"
    except SchemaError as error:
        return f"not a JSON schema: {error.message[:200]}"
    except re.error as error:
        return f"not a regular expression: {error}"
    return None


def size(schema: Mapping[str, Any]) -> int:
    """How many keywords a schema has, roughly: what it costs to check."""
    return sum(1 for _ in _keywords(schema))


def problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong with ``value``, in a few words, or ``None``."""
    _followed.set(0)
    try:
        found = best_match(_VALIDATOR(schema, registry=_NOTHING_OUTSIDE).iter_errors(value))
    except Unresolvable:
        return None  # a reference to nowhere says nothing about the value
    except (RecursionError, OverflowError, _TooManyReferences):
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
