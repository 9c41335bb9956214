from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.events import Urgency
from antiphon.call.messages import Modality
from antiphon.errors import MessageError
from antiphon.wire.incoming import (
    ClientToolResult,
    DataConnectionToolResult,
    ForcedAgentMessage,
    HangUp,
    Incoming,
    Ping,
    SetOutputMedium,
    SpawnThread,
    ThreadLimits,
    ToolCall,
    ToolResult,
    UserTextMessage,
    parse,
    parse_object,
)

UNDERSTOOD: list[tuple[dict[str, Any], Incoming]] = [
    ({"type": "ping", "timestamp": 1234567890.123}, Ping(1234567890.123)),
    ({"type": "user_text_message", "text": "hi"}, UserTextMessage("hi", Urgency.SOON, "UI")),
    ({"type": "user_text_message", "text": "", "urgency": "immediate"}, UserTextMessage("", Urgency.IMMEDIATE)),
    ({"type": "user_text_message", "text": "x", "urgency": None, "threadId": "t"}, UserTextMessage("x", thread_id="t")),
    (
        {"type": "input_text_message", "text": "x", "deferResponse": True},
        UserTextMessage("x", Urgency.LATER, by_old_name=True),
    ),
    (
        {"type": "input_text_message", "text": "x", "deferResponse": False},
        UserTextMessage("x", Urgency.SOON, by_old_name=True),
    ),
    ({"type": "input_text_message", "text": "x", "urgency": "soon"}, UserTextMessage("x", Urgency.SOON)),
    ({"type": "set_output_medium", "medium": "text"}, SetOutputMedium(Modality.TEXT)),
    ({"type": "hang_up"}, HangUp()),
    ({"type": "hang_up", "message": "Bye"}, HangUp("Bye")),
    ({"type": "forced_agent_message"}, ForcedAgentMessage()),
    (
        {
            "type": "forced_agent_message",
            "content": "One moment.",
            "uninterruptible": True,
            "urgency": "immediate",
            "toolCalls": [{"id": "1", "name": "look", "arguments": {"q": 1}}, {"name": "plain"}],
            "knownToolResults": [{"invocationId": "1", "result": "found"}],
        },
        ForcedAgentMessage(
            "One moment.",
            True,
            Urgency.IMMEDIATE,
            tool_calls=(ToolCall("look", {"q": 1}, "1"), ToolCall("plain")),
            known_tool_results=(ToolResult("1", "found"),),
        ),
    ),
    (
        {"type": "client_tool_result", "invocation_id": "a", "result": {"b": 1}, "agent_reaction": "listens"},
        ClientToolResult("a", '{"b": 1}', agent_reaction="listens"),
    ),
    (
        {
            "type": "data_connection_tool_result",
            "invocationId": "a",
            "responseType": "hang-up",
            "errorType": "undefined",
            "errorMessage": "no",
            "updateCallState": {"x": None},
        },
        DataConnectionToolResult("a", None, "hang-up", None, "undefined", "no", {"x": None}),
    ),
    ({"type": "spawn_thread"}, SpawnThread()),
    (
        {
            "type": "spawn_thread",
            "newThreadId": "n",
            "ifExists": "replace",
            "additionalMessages": [{"type": "user_text_message", "text": "go"}],
            "toolFilter": {"allowedTools": ["a"]},
            "limits": {"generationLimit": 5},
        },
        SpawnThread(
            "n",
            replace_existing=True,
            additional_messages=(UserTextMessage("go"),),
            allowed_tools=("a",),
            limits=ThreadLimits(generations=5),
        ),
    ),
]


@pytest.mark.parametrize(("sent", "understood"), UNDERSTOOD)
def test_messages_become_tagged_types(sent: dict[str, Any], understood: Incoming) -> None:
    assert parse(json.dumps(sent)) == understood
    assert type(parse_object(sent)) is type(understood)


NOT_UNDERSTOOD = [
    ("hello", "not JSON"),
    ("[]", "expected a JSON object"),
    ("null", "expected a JSON object"),
    ("{}", "type: is required"),
    ('{"type": 5}', "type: expected a string, got a number"),
    ('{"type": "dance"}', "'dance' is not known"),
    ('{"type": "ping"}', "ping.timestamp: is required"),
    ('{"type": "ping", "timestamp": true}', "ping.timestamp: expected a number, got a boolean"),
    ('{"type": "ping", "timestamp": NaN}', "NaN"),
    ('{"type": "user_text_message"}', "user_text_message.text: is required"),
    ('{"type": "user_text_message", "text": null}', "user_text_message.text: is required"),
    ('{"type": "user_text_message", "text": 1}', "user_text_message.text: expected a string"),
    ('{"type": "user_text_message", "text": "a", "urgency": "now"}', "urgency: expected one of immediate, soon, later"),
    ('{"type": "forced_agent_message", "urgency": "later"}', "urgency: expected one of immediate, soon"),
    ('{"type": "forced_agent_message", "toolCalls": {}}', "toolCalls: expected an array"),
    ('{"type": "forced_agent_message", "toolCalls": [1]}', r"toolCalls.0: expected an object"),
    ('{"type": "forced_agent_message", "toolCalls": [{}]}', r"toolCalls.0.name: is required"),
    ('{"type": "set_output_medium"}', "medium: is required"),
    ('{"type": "set_output_medium", "medium": "smoke"}', "medium: expected one of voice, text"),
    ('{"type": "client_tool_result"}', "invocationId: is required"),
    (
        '{"type": "client_tool_result", "invocationId": "a", "updateCallState": []}',
        "updateCallState: expected an object",
    ),
    (
        '{"type": "spawn_thread", "limits": {"generationLimit": -1}}',
        "generationLimit: expected an integer of at least 0",
    ),
    ('{"type": "spawn_thread", "additionalMessages": [{"type": "ping"}]}', "additionalMessages.0.type"),
    ('{"a":' * 200_000, "nested"),
    (r'{"type": "user_text_message", "text": "\ud800"}', "surrogate"),
]


@pytest.mark.parametrize(("sent", "reason"), NOT_UNDERSTOOD, ids=[sent[:60] for sent, _ in NOT_UNDERSTOOD])
def test_what_is_wrong_is_named(sent: str, reason: str) -> None:
    with pytest.raises(MessageError, match=reason):
        parse(sent)


def test_a_pong_can_carry_the_very_same_timestamp() -> None:
    message = parse('{"type": "ping", "timestamp": 1700000000123}')
    assert isinstance(message, Ping)
    assert json.dumps(message.timestamp) == "1700000000123"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    sorted({key for sent, _ in UNDERSTOOD for key in sent} - {"type"} | {"additionalMessages", "limits", "toolFilter"})
)
TYPES = st.sampled_from(sorted({sent["type"] for sent, _ in UNDERSTOOD}))


@given(st.fixed_dictionaries({"type": TYPES}), st.dictionaries(KEYS, JSON, max_size=5))
def test_nothing_but_a_message_error_comes_out(kind: dict[str, str], fields: dict[str, Any]) -> None:
    with contextlib.suppress(MessageError):
        parse(json.dumps({**fields, **kind}))


@given(st.text())
def test_no_text_frame_does_harm(text: str) -> None:
    with pytest.raises(MessageError):
        parse(text)
