"""What goes wrong with an OpenAI-compatible server: all three engines, on a real socket."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.openai_speaker import OpenAISpeaker
from antiphon.engines.openai_transcriber import OpenAITranscriber
from antiphon.engines.settings import OpenAIModelSettings, OpenAITranscriberSettings, OpenAIVoiceSettings
from antiphon.errors import EngineError
from tests.engines.openai_parts import generated, settings, silent, spoken, transcribed
from tests.support.openai_server import OpenAIServer


@pytest.mark.parametrize("engine", ["model", "speaker", "transcriber"])
@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (500, True), (503, True)]
)
async def test_a_status_says_whether_to_try_again(
    server: OpenAIServer, engine: str, status: int, retryable: bool, request: pytest.FixtureRequest
) -> None:
    server.script.status = status
    with pytest.raises(EngineError, match=f"at 127.0.0.1:{server.port} answered {status}: wrong: \\[…\\]$") as error:
        await ask(engine, server)
    assert error.value.retryable is retryable
    assert silent(error)
    assert len(server.requests) == 1


@pytest.mark.parametrize("engine", ["model", "speaker", "transcriber"])
async def test_a_server_that_is_not_there(server: OpenAIServer, engine: str) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(EngineError, match="cannot be reached") as error:
            await ask(engine, server, base_url=f"http://user:secret@127.0.0.1:{nobody.getsockname()[1]}/v1")
    assert error.value.retryable
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("engine", ["model", "speaker", "transcriber"])
async def test_a_server_that_does_not_answer(server: OpenAIServer, engine: str) -> None:
    server.script.hang_before = True
    with pytest.raises(EngineError, match="did not answer in time") as error:
        await ask(engine, server, timeout_s=0.2)
    assert error.value.retryable
    assert await asyncio.to_thread(server.disconnected.wait, 5)


@pytest.mark.parametrize("engine", ["model", "speaker"])
async def test_a_stream_that_stalls(server: OpenAIServer, engine: str) -> None:
    server.script.hang_after = 1
    with pytest.raises(EngineError, match="did not answer in time") as error:
        await ask(engine, server, timeout_s=0.2)
    assert error.value.retryable


@pytest.mark.parametrize("engine", ["model", "speaker"])
async def test_a_stream_that_breaks_off(server: OpenAIServer, engine: str) -> None:
    server.script.truncate_after = 1
    with pytest.raises(EngineError, match="broke off its answer") as error:
        await ask(engine, server)
    assert error.value.retryable


async def test_a_stream_that_ends_without_an_end(server: OpenAIServer) -> None:
    server.script.end_after = 2
    with pytest.raises(EngineError, match="before its end") as error:
        await ask("model", server)
    assert error.value.retryable


@pytest.mark.parametrize("engine", ["model", "transcriber"])
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"<html>busy</html>",
        b"data: {nonsense\n\n",
        b"data: 7\n\n",
        b'data: {"choices": 3}\n\n',
        b'data: {"choices": [{"delta": null}]}\n\n',
        b'data: {"error": {"message": "sk-do-not-tell"}}\n\n',
        b'{"text": 7}',
        b"\xff\xfe\x00",
    ],
)
async def test_garbage_is_an_engine_error(server: OpenAIServer, engine: str, garbage: bytes) -> None:
    server.script.body = garbage
    with pytest.raises(EngineError) as error:
        await ask(engine, server)
    assert error.value.retryable
    assert silent(error)


@pytest.mark.parametrize("engine", ["model", "transcriber"])
async def test_a_page_where_an_answer_should_be_is_named_by_its_type(server: OpenAIServer, engine: str) -> None:
    """A wrong ``base_url`` is often the address of a page that answers 200 to everything."""
    server.script.body = b"<html>Please log in</html>"
    with pytest.raises(EngineError, match=r"sent what cannot be understood \(text/plain, ") as error:
        await ask(engine, server)
    assert "log in" not in str(error.value)


async def test_a_closed_engine_says_so(server: OpenAIServer, model: OpenAIModel) -> None:
    await model.aclose()
    with pytest.raises(EngineError):
        await generated(model)


async def ask(engine: str, server: OpenAIServer, **more: Any) -> None:
    """One request to a new engine of the kind."""
    match engine:
        case "model":
            model = OpenAIModel(OpenAIModelSettings(**settings(server, **more)))
            try:
                await generated(model)
            finally:
                await model.aclose()
        case "speaker":
            speaker = OpenAISpeaker(OpenAIVoiceSettings(**settings(server, voice="alloy", **more)))
            try:
                await spoken(speaker)
            finally:
                await speaker.aclose()
        case "transcriber":
            transcriber = OpenAITranscriber(OpenAITranscriberSettings(**settings(server, **more)))
            try:
                await transcribed(transcriber)
            finally:
                await transcriber.aclose()
