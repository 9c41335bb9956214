"""How a scripted model's reply says which tools it uses: ``One moment. [[tool weather {"city": "Paris"}]]``."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

from antiphon.engines.protocols import ToolCall

Reply: TypeAlias = str | ToolCall | Sequence[str | ToolCall]
"""Words, or a use of a tool, or some of each in their order. Words are read by :func:`parse`."""

_OPENING = re.compile(r"\[\[tool\s+([^\s{}\[\]]+)\s*")
_CLOSING = re.compile(r"\s*\]\]")


def parse(text: str) -> tuple[str | ToolCall, ...]:
    """The words and tool calls of ``text``, in order.

    ``[[tool NAME {JSON}]]`` uses the tool ``NAME``; the object of its arguments may be left out where it is empty.
    ``ValueError`` for a ``[[tool`` that is not of this form.
    """
    items: list[str | ToolCall] = []
    place = 0
    while (start := text.find("[[tool", place)) >= 0:
        opening = _OPENING.match(text, start)
        if opening is None:
            raise ValueError(f"a tool is used as [[tool NAME {{...}}]], not as {text[start : start + 40]!r}")
        arguments, end = _arguments(text, opening.end())
        closing = _CLOSING.match(text, end)
        if closing is None:
            raise ValueError(f"after a tool's name come its arguments as a JSON object and then ]]: {opening[1]}")
        items += [text[place:start], ToolCall(opening[1], arguments)]
        place = closing.end()
    items.append(text[place:])
    return tuple(item for item in items if isinstance(item, ToolCall) or item.strip())


def items(reply: Reply) -> tuple[str | ToolCall, ...]:
    """The words and tool calls of any reply, in order."""
    parts = (reply,) if isinstance(reply, str | ToolCall) else reply
    return tuple(item for part in parts for item in ((part,) if isinstance(part, ToolCall) else parse(part)))


def _arguments(text: str, start: int) -> tuple[str, int]:
    if not text.startswith("{", start):
        return "{}", start
    try:
        _, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return "", start  # no ]] follows here either
    return text[start:end], end
