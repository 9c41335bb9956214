"""The tools that every server has, as ``/api/tools`` lists them."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

from antiphon.store.records import ToolRecord

_TOOLS = uuid.uuid5(uuid.NAMESPACE_URL, "https://antiphon.invalid/tools")
_NEWEST = datetime(2026, 1, 1, tzinfo=UTC)

DESCRIPTIONS = {
    "coldTransfer": "Transfers the call to a human operator.",
    "hangUp": "Ends the call. Use it once the conversation has come to its end.",
    "leaveVoicemail": "Leaves a message on an answering machine and ends the call.",
    "playDtmfSounds": "Plays the tones of a telephone's keypad.",
    "queryCorpus": "Searches a collection of documents for what is relevant to a question.",
    "warmTransfer": "Hands the call over to a human operator after telling them what it is about.",
}


def tool_uuid(name: str) -> str:
    """The id of the built-in tool called ``name``: the same on every server."""
    return str(uuid.uuid5(_TOOLS, name))


def _records() -> tuple[ToolRecord, ...]:
    """All of them, dated so that "newest first" is "by name"."""
    return tuple(
        ToolRecord(
            tool_uuid(name),
            name,
            _NEWEST - timedelta(seconds=place),
            {"modelToolName": name, "description": description},
            public=True,
        )
        for place, (name, description) in enumerate(sorted(DESCRIPTIONS.items()))
    )


BUILTIN_TOOLS = _records()
BUILTIN_TOOLS_BY_ID = {tool.tool_id: tool for tool in BUILTIN_TOOLS}
