"""A message of a call in the shape of ``ultravox.v1.Message``, as tools are told the conversation."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from antiphon.call.history import KeptMessage, SpokenMessage, ToolRole
from antiphon.call.prompt import ChatMessage


def message_json(message: KeptMessage) -> dict[str, Any]:
    """The message as JSON."""
    if isinstance(message, SpokenMessage):
        return {
            "role": f"MESSAGE_ROLE_{message.role.value.upper()}",
            "text": message.text,
            "medium": f"MESSAGE_MEDIUM_{message.modality.value.upper()}",
        }
    is_call = message.role is ToolRole.CALL
    arguments = json.dumps(dict(message.request.arguments), ensure_ascii=False)
    state = {} if message.state is None else {"callState": dict(message.state)}
    return {
        **state,
        "role": f"MESSAGE_ROLE_{message.role.value.upper()}",
        "text": arguments if is_call else message.text,
        "invocationId": message.request.invocation,
        "toolName": message.request.name,
    }


_CHAT_ROLES = {"user": "MESSAGE_ROLE_USER", "assistant": "MESSAGE_ROLE_AGENT"}


def chat_json(messages: Iterable[ChatMessage]) -> list[dict[str, Any]]:
    """A conversation as models see it in the same shape; all of it is text."""
    shown: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "tool":
            invocation = message.tool_call_id or ""
            tool = {"invocationId": invocation, "toolName": names.get(invocation, "")}
            shown.append({"role": "MESSAGE_ROLE_TOOL_RESULT", "text": message.text, **tool})
            continue
        if message.text:
            role = _CHAT_ROLES.get(message.role, "MESSAGE_ROLE_USER")
            shown.append({"role": role, "text": message.text, "medium": "MESSAGE_MEDIUM_TEXT"})
        for call in message.tool_calls:
            names[call.invocation] = call.name
            arguments = json.dumps(dict(call.arguments), ensure_ascii=False)
            tool = {"invocationId": call.invocation, "toolName": call.name}
            shown.append({"role": "MESSAGE_ROLE_TOOL_CALL", "text": arguments, **tool})
    return shown
