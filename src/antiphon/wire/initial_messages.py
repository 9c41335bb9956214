"""The messages a call begins with → the conversation as a model sees it, tools that were used included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from antiphon.call.prompt import ChatMessage, ToolRequest
from antiphon.wire import json_text
from antiphon.wire.call_parts import InitialMessage

_ROLE = {
    "MESSAGE_ROLE_USER": "user",
    "MESSAGE_ROLE_AGENT": "assistant",
}
_CALL = "MESSAGE_ROLE_TOOL_CALL"
_RESULT = "MESSAGE_ROLE_TOOL_RESULT"


def chat_messages(messages: Sequence[InitialMessage]) -> tuple[ChatMessage, ...]:
    """The conversation to start from.

    A use of a tool belongs to the agent's words before it. Models want no use without its result and no result
    without its use: what has no other half is left out. Where ``invocationId`` is missing, a result is that of the
    earliest use before it that has none yet, of the same tool where it names one.
    """
    invocations = _paired(messages)
    chat: list[ChatMessage] = []
    for index, message in enumerate(messages):
        if message.role in _ROLE:
            chat.append(ChatMessage(_ROLE[message.role], message.text))
        elif index in invocations and message.role == _RESULT:
            chat.append(ChatMessage("tool", message.text, tool_call_id=invocations[index]))
        elif index in invocations:
            request = ToolRequest(invocations[index], message.tool_name or "tool", _arguments(message.text))
            if chat and chat[-1].role == "assistant":
                chat[-1] = replace(chat[-1], tool_calls=(*chat[-1].tool_calls, request))
            else:
                chat.append(ChatMessage("assistant", "", (request,)))
    return tuple(chat)


def _paired(messages: Sequence[InitialMessage]) -> dict[int, str]:
    """The invocation of each tool message that has its other half, by its place."""
    waiting: dict[int, InitialMessage] = {}
    found: dict[int, str] = {}
    for index, message in enumerate(messages):
        if message.role == _CALL:
            waiting[index] = message
        elif message.role == _RESULT:
            place = next((place for place, call in waiting.items() if _answers(message, call)), None)
            if place is not None:
                call = waiting.pop(place)
                # An id that is used twice would give one use the other's result.
                known = call.invocation_id if call.invocation_id not in found.values() else None
                found[place] = found[index] = known or f"initial-{place}"
    return found


def _answers(result: InitialMessage, call: InitialMessage) -> bool:
    if result.invocation_id and call.invocation_id:
        return result.invocation_id == call.invocation_id
    return not (result.tool_name and call.tool_name) or result.tool_name == call.tool_name


def _arguments(text: str) -> Mapping[str, Any]:
    """What the tool was used with; nothing where the text does not tell."""
    try:
        value = json_text.decode(text)
    except json_text.BadJson:
        return {}
    return value if isinstance(value, dict) else {}
