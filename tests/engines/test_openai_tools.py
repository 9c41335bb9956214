"""Tools through an OpenAI-compatible server, against a real server on a real socket."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest, ToolSpec
from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.protocols import Alive, Generated, TextDelta, ToolCall, Usage
from antiphon.engines.settings import OpenAIModelSettings
from antiphon.errors import EngineError
from tests.support.openai_server import OpenAIServer

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = (ToolSpec("weather", "The weather now.", SCHEMA), ToolSpec("hang_up", "End the call.", {}))
PROMPT = Prompt("call-1", "Be brief.", (ChatMessage("user", "Hello?"),), tools=TOOLS)
USAGE = Usage(prompt_tokens=12, cached_tokens=8, completion_tokens=3)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        running.script.tokens = ()
        running.script.finish = "tool_calls"
        yield running


@pytest.fixture
async def model(server: OpenAIServer) -> AsyncIterator[OpenAIModel]:
    engine = OpenAIModel(OpenAIModelSettings(engine="openai", base_url=server.base_url, model="some-model"))
    yield engine
    await engine.aclose()


async def generated(model: OpenAIModel, prompt: Prompt = PROMPT) -> list[Generated]:
    """All that came but mere signs of life."""
    return [item async for item in model.generate(prompt) if item != Alive()]


def piece(**fields: Any) -> dict[str, Any]:
    """A delta with one piece of a tool call; ``name`` and ``arguments`` go into its ``function``."""
    function = {key: fields.pop(key) for key in ("name", "arguments") if key in fields}
    return {"tool_calls": [{**fields, "function": function}]}


async def test_tools_are_offered_as_functions(server: OpenAIServer, model: OpenAIModel) -> None:
    await generated(model)
    assert server.requests[0].json["tools"] == [
        {
            "type": "function",
            "function": {"name": "weather", "description": "The weather now.", "parameters": SCHEMA},
        },
        {
            "type": "function",
            "function": {
                "name": "hang_up",
                "description": "End the call.",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    ]


async def test_without_tools_none_are_mentioned(server: OpenAIServer, model: OpenAIModel) -> None:
    await generated(model, Prompt("call-1", "", PROMPT.messages))
    assert "tools" not in server.requests[0].json


async def test_words_come_before_the_calls_and_the_usage_last(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.tokens = ("One", " moment.")
    server.script.deltas = [
        piece(index=0, id="a", type="function", name="wea", arguments=""),
        piece(index=0, name="ther", arguments='{"ci'),
        piece(index=0, arguments='ty": "Par'),
        piece(index=1, id="b", type="function", name="hang_up", arguments=""),
        piece(index=0, arguments='is"}'),
    ]
    assert await generated(model) == [
        TextDelta("One"),
        TextDelta(" moment."),
        ToolCall("weather", '{"city": "Paris"}', "a"),
        ToolCall("hang_up", "{}", "b"),
        USAGE,
    ]


@pytest.mark.parametrize(
    ("deltas", "calls"),
    [
        pytest.param(
            [piece(index=0, id="a", name="weather", arguments="{}")],
            [ToolCall("weather", "{}", "a")],
            id="in one chunk",
        ),
        pytest.param(
            [piece(name="weather", arguments='{"city": "Oslo"}'), piece(name="weather", arguments='{"city": "Rome"}')],
            [ToolCall("weather", '{"city": "Oslo"}'), ToolCall("weather", '{"city": "Rome"}')],
            id="neither index nor id",
        ),
        pytest.param(
            [piece(name="hang_up"), piece(name="weather", arguments="")],
            [ToolCall("hang_up", "{}"), ToolCall("weather", "{}")],
            id="nothing but names",
        ),
        pytest.param(
            [piece(id="a", name="weather"), piece(id="b", name="hang_up"), piece(id="a", arguments='{"city": "Oslo"}')],
            [ToolCall("weather", '{"city": "Oslo"}', "a"), ToolCall("hang_up", "{}", "b")],
            id="ids only",
        ),
        pytest.param(
            [piece(name="weather"), piece(arguments='{"city":'), piece(arguments=' "Oslo"}')],
            [ToolCall("weather", '{"city": "Oslo"}')],
            id="pieces that say nothing of their call",
        ),
        pytest.param(
            [piece(index=0, id="a", name="weather", arguments="{}"), piece(index=0, id="b", name="weather")],
            [ToolCall("weather", "{}", "a"), ToolCall("weather", "{}", "b")],
            id="every call is the first",
        ),
        pytest.param(
            [piece(index=0, id="a", name="weather", arguments=text) for text in ('{"city"', "", ': "Oslo"}')],
            [ToolCall("weather", '{"city": "Oslo"}', "a")],
            id="name and id with every piece",
        ),
        pytest.param(
            [piece(index=0, id="", name="weather", arguments={"city": "Tromsø"})],
            [ToolCall("weather", '{"city": "Tromsø"}')],
            id="arguments as an object",
        ),
        pytest.param(
            [piece(index=0, name="weather", arguments='{"city": ')],
            [ToolCall("weather", '{"city":')],
            id="arguments cut short are handed on as they are",
        ),
    ],
)
@pytest.mark.parametrize("finish", ["tool_calls", "stop"])
async def test_calls_are_put_together_however_they_come(
    server: OpenAIServer, model: OpenAIModel, deltas: list[dict[str, Any]], calls: list[ToolCall], finish: str
) -> None:
    server.script.deltas = deltas
    server.script.finish = finish
    assert await generated(model) == [*calls, USAGE]


async def test_no_call_comes_of_an_answer_that_broke_off(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.deltas = [piece(index=0, id="a", name="weather", arguments="{}")]
    server.script.end_after = 1
    with pytest.raises(EngineError, match="before its end"):
        await generated(model)


async def test_a_call_of_nothing_is_a_failure(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.deltas = [piece(index=0, id="a", arguments="{}")]
    with pytest.raises(EngineError, match="without a name"):
        await generated(model)


@pytest.mark.parametrize(
    "says",
    ['"auto" tool choice requires --enable-auto-tool-choice', "registry/model:latest does not support tools"],
)
async def test_a_server_that_refuses_tools_is_said_to(server: OpenAIServer, model: OpenAIModel, says: str) -> None:
    server.script.refuses_tools = says
    with pytest.raises(EngineError, match="refuses the call's tools") as error:
        await generated(model)
    assert not error.value.retryable
    assert says in str(error.value), "the reason is what the operator needs"
    server.script.refuses_tools = "something else"
    with pytest.raises(EngineError, match=r"answered 400: something else$"):
        await generated(model)


async def test_history_with_tools_is_told_as_the_server_wants_it(server: OpenAIServer, model: OpenAIModel) -> None:
    one = ToolRequest("i1", "weather", {"city": "Tromsø"})
    two = ToolRequest("i2", "weather", {"city": "Rome"})
    messages = (
        ChatMessage("user", "Weather?"),
        ChatMessage("assistant", "One moment.", (one, two)),
        ChatMessage("tool", "Rain", tool_call_id="i2"),
        ChatMessage("user", "And?"),
        ChatMessage("tool", "Snow", tool_call_id="i1"),
        ChatMessage("assistant", "", (ToolRequest("i3", "hang_up"),)),
        ChatMessage("user", "Wait!"),
    )
    await generated(model, Prompt("call-1", "", messages, tools=TOOLS))
    sent = server.requests[0].json["messages"]
    calls = [call for message in sent for call in message.pop("tool_calls", ())]
    assert [(call["id"], call["type"], call["function"]["name"]) for call in calls] == [
        ("i1", "function", "weather"),
        ("i2", "function", "weather"),
        ("i3", "function", "hang_up"),
    ]
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [{"city": "Tromsø"}, {"city": "Rome"}, {}]
    assert sent == [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "One moment."},
        {"role": "tool", "tool_call_id": "i1", "content": "Snow"},
        {"role": "tool", "tool_call_id": "i2", "content": "Rain"},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": None},
        {"role": "tool", "tool_call_id": "i3", "content": "No result yet."},
        {"role": "user", "content": "Wait!"},
    ]


async def test_a_result_after_more_words_of_the_agent_stays_where_it_came(
    server: OpenAIServer, model: OpenAIModel
) -> None:
    messages = (
        ChatMessage("assistant", "", (ToolRequest("i1", "weather", {"city": "Rome"}),)),
        ChatMessage("user", "Hello?"),
        ChatMessage("assistant", "Still looking."),
        ChatMessage("tool", "Rain", tool_call_id="i1"),
        ChatMessage("tool", "Gone", tool_call_id="of an earlier stage"),
    )
    await generated(model, Prompt("call-1", "", messages))
    assert [(message["role"], message["content"]) for message in server.requests[0].json["messages"]] == [
        ("assistant", None),
        ("tool", "No result yet."),
        ("user", "Hello?"),
        ("assistant", "Still looking."),
        ("user", "(Result of weather: Rain)"),
        ("user", "(Result of a tool: Gone)"),
    ]
