"""What a tool says to a thread, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from antiphon.call.prompt import Reaction, ToolRequest
from antiphon.call.tools.outcomes import (
    ForcedMessage,
    ResponseType,
    SpawnThread,
    ThreadLimits,
    ToolOutcome,
    Urgency,
    UserText,
)
from antiphon.wire.incoming import ClientToolResult
from antiphon.wire.thread_messages import opened, outcome_of

HELLO = {"type": "user_text_message", "text": "hello"}


def answered(message: Any, text: Any = "Sent.") -> ToolOutcome:
    body = json.dumps({"callingThreadResultText": text, "dataMessage": message})
    return opened("tell", ToolOutcome(body, response_type=ResponseType.SEND_TO_THREAD, reaction=Reaction.LISTENS))


def test_words() -> None:
    outcome = answered({**HELLO, "threadId": "side", "urgency": "later"})
    assert outcome.thread_message == UserText("side", "hello", Urgency.LATER)
    assert (outcome.text, outcome.reaction, outcome.failed) == ("Sent.", Reaction.LISTENS, False)


def test_names_with_underscores() -> None:
    body = json.dumps({"calling_thread_result_text": "Sent.", "data_message": HELLO})
    assert opened("tell", ToolOutcome(body, response_type=ResponseType.SEND_TO_THREAD)).thread_message == UserText(
        "UI", "hello"
    )


def test_a_forced_message() -> None:
    known = {"invocationId": "i", "result": {"strict": True, "message": "Bye."}, "responseType": "hang-up"}
    outcome = answered(
        {
            "type": "forced_agent_message",
            "content": "Well.",
            "urgency": "immediate",
            "toolCalls": [{"id": "i", "name": "hangUp", "arguments": {"a": 1}}],
            "knownToolResults": [known],
        }
    )
    thread_message = outcome.thread_message
    assert isinstance(thread_message, ForcedMessage)
    assert (thread_message.thread, thread_message.text, thread_message.urgency) == ("UI", "Well.", Urgency.IMMEDIATE)
    assert thread_message.wants == (ToolRequest("i", "hangUp", {"a": 1}),)
    assert thread_message.known["i"].response_type is ResponseType.HANG_UP
    assert thread_message.known["i"].closing_message == "Bye."


def test_a_new_thread() -> None:
    thread_message = answered(
        {
            "type": "spawn_thread",
            "newThreadId": "side",
            "parentThreadId": "_PARENT",
            "ifExists": "replace",
            "additionalMessages": [HELLO, {"type": "forced_agent_message", "toolCalls": [{"name": "look"}]}],
            "toolFilter": {"allowedTools": ["look", "find"], "disallowedTools": ["find"]},
            "limits": {
                "threadOutputTokenLimit": 1,
                "threadFuzzyInputTokenLimit": 2,
                "generationLimit": 3,
                "generationOutputTokenLimit": 4,
                "generationFuzzyInputTokenLimit": 5,
            },
        }
    ).thread_message
    assert isinstance(thread_message, SpawnThread)
    assert (thread_message.thread, thread_message.parent, thread_message.replaces) == ("side", "_PARENT", True)
    assert (thread_message.allowed, thread_message.disallowed) == (("look", "find"), ("find",))
    assert thread_message.limits == ThreadLimits(1, 2, 3, 4, 5)
    words, forced = thread_message.messages
    assert words == UserText("UI", "hello")
    assert isinstance(forced, ForcedMessage)
    assert len(forced.wants[0].invocation) == 36


@pytest.mark.parametrize(
    ("message", "text", "problem"),
    [
        (None, "x", "dataMessage: is required"),
        (HELLO, None, "callingThreadResultText: is required"),
        (HELLO, 3, "callingThreadResultText: expected a string, got a number"),
        ("hello", "x", "dataMessage: expected an object, got a string"),
        (
            {"type": "hang_up"},
            "x",
            "dataMessage.type: expected one of user_text_message, forced_agent_message, spawn_thread",
        ),
        ({"type": "user_text_message"}, "x", "dataMessage: user_text_message.text: is required"),
        (
            {"type": "spawn_thread", "limits": {"generationLimit": -1}},
            "x",
            "dataMessage: spawn_thread.limits.generationLimit: expected an integer of at least 0, got a number",
        ),
    ],
)
def test_what_cannot_be_read_names_the_field(message: Any, text: Any, problem: str) -> None:
    outcome = answered(message, text)
    assert outcome.failed
    assert outcome.thread_message is None
    assert outcome.text == 'The tool "tell" gave an answer that cannot be used.'
    assert outcome.error_details == f"send-to-thread: {problem}"


def test_a_letter_within_a_letter_is_not_read() -> None:
    inner = {"invocationId": "i", "result": {"dataMessage": HELLO}, "responseType": "send-to-thread"}
    thread_message = answered(
        {"type": "forced_agent_message", "toolCalls": [{"id": "i", "name": "tell"}], "knownToolResults": [inner]}
    ).thread_message
    assert isinstance(thread_message, ForcedMessage)
    assert thread_message.known["i"].failed
    assert thread_message.known["i"].error_details == (
        "send-to-thread: a result within a letter cannot be send-to-thread itself"
    )


def test_what_a_client_answers() -> None:
    body = json.dumps({"callingThreadResultText": "", "dataMessage": HELLO})
    outcome = outcome_of(ClientToolResult("i", body, "send-to-thread"), "tell")
    assert (outcome.text, outcome.thread_message) == ("(no content)", UserText("UI", "hello"))


def test_what_is_no_letter_stays_as_it_is() -> None:
    for outcome in (ToolOutcome("blue"), ToolOutcome("no", failed=True, response_type=ResponseType.SEND_TO_THREAD)):
        assert opened("tell", outcome) is outcome
