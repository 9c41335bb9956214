"""What a language model streams, as the core wants it."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import TypeVar, cast

from antiphon.call.prompt import ToolRequest
from antiphon.engines.protocols import ToolCall

_Item = TypeVar("_Item")


def tool_request(call: ToolCall) -> ToolRequest:
    """The model's wish, with an invocation id of our own: a model's may repeat."""
    invocation = str(uuid.uuid4())
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        return ToolRequest(invocation, call.name, {}, "its arguments were no JSON")
    if not isinstance(arguments, dict):
        return ToolRequest(invocation, call.name, {}, "its arguments were no JSON object")
    return ToolRequest(invocation, call.name, arguments)


def closing(stream: AsyncIterator[_Item]) -> aclosing[AsyncGenerator[_Item, None]]:
    """Engines give async generators; their Protocol promises only an iterator."""
    return aclosing(cast("AsyncGenerator[_Item, None]", stream))
