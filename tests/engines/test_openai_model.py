"""A language model behind an OpenAI-compatible server, on a real socket."""

from __future__ import annotations

import asyncio
import base64
from contextlib import aclosing
from typing import Any

import pytest

from antiphon.call.prompt import ChatMessage, Prompt
from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.protocols import Alive, TextDelta, Usage
from antiphon.engines.settings import OpenAIModelSettings
from tests.engines.openai_parts import FRAME, KEY, PROMPT, generated, settings, sound_of
from tests.support.openai_server import OpenAIServer, Script


async def test_a_reply_is_streamed_with_its_usage(server: OpenAIServer, model: OpenAIModel) -> None:
    assert await generated(model) == [
        TextDelta("Hello"),
        TextDelta(" there"),
        TextDelta("."),
        Usage(prompt_tokens=12, cached_tokens=8, completion_tokens=3),
    ]
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.json["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello?"},
    ]
    assert request.json["model"] == "some-model"
    assert request.json["temperature"] == 0.3
    assert request.json["max_tokens"] == 300
    assert request.json["stream"] is True


async def test_a_server_that_counts_no_tokens_is_fine(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.usage = None
    assert await generated(model) == [TextDelta("Hello"), TextDelta(" there"), TextDelta(".")]


async def test_a_server_that_knows_no_stream_options_is_asked_without(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.refuses_stream_options = True
    assert TextDelta("Hello") in await generated(model)
    assert TextDelta("Hello") in await generated(model)
    assert ["stream_options" in request.json for request in server.requests] == [True, False, False]


async def test_connections_are_used_again(server: OpenAIServer, model: OpenAIModel) -> None:
    await generated(model)
    await generated(model)
    assert server.requests[0].client == server.requests[1].client


async def test_a_speech_model_is_sent_the_callers_voice(server: OpenAIServer) -> None:
    hearing = OpenAIModel(OpenAIModelSettings(**settings(server, audio_input=True)))
    assert hearing.audio_input
    prompt = Prompt("call-1", "", (ChatMessage("user", "Hello?"), ChatMessage("assistant", "Hi!")))
    await generated(hearing, prompt, FRAME)
    await hearing.aclose()
    messages = server.requests[0].json["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    (part,) = messages[-1]["content"]
    assert part["type"] == "input_audio"
    assert part["input_audio"]["format"] == "wav"
    assert (sound_of(base64.b64decode(part["input_audio"]["data"])) == FRAME).all()


async def test_a_voice_after_written_words_joins_their_message(server: OpenAIServer) -> None:
    hearing = OpenAIModel(OpenAIModelSettings(**settings(server, audio_input=True)))
    await generated(hearing, PROMPT, FRAME)
    await hearing.aclose()
    messages = server.requests[0].json["messages"]
    assert [message["role"] for message in messages] == ["system", "user"]
    assert [part["type"] for part in messages[-1]["content"]] == ["text", "input_audio"]


async def test_a_model_that_does_not_hear_gets_no_sound(server: OpenAIServer, model: OpenAIModel) -> None:
    await generated(model, PROMPT, FRAME)
    assert server.requests[0].json["messages"][-1] == {"role": "user", "content": "Hello?"}


async def test_closing_a_reply_hangs_up_on_the_server(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.hang_after = 1
    async with aclosing(model.generate(PROMPT)) as reply:  # type: ignore[type-var]
        assert await anext(reply) == TextDelta("Hello")
    assert await asyncio.to_thread(server.disconnected.wait, 5)


async def test_cancelling_a_request_that_is_not_answered_hangs_up(server: OpenAIServer, model: OpenAIModel) -> None:
    server.script.hang_before = True
    task = asyncio.ensure_future(generated(model))
    while not server.requests:
        await asyncio.wait([task], timeout=0.01)
    task.cancel()
    assert await asyncio.to_thread(server.disconnected.wait, 5)
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    "delta", [{"role": "assistant", "content": ""}, {"reasoning_content": "Hm."}, {"tool_calls": [{"index": 0}]}]
)
async def test_whatever_comes_without_words_is_a_sign_of_life(
    server: OpenAIServer, model: OpenAIModel, delta: dict[str, Any]
) -> None:
    """A model that thinks for long, or writes a long tool call, is not taken for stalled."""
    server.script = Script(tokens=(), deltas=[delta])
    stream = model.generate(PROMPT)
    assert await anext(stream) == Alive()
