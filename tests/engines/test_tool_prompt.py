"""Tools in words: what a model reads, and what is read in what it writes."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest, ToolSpec
from antiphon.engines.protocols import TextDelta, ToolCall
from antiphon.engines.tool_prompt import CallReader, as_text, usable

WEATHER = ToolSpec(
    "weather",
    "The weather\n  now.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "Where"},
            "unit": {"enum": ["C", "F"]},
            "days": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": ["integer", "null"]}}}},
        },
        "required": ["city"],
    },
)
USED = ToolRequest("i1", "weather", {"city": "Tromsø"})
WRITTEN = '{"name": "weather", "arguments": {"city": "Tromsø"}}'


def read(*pieces: str) -> list[TextDelta | ToolCall]:
    reader = CallReader()
    return [item for piece in pieces for item in reader.feed(piece)] + reader.finish()


def joined(items: list[TextDelta | ToolCall]) -> tuple[str, list[ToolCall]]:
    words = "".join(item.text for item in items if isinstance(item, TextDelta))
    return words, [item for item in items if isinstance(item, ToolCall)]


def test_a_prompt_without_tools_is_left_alone() -> None:
    prompt = Prompt("c", "Be brief.", (ChatMessage("user", "Hello?"),))
    assert as_text(prompt) is prompt


def test_each_tool_is_one_line_of_the_system_prompt() -> None:
    text = as_text(Prompt("c", "Be brief.", (), tools=(WEATHER, ToolSpec("hangUp", "End it.", {}))))
    assert text.system.startswith("Be brief.\n\n# Tools\n")
    assert text.tools == ()
    lines = text.system.splitlines()
    assert '- weather(city: string (Where), unit?: "C"|"F", days?: [{n?: integer|null}]): The weather now.' in lines
    assert "- hangUp(): End it." in lines


def test_history_is_told_as_the_model_wrote_it() -> None:
    messages = (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "One moment.", (USED, USED)),
        ChatMessage("tool", "Snow", tool_call_id="i1"),
        ChatMessage("tool", "Late", tool_call_id="gone"),
        ChatMessage("user", "And?"),
        ChatMessage("assistant", "", (USED,)),
    )
    assert as_text(Prompt("c", "", messages)).messages == (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", f"One moment.\n{WRITTEN}\n{WRITTEN}"),
        ChatMessage(
            "user",
            "<tool_response>\nweather: Snow\n</tool_response>\nTell me in words.\n"
            "<tool_response>\ntool: Late\n</tool_response>\nTell me in words.\nAnd?",
        ),
        ChatMessage("assistant", WRITTEN),
    )


def test_a_tool_that_has_just_answered_is_not_used_at_once_again() -> None:
    asked, used = ChatMessage("user", "Weather?"), ChatMessage("assistant", "", (USED,))
    result, hang_up = ChatMessage("tool", "Snow", tool_call_id="i1"), ToolSpec("hangUp", "End it.", {})

    def names(*messages: ChatMessage) -> list[str]:
        return [tool.name for tool in usable(Prompt("c", "", messages, tools=(WEATHER, hang_up)))]

    assert names() == names(asked) == ["weather", "hangUp"]
    assert names(asked, used, result) == ["hangUp"]
    assert names(asked, used, result, asked) == ["weather", "hangUp"]
    assert names(asked, used, result, ChatMessage("assistant", "Snow."), asked) == ["weather", "hangUp"]


def test_the_beginning_of_a_conversation_stays_as_it_was() -> None:
    messages = (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "", (USED,)),
        ChatMessage("tool", "Snow", tool_call_id="i1"),
        ChatMessage("assistant", "It snows."),
        ChatMessage("user", "Thanks."),
    )
    whole = as_text(Prompt("c", "Be brief.", messages, tools=(WEATHER,)))
    for count in range(len(messages)):
        before = as_text(replace(Prompt("c", "Be brief.", messages[:count]), tools=(WEATHER,)))
        assert before.system == whole.system
        assert whole.messages[: len(before.messages)] == before.messages


def test_words_come_as_they_are_written_and_calls_when_they_are_whole() -> None:
    reader = CallReader()
    call = ToolCall("weather", '{"city": "Tromsø"}')
    assert reader.feed("One") == [TextDelta("One")]
    assert reader.feed(" moment.") == [TextDelta(" moment.")]
    assert reader.feed("\n") == []
    assert reader.feed(WRITTEN[:5]) == []
    assert reader.feed(WRITTEN[5:-3]) == []
    assert reader.feed(WRITTEN[-3:] + "\n" + WRITTEN) == [call, call]
    assert reader.finish() == []


def test_a_call_that_was_cut_short_comes_as_far_as_it_went() -> None:
    assert read("Yes. ", WRITTEN[:-6]) == [TextDelta("Yes."), ToolCall("weather", '{"city": "Tro')]
    assert read(WRITTEN[:15]) == []
    assert read("Well. \n") == [TextDelta("Well.")]


def test_an_object_that_is_no_call_is_neither_said_nor_done() -> None:
    assert read('Well. {"a": {}}\n', "Yes.", "[1]") == [TextDelta("Well."), TextDelta("\nYes."), TextDelta("[1]")]


@given(
    st.lists(st.text("ab .\nø😀", min_size=1)),
    st.lists(
        st.dictionaries(st.text(), st.text() | st.just('\n{"name": "b", "arguments": {}}') | st.integers()), max_size=3
    ),
    st.data(),
)
def test_any_text_in_any_pieces(words: list[str], calls: list[dict[str, object]], data: st.DataObject) -> None:
    said = "".join(words).strip()
    made = [ToolRequest(f"i{number}", "a", arguments) for number, arguments in enumerate(calls)]
    (message,) = as_text(Prompt("c", "", (ChatMessage("assistant", said, (USED, *made)),))).messages
    cuts = sorted(data.draw(st.lists(st.integers(0, len(message.text)), max_size=8)))
    pieces = [message.text[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
    text, found = joined(read(*pieces))
    assert text == said
    assert [json.loads(call.arguments) for call in found] == [dict(USED.arguments), *calls]
