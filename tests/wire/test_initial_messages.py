from __future__ import annotations

from typing import Any

from antiphon.call.prompt import ChatMessage, ToolRequest
from antiphon.wire.call_request import parse_call_request
from antiphon.wire.initial_messages import chat_messages


def chat(*messages: dict[str, Any]) -> list[ChatMessage]:
    request = parse_call_request({"initialMessages": list(messages)})
    return list(chat_messages(request.initial_messages))


def user(text: str) -> dict[str, Any]:
    return {"role": "MESSAGE_ROLE_USER", "text": text}


def agent(text: str) -> dict[str, Any]:
    return {"role": "MESSAGE_ROLE_AGENT", "text": text}


def use(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "MESSAGE_ROLE_TOOL_CALL", "text": text, **fields}


def result(text: str, **fields: Any) -> dict[str, Any]:
    return {"role": "MESSAGE_ROLE_TOOL_RESULT", "text": text, **fields}


def test_a_use_of_a_tool_belongs_to_the_words_before_it() -> None:
    assert chat(
        user("Where is it?"),
        agent("One moment."),
        use('{"order": 7}', invocationId="i1", toolName="look"),
        use('{"order": 8}', invocationId="i2", toolName="look"),
        result("there", invocationId="i2", toolName="look"),
        result("here", invocationId="i1", toolName="look"),
        agent("Here and there."),
    ) == [
        ChatMessage("user", "Where is it?"),
        ChatMessage(
            "assistant",
            "One moment.",
            (ToolRequest("i1", "look", {"order": 7}), ToolRequest("i2", "look", {"order": 8})),
        ),
        ChatMessage("tool", "there", tool_call_id="i2"),
        ChatMessage("tool", "here", tool_call_id="i1"),
        ChatMessage("assistant", "Here and there."),
    ]


def test_a_use_without_words_stands_alone() -> None:
    assert chat(user("Hi."), use("{}", invocationId="i", toolName="t"), result("", invocationId="i")) == [
        ChatMessage("user", "Hi."),
        ChatMessage("assistant", "", (ToolRequest("i", "t"),)),
        ChatMessage("tool", "", tool_call_id="i"),
    ]


def test_halves_without_ids_find_each_other_in_order() -> None:
    found = chat(
        use("{}", toolName="a"),
        use("{}", toolName="b"),
        result("of b", toolName="b"),
        result("of a"),
        result("of none"),
    )
    assert found == [
        ChatMessage("assistant", "", (ToolRequest("initial-0", "a"), ToolRequest("initial-1", "b"))),
        ChatMessage("tool", "of b", tool_call_id="initial-1"),
        ChatMessage("tool", "of a", tool_call_id="initial-0"),
    ]


def test_half_a_use_is_left_out() -> None:
    assert chat(result("early", invocationId="i"), use("{}", invocationId="i"), agent("Hm.")) == [
        ChatMessage("assistant", "Hm.")
    ]
    assert chat(use("{}", invocationId="i"), result("x", invocationId="j")) == []


def test_an_id_that_comes_twice_is_told_apart() -> None:
    pair = (use("{}", invocationId="i", toolName="t"), result("x", invocationId="i"))
    found = chat(*pair, *pair)
    assert [message.tool_call_id for message in found] == [None, "i", None, "initial-2"]
    assert [request.invocation for message in found for request in message.tool_calls] == ["i", "initial-2"]


def test_arguments_that_are_none_are_left_out() -> None:
    for text in ("", "[1]", "{", "NaN"):
        found = chat(use(text, invocationId="i", toolName="t"), result("x", invocationId="i"))
        assert found[0].tool_calls == (ToolRequest("i", "t"),)
