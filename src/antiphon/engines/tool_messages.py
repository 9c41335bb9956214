"""Tools on the way to and from an OpenAI-compatible server: what is sent, and a streamed answer's calls put together.

Servers differ in how they stream a call: in many pieces or in one, with or without an index or an id, several calls
under one index. :class:`ToolCallAssembly` takes them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.call.prompt import ChatMessage, ToolSpec
from antiphon.engines.protocols import ToolCall

UNANSWERED = "No result yet."
"""Stands where a result has to be while there is none."""


def function_tools(tools: Sequence[ToolSpec]) -> list[dict[str, Any]]:
    """The ``tools`` of a request."""
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
            },
        }
        for tool in tools
    ]


def function_messages(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """History as chat completions want it: each call's result directly behind the message with the calls.

    A result that came after the agent had said something more is told where it came, as the user's message, and the
    same goes for one whose call is no longer in the history: so what the model has read before stays as it was.
    """
    rendered: list[dict[str, Any]] = []
    placed: set[int] = set()
    names = {call.invocation: call.name for message in messages for call in message.tool_calls}
    for index, message in enumerate(messages):
        if message.tool_calls:
            rendered.append(_with_calls(message))
            for call in message.tool_calls:
                place = _result(messages, index, call.invocation, placed)
                placed |= {place} - {-1}
                text = UNANSWERED if place < 0 else messages[place].text
                rendered.append({"role": "tool", "tool_call_id": call.invocation, "content": text})
        elif message.role != "tool":
            rendered.append({"role": message.role, "content": message.text})
        elif index not in placed:
            name = names.get(message.tool_call_id or "", "a tool")
            rendered.append({"role": "user", "content": f"(Result of {name}: {message.text})"})
    return rendered


def _with_calls(message: ChatMessage) -> dict[str, Any]:
    calls = [
        {
            "id": call.invocation,
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments), ensure_ascii=False)},
        }
        for call in message.tool_calls
    ]
    return {"role": "assistant", "content": message.text or None, "tool_calls": calls}


def _result(messages: Sequence[ChatMessage], index: int, invocation: str, placed: set[int]) -> int:
    """Where the result of ``invocation`` is, if it came before the agent said more; else -1."""
    for place in range(index + 1, len(messages)):
        message = messages[place]
        if message.role == "assistant":
            return -1
        if message.role == "tool" and message.tool_call_id == invocation and place not in placed:
            return place
    return -1


@dataclass(slots=True)
class _Call:
    index: int | None
    id: str | None = None
    name: str = ""
    arguments: str = ""


class ToolCallAssembly:
    """Puts the calls of one answer together from ``tool_calls`` deltas."""

    def __init__(self, tools: Iterable[ToolSpec]) -> None:
        self._names = {tool.name for tool in tools}
        self._calls: list[_Call] = []

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take one item of ``delta.tool_calls`` as it came."""
        function = delta.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments")
        call = self._of(delta.get("index"), delta.get("id") or None, name)
        if not (name == call.name and name in self._names):  # some repeat the name with every piece
            call.name += name
        if isinstance(arguments, str):
            call.arguments += arguments
        elif arguments is not None:
            call.arguments = json.dumps(arguments, ensure_ascii=False)

    def calls(self) -> list[ToolCall]:
        """The calls, in the order in which they began. No arguments at all are an empty object."""
        return [ToolCall(call.name, call.arguments.strip() or "{}", call.id) for call in self._calls]

    def _of(self, index: int | None, call_id: str | None, name: str) -> _Call:
        """The call that a piece belongs to; a new one if it begins one."""
        call = self._known(index, call_id)
        if call is None or self._begins_another(call, index, call_id, name):
            call = _Call(index)
            self._calls.append(call)
        call.id = call.id or call_id
        return call

    def _known(self, index: int | None, call_id: str | None) -> _Call | None:
        if index is not None:
            return next((call for call in reversed(self._calls) if call.index == index), None)
        if call_id is not None:
            return next((call for call in reversed(self._calls) if call.id == call_id), None)
        return self._calls[-1] if self._calls else None

    def _begins_another(self, call: _Call, index: int | None, call_id: str | None, name: str) -> bool:
        if call_id is not None and call.id is not None and name:
            return call_id != call.id  # some count every call as the first
        return index is None and call_id is None and bool(name) and (bool(call.arguments) or call.name in self._names)
