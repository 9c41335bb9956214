"""How scripted replies use tools."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.protocols import ToolCall
from antiphon.engines.tool_script import items, parse


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Hello [there].", ("Hello [there].",)),
        ("[[tool hangUp]]", (ToolCall("hangUp", "{}"),)),
        ("[[tool  hangUp  { } ]] ", (ToolCall("hangUp", "{ }"),)),
        ('A [[tool a {"b": "]]"}]] C', ("A ", ToolCall("a", '{"b": "]]"}'), " C")),
        ('[[tool a {"b": [[{}]]}]][[tool c]]', (ToolCall("a", '{"b": [[{}]]}'), ToolCall("c", "{}"))),
    ],
)
def test_words_and_calls_are_told_apart(text: str, parts: tuple[str | ToolCall, ...]) -> None:
    assert parse(text) == parts


@pytest.mark.parametrize(
    "text",
    ["[[tool]]", "[[tool a", "[[tool a {]]", "[[tool a {} b]]", "[[tool a [1]]]", "[[tool a " + '{"a":' * 100_000],
)
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="tool"):
        parse(text)


def test_a_reply_may_be_one_thing_or_several() -> None:
    call = ToolCall("a", "{}")
    assert items("One.") == ("One.",)
    assert items(call) == (call,)
    assert items(["One.", call, "Two. [[tool b]]"]) == ("One.", call, "Two. ", ToolCall("b", "{}"))


@given(st.dictionaries(st.text(), st.recursive(st.text() | st.integers(), st.lists, max_leaves=5)))
def test_any_arguments_survive(arguments: dict[str, object]) -> None:
    written = json.dumps(arguments, ensure_ascii=False)
    assert parse(f"Yes. [[tool a {written}]] No.") == ("Yes. ", ToolCall("a", written), " No.")
