"""Data messages to the client: :mod:`antiphon.call.messages` → JSON, and which of them a connection wants.

Names, fields and defaults: the Ultravox data message protocol and ``ultravox.v1.EnabledDataMessages``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, assert_never

from antiphon.call.messages import (
    CallEvent,
    CallStarted,
    Debug,
    InvokingTool,
    Message,
    PlaybackClearBuffer,
    Pong,
    SideGenerationCompleted,
    SideGenerationDelta,
    StateChanged,
    ThreadRejected,
    ThreadSpawned,
    ThreadTerminated,
    ToolsAnswered,
    ToolsWanted,
    ToolUsed,
    Transcript,
    UserStartedSpeaking,
    UserStoppedSpeaking,
)
from antiphon.wire.debug import debug_text


def to_json(message: Message) -> dict[str, Any]:
    """The data message as a JSON object, with exactly the protocol's fields."""
    match message:
        case CallStarted(call_id=call_id):
            return {"type": "call_started", "callId": call_id}
        case StateChanged(state=state):
            return {"type": "state", "state": state.value}
        case Transcript():
            return _transcript(message)
        case PlaybackClearBuffer():
            return {"type": "playback_clear_buffer"}
        case Pong(timestamp=timestamp):
            return {"type": "pong", "timestamp": timestamp}
        case Debug(message=text):
            return {"type": "debug", "message": text}
        case ToolsWanted() | ToolsAnswered():
            return {"type": "debug", "message": debug_text(message)}
        case CallEvent(severity=severity, type=kind, text=text, extras=extras):
            return {
                "type": "call_event",
                "callEvent": {"severity": severity.value, "type": kind, "text": text, "extras": extras},
            }
        case InvokingTool(tool_name=name, invocation=invocation):
            return {"type": "invoking_tool", "toolName": name, "invocationId": invocation}
        case ToolUsed(tool_name=name, invocation=invocation):
            return {"type": "tool_used", "toolName": name, "invocationId": invocation}
        case UserStartedSpeaking():
            return {"type": "user_started_speaking"}
        case UserStoppedSpeaking():
            return {"type": "user_stopped_speaking"}
        case ThreadSpawned(thread=thread):
            return {"type": "thread_spawned", "threadId": thread}
        case ThreadRejected(thread=thread, reason=reason):
            return {"type": "thread_rejected", "threadId": thread, "reason": reason}
        case ThreadTerminated(thread=thread, reason=reason):
            return {"type": "thread_terminated", "threadId": thread, "reason": reason}
        case SideGenerationDelta(thread=thread, delta=delta):
            return {"type": "side_generation_delta", "threadId": thread, "delta": delta}
        case SideGenerationCompleted(thread=thread, text=text, tool_calls=tool_calls):
            calls = [{"id": one.invocation, "name": one.name, "arguments": dict(one.arguments)} for one in tool_calls]
            return {"type": "side_generation_completed", "threadId": thread, "text": text, "toolCalls": calls}
        case _:
            assert_never(message)


def _transcript(message: Transcript) -> dict[str, Any]:
    result: dict[str, Any] = {
        "type": "transcript",
        "role": message.role.value,
        "medium": message.modality.value,
        "final": message.final,
        "ordinal": message.ordinal,
    }
    if message.delta is not None:
        result["delta"] = message.delta
    else:
        result["text"] = message.text or ""
    return result


@dataclass(frozen=True, slots=True)
class EnabledDataMessages:
    """Which data messages a connection is sent. The defaults are those of a WebSocket client."""

    pong: bool = True
    state: bool = True
    transcript: bool = True
    client_tool_invocation: bool = True
    data_connection_tool_invocation: bool = False
    playback_clear_buffer: bool = True
    call_started: bool = True
    debug: bool = False
    call_event: bool = False
    tool_used: bool = False
    user_started_speaking: bool = False
    user_stopped_speaking: bool = False
    invoking_tool: bool = False

    def with_changes(self, changes: Mapping[str, bool]) -> EnabledDataMessages:
        """The same with some turned on or off, by field name."""
        return replace(self, **dict(changes))

    def with_asked(self, names: Iterable[str]) -> EnabledDataMessages:
        """The same with those on that a client asks for by ``names``, ``callEvent`` or ``call_event``.

        Unknown names are passed over, and so are requests to use tools, which are not for whoever joins to have.
        """
        wanted = (_ASKED_FOR.get(name.strip().replace("_", "").lower()) for name in names)
        return self.with_changes({name: True for name in wanted if name is not None})

    def allows(self, message: Message) -> bool:
        """Whether this connection is sent ``message``. What concerns threads is always sent: there is no switch."""
        return isinstance(message, _ALWAYS) or bool(getattr(self, _SWITCHES[type(message)]))


_ASKED_FOR = {
    each.name.replace("_", ""): each.name
    for each in fields(EnabledDataMessages)
    if not each.name.endswith("_tool_invocation")
}

WEBSOCKET_DEFAULTS = EnabledDataMessages()
WEBRTC_DEFAULTS = EnabledDataMessages(playback_clear_buffer=False)
DATA_CONNECTION_DEFAULTS = EnabledDataMessages(data_connection_tool_invocation=True, playback_clear_buffer=False)
"""It plays nothing: its audio is what was heard."""

_ALWAYS = (ThreadSpawned, ThreadRejected, ThreadTerminated, SideGenerationDelta, SideGenerationCompleted)

_SWITCHES: dict[type[Any], str] = {
    Pong: "pong",
    StateChanged: "state",
    Transcript: "transcript",
    PlaybackClearBuffer: "playback_clear_buffer",
    CallStarted: "call_started",
    Debug: "debug",
    ToolsWanted: "debug",
    ToolsAnswered: "debug",
    CallEvent: "call_event",
    InvokingTool: "invoking_tool",
    ToolUsed: "tool_used",
    UserStartedSpeaking: "user_started_speaking",
    UserStoppedSpeaking: "user_stopped_speaking",
}
