from __future__ import annotations

from typing import Any, get_args

import pytest

from antiphon.call import messages
from antiphon.call.messages import AgentState, Modality, Role, Severity
from antiphon.call.prompt import ToolRequest
from antiphon.wire.outgoing import (
    DATA_CONNECTION_DEFAULTS,
    WEBRTC_DEFAULTS,
    WEBSOCKET_DEFAULTS,
    EnabledDataMessages,
    to_json,
)

SENT: list[tuple[messages.Message, dict[str, Any]]] = [
    (messages.CallStarted("c"), {"type": "call_started", "callId": "c"}),
    (messages.StateChanged(AgentState.LISTENING), {"type": "state", "state": "listening"}),
    (
        messages.Transcript(Role.USER, Modality.VOICE, 3, True, text="Hello."),
        {"type": "transcript", "role": "user", "medium": "voice", "final": True, "ordinal": 3, "text": "Hello."},
    ),
    (
        messages.Transcript(Role.AGENT, Modality.TEXT, 4, False, delta=" there"),
        {"type": "transcript", "role": "agent", "medium": "text", "final": False, "ordinal": 4, "delta": " there"},
    ),
    (
        messages.Transcript(Role.AGENT, Modality.VOICE, 4, True, text=""),
        {"type": "transcript", "role": "agent", "medium": "voice", "final": True, "ordinal": 4, "text": ""},
    ),
    (messages.PlaybackClearBuffer(), {"type": "playback_clear_buffer"}),
    (messages.Pong(12.5), {"type": "pong", "timestamp": 12.5}),
    (messages.Debug("m"), {"type": "debug", "message": "m"}),
    (
        messages.ToolsWanted((ToolRequest("i", "look"), ToolRequest("j", "it's")), forced=True),
        {
            "type": "debug",
            "message": "Forced agent message: Tool calls: [FunctionCall(name='look', args='{}', invocation_id='i'), "
            "FunctionCall(name=\"it's\", args='{}', invocation_id='j')]",
        },
    ),
    (
        messages.ToolsAnswered((messages.ToolAnswer(ToolRequest("i", "look"), "No.", "500"),), thread="aside"),
        {
            "type": "debug",
            "message": "Thread aside: Tool call complete.\n\nResult: [\n"
            '  role: MESSAGE_ROLE_TOOL_CALL text: "{}" tool_name: "look" invocation_id: "i" ,\n'
            '  role: MESSAGE_ROLE_TOOL_RESULT text: "No." tool_name: "look" invocation_id: "i" error_details: "500"\n]',
        },
    ),
    (
        messages.CallEvent(Severity.WARNING, "overflow", "too much", {"s": 1}),
        {
            "type": "call_event",
            "callEvent": {"severity": "warning", "type": "overflow", "text": "too much", "extras": {"s": 1}},
        },
    ),
    (messages.InvokingTool("t", "i"), {"type": "invoking_tool", "toolName": "t", "invocationId": "i"}),
    (messages.ToolUsed("t", "i"), {"type": "tool_used", "toolName": "t", "invocationId": "i"}),
    (messages.UserStartedSpeaking(), {"type": "user_started_speaking"}),
    (messages.UserStoppedSpeaking(), {"type": "user_stopped_speaking"}),
]

OF_THREADS: list[tuple[messages.Message, dict[str, Any]]] = [
    (messages.ThreadSpawned("t"), {"type": "thread_spawned", "threadId": "t"}),
    (messages.ThreadRejected("t", "r"), {"type": "thread_rejected", "threadId": "t", "reason": "r"}),
    (messages.ThreadTerminated("t", "r"), {"type": "thread_terminated", "threadId": "t", "reason": "r"}),
    (messages.SideGenerationDelta("t", "d"), {"type": "side_generation_delta", "threadId": "t", "delta": "d"}),
    (
        messages.SideGenerationCompleted("t", "w", (ToolRequest("i", "n", {"a": 1}),)),
        {
            "type": "side_generation_completed",
            "threadId": "t",
            "text": "w",
            "toolCalls": [{"id": "i", "name": "n", "arguments": {"a": 1}}],
        },
    ),
]
"""There is no switch for them."""


@pytest.mark.parametrize(("message", "expected"), [*SENT, *OF_THREADS])
def test_messages_have_the_protocols_fields(message: messages.Message, expected: dict[str, Any]) -> None:
    assert to_json(message) == expected


def test_every_message_has_a_shape_and_a_switch() -> None:
    assert {type(message) for message, _ in [*SENT, *OF_THREADS]} == set(get_args(messages.Message))
    everything = EnabledDataMessages(*[True] * 13)
    nothing = EnabledDataMessages(*[False] * 13)
    assert all(everything.allows(message) and not nothing.allows(message) for message, _ in SENT)
    assert all(nothing.allows(message) for message, _ in OF_THREADS)


def test_the_defaults_are_the_contracts() -> None:
    assert WEBSOCKET_DEFAULTS.allows(messages.PlaybackClearBuffer())
    assert not WEBRTC_DEFAULTS.allows(messages.PlaybackClearBuffer())
    assert not WEBSOCKET_DEFAULTS.allows(messages.Debug(""))
    assert not WEBSOCKET_DEFAULTS.allows(messages.UserStartedSpeaking())
    assert not WEBSOCKET_DEFAULTS.data_connection_tool_invocation
    assert DATA_CONNECTION_DEFAULTS.data_connection_tool_invocation
    assert DATA_CONNECTION_DEFAULTS.client_tool_invocation
    assert not DATA_CONNECTION_DEFAULTS.allows(messages.PlaybackClearBuffer())


def test_single_messages_can_be_turned_on_and_off() -> None:
    changed = WEBSOCKET_DEFAULTS.with_changes({"debug": True, "transcript": False})
    assert changed.allows(messages.Debug(""))
    assert not changed.allows(messages.Transcript(Role.USER, Modality.VOICE, 0, True, text=""))
    assert changed.allows(messages.Pong(0))
