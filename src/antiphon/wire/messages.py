"""A message of a call in the shape of ``ultravox.v1.Message``, as tools are told the conversation."""

from __future__ import annotations

import json
from typing import Any

from antiphon.call.history import KeptMessage, SpokenMessage, ToolRole


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
