"""What a model filled in, checked and put in its places together with what is sent anyway."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from antiphon.call.tools.outcomes import ToolOutcome
from antiphon.tools import outcomes, schema
from antiphon.tools.definition import CallFacts, CallTool, Location
from antiphon.tools.json_values import as_text, compact

_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Parts:
    """A request, taken apart. ``path`` fills the URL's placeholders, whose names may be other parameters' too."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: Mapping[str, Any] = field(default_factory=dict)


class _Unusable(ValueError):
    """The arguments cannot be used; the text is for the model."""


def client_parameters(tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> dict[str, Any] | ToolOutcome:
    """What a client or a data connection is sent, or the failure that the model is to see instead."""
    prepared = prepare(tool, arguments, facts)
    return prepared if isinstance(prepared, ToolOutcome) else dict(prepared.body)


def prepare(tool: CallTool, arguments: Mapping[str, Any], facts: CallFacts) -> Parts | ToolOutcome:
    """All parameters in their places, or the failure that the model is to see."""
    try:
        return _placed(tool, _checked(tool, arguments), facts)
    except _Unusable as error:
        return outcomes.failed(
            f'The tool "{tool.spec.name}" was not used: {error}.',
            f"{error}\narguments: {compact(arguments)}",
        )


def _checked(tool: CallTool, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The model's values by name. What nobody asked for is left out, as is a null for something optional."""
    kept: dict[str, Any] = {}
    for parameter in tool.dynamic:
        if parameter.name not in arguments:
            if parameter.required:
                raise _Unusable(f"{parameter.name} is required")
            continue
        value = arguments[parameter.name]
        wrong = schema.problem(value, parameter.schema)
        if wrong is None:
            kept[parameter.name] = value
        elif value is not None or parameter.required:
            raise _Unusable(f"{parameter.name}: {wrong}")
    return kept


def _placed(tool: CallTool, given: Mapping[str, Any], facts: CallFacts) -> Parts:
    values = [(item.name, item.location, given[item.name]) for item in tool.dynamic if item.name in given]
    values += [(item.name, item.location, item.value) for item in tool.static]
    values += [(item.name, item.location, facts.value(item.known_value)) for item in tool.automatic]
    path: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    headers: list[tuple[str, str]] = []
    body: dict[str, Any] = {}
    for name, location, value in values:
        if location is Location.BODY:
            body[name] = value
        elif location is Location.QUERY:
            query += [(name, text) for text in _query_texts(value)]
        elif location is Location.HEADER and value is not None:
            headers.append((name, _header_text(name, value)))
        if value is not None and (location is Location.PATH or name not in path):
            path[name] = as_text(value)
    return Parts(path, tuple(query), tuple(headers), body)


def _query_texts(value: Any) -> list[str]:
    """An array of simple values is sent as one pair each, null as none."""
    if value is None:
        return []
    if isinstance(value, list) and not any(isinstance(item, list | dict) or item is None for item in value):
        return [as_text(item) for item in value]
    return [as_text(value)]


def _header_text(name: str, value: Any) -> str:
    text = as_text(value, ascii_only=True).strip(" \t")
    if _UNSENDABLE.search(text):
        raise _Unusable(f"{name} may not contain line breaks or control characters")
    return text
