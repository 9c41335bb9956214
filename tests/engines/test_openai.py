"""The engines for OpenAI-compatible servers, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
import wave
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from antiphon.call.history import ChatMessage, Prompt
from antiphon.engines.openai_model import OpenAIModel
from antiphon.engines.openai_speaker import OpenAISpeaker
from antiphon.engines.openai_transcriber import OpenAITranscriber
from antiphon.engines.protocols import Generated, Samples, TextDelta, Usage
from antiphon.engines.settings import OpenAIModelSettings, OpenAITranscriberSettings, OpenAIVoiceSettings
from antiphon.engines.tuning import Tuning
from antiphon.errors import EngineError
from tests.support.openai_server import OpenAIServer, Script

KEY = "sk-do-not-tell"
PROMPT = Prompt("call-1", "Be brief.", (ChatMessage("user", "Hello?"),), temperature=0.3)
FRAME = np.arange(512, dtype=np.int16)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def settings(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    return {
        "engine": "openai",
        "base_url": server.base_url,
        "model": "some-model",
        "api_key": SecretStr(KEY),
        "timeout_s": 5.0,
        **more,
    }


@pytest.fixture
async def model(server: OpenAIServer) -> AsyncIterator[OpenAIModel]:
    engine = OpenAIModel(OpenAIModelSettings(**settings(server)))
    yield engine
    await engine.aclose()


@pytest.fixture
async def speaker(server: OpenAIServer) -> AsyncIterator[OpenAISpeaker]:
    engine = OpenAISpeaker(OpenAIVoiceSettings(**settings(server, voice="alloy")))
    yield engine
    await engine.aclose()


@pytest.fixture
async def transcriber(server: OpenAIServer) -> AsyncIterator[OpenAITranscriber]:
    engine = OpenAITranscriber(OpenAITranscriberSettings(**settings(server)))
    yield engine
    await engine.aclose()


async def generated(model: OpenAIModel, prompt: Prompt = PROMPT, audio: Samples | None = None) -> list[Generated]:
    return [item async for item in model.generate(prompt, audio)]


async def spoken(speaker: OpenAISpeaker, text: str = "Good morning.") -> list[Samples]:
    return [samples async for samples in speaker.speak(text)]


async def transcribed(transcriber: OpenAITranscriber) -> str:
    transcription = transcriber.open("en-US")
    transcription.feed(FRAME, 0.9)
    return await transcription.text()


def silent(error: pytest.ExceptionInfo[EngineError]) -> bool:
    """Nothing secret and nobody's words in the error, nor in what it came from."""
    text = f"{error.value!r} {error.value.__suppress_context__}"
    return KEY not in text and "Hello?" not in text


# --- the language model


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


# --- the speaker


@pytest.mark.parametrize("chunk", [1, 7, 999, 1000, 100_000])
async def test_speech_survives_any_chunking(server: OpenAIServer, speaker: OpenAISpeaker, chunk: int) -> None:
    server.script.chunk = chunk
    server.script.pcm = np.arange(-600, 600, dtype="<i2").tobytes()
    pieces = await spoken(speaker)
    assert all(piece.dtype == np.int16 and piece.size for piece in pieces)
    assert (np.concatenate(pieces) == np.arange(-600, 600)).all()
    assert server.requests[0].json == {
        "model": "some-model",
        "voice": "alloy",
        "input": "Good morning.",
        "response_format": "pcm",
    }


async def test_half_a_sample_at_the_end_is_dropped(server: OpenAIServer, speaker: OpenAISpeaker) -> None:
    server.script.pcm = b"\x01\x00\x02\x00\x03"
    assert np.concatenate(await spoken(speaker)).tolist() == [1, 2]


async def test_nothing_to_say_asks_nobody(server: OpenAIServer, speaker: OpenAISpeaker) -> None:
    assert await spoken(speaker, " \n") == []
    assert server.requests == []


async def test_closing_speech_hangs_up_on_the_server(server: OpenAIServer, speaker: OpenAISpeaker) -> None:
    server.script.hang_after = 2
    async with aclosing(speaker.speak("Good morning.")) as speech:  # type: ignore[type-var]
        await anext(speech)
    assert await asyncio.to_thread(server.disconnected.wait, 5)


async def test_what_a_call_changes_about_a_voice_goes_along(server: OpenAIServer) -> None:
    voice = OpenAISpeaker(OpenAIVoiceSettings(**settings(server, voice="alloy", language_field="lang")))
    tuned = voice.tuned(Tuning(1.5, "de-AT", {"instructions": "Whisper."}))
    own = voice.tuned(Tuning(language="de-AT", fields={"lang": "d"}))
    for speaker in (tuned, own, voice):
        await spoken(speaker)
    await voice.aclose()
    asked = [{**request.json, "input": "", "response_format": ""} for request in server.requests]
    usual = {"model": "some-model", "voice": "alloy", "input": "", "response_format": ""}
    assert asked == [
        {**usual, "speed": 1.5, "lang": "de-AT", "instructions": "Whisper."},
        {**usual, "lang": "d"},
        usual,
    ]
    assert len({request.client for request in server.requests}) == 1
    with pytest.raises(ValueError, match=r"0\.25 to 4"):
        voice.tuned(Tuning(5.0))


async def test_a_server_without_a_field_for_the_language_is_not_told(
    server: OpenAIServer, speaker: OpenAISpeaker
) -> None:
    await spoken(speaker.tuned(Tuning(language="de-AT")))
    assert server.requests[0].json.keys() == {"model", "voice", "input", "response_format"}


@pytest.mark.parametrize(
    ("script", "retryable", "says"),
    [
        (Script(content_type="application/json"), False, "text where sound was asked for"),
        (Script(pcm=b"RIFF" + bytes(100)), False, "WAV"),
        (Script(pcm=b""), True, "without any sound"),
    ],
)
async def test_what_is_no_pcm_is_refused(
    server: OpenAIServer, speaker: OpenAISpeaker, script: Script, retryable: bool, says: str
) -> None:
    server.script = script
    with pytest.raises(EngineError, match=says) as error:
        await spoken(speaker)
    assert error.value.retryable is retryable


# --- the transcriber


async def test_an_utterance_is_posted_as_wav(server: OpenAIServer, transcriber: OpenAITranscriber) -> None:
    server.script.text = "  hello there "
    transcription = transcriber.open("en-US")
    transcription.feed(FRAME, 0.9)
    transcription.feed(FRAME[::-1], 0.9)
    assert await transcription.text() == "hello there"
    (request,) = server.requests
    assert request.form["model"] == "some-model"
    assert request.form["language"] == "en"
    assert (sound_of(request.file) == np.concatenate([FRAME, FRAME[::-1]])).all()


async def test_a_language_that_the_server_refuses_costs_no_words(
    server: OpenAIServer, transcriber: OpenAITranscriber
) -> None:
    server.script.refuses_language = True
    for _ in range(2):
        assert await transcribed(transcriber) == "hello there"
    assert [request.form.get("language") for request in server.requests] == ["en", None, None]


async def test_silence_asks_nobody(server: OpenAIServer, transcriber: OpenAITranscriber) -> None:
    transcription = transcriber.open(None)
    assert await transcription.text() == ""
    transcription.feed(FRAME, 0.01)
    assert await transcription.text() == ""
    assert server.requests == []


async def test_silence_after_the_words_asks_no_second_time(
    server: OpenAIServer, transcriber: OpenAITranscriber
) -> None:
    transcription = transcriber.open(None)
    transcription.feed(FRAME, 0.9)
    both = await asyncio.gather(transcription.text(), transcription.text())
    transcription.feed(FRAME, 0.0)
    assert {await transcription.text(), *both} == {"hello there"}
    assert len(server.requests) == 1
    assert "language" not in server.requests[0].form
    transcription.feed(FRAME, 0.5)
    server.script.text = "hello there you"
    assert await transcription.text() == "hello there you"
    assert len(sound_of(server.requests[1].file)) == 3 * 512


async def test_a_question_survives_the_one_who_asked_it(server: OpenAIServer, transcriber: OpenAITranscriber) -> None:
    """Speculation asks, is cancelled, and the end of the turn asks again: one request."""
    transcription = transcriber.open(None)
    transcription.feed(FRAME, 0.9)
    speculation = asyncio.ensure_future(transcription.text())
    await asyncio.wait([speculation], timeout=0)
    speculation.cancel()
    assert await transcription.text() == "hello there"
    assert len(server.requests) == 1


async def test_more_speech_hangs_up_on_a_question_nobody_waits_for(
    server: OpenAIServer, transcriber: OpenAITranscriber
) -> None:
    server.script.hang_before = True
    transcription = transcriber.open(None)
    transcription.feed(FRAME, 0.9)
    speculation = asyncio.ensure_future(transcription.text())
    while not server.requests:
        await asyncio.wait([speculation], timeout=0.01)
    speculation.cancel()
    server.script.hang_before = False
    transcription.feed(FRAME, 0.9)
    assert await transcription.text() == "hello there"
    assert await asyncio.to_thread(server.disconnected.wait, 5)


async def test_closing_an_utterance_hangs_up(server: OpenAIServer, transcriber: OpenAITranscriber) -> None:
    server.script.hang_before = True
    transcription = transcriber.open(None)
    transcription.feed(FRAME, 0.9)
    pending = asyncio.ensure_future(transcription.text())
    while not server.requests:
        await asyncio.wait([pending], timeout=0.01)
    transcription.close()
    with pytest.raises(asyncio.CancelledError):
        await pending
    assert await asyncio.to_thread(server.disconnected.wait, 5)


async def test_a_failed_question_is_asked_again(server: OpenAIServer, transcriber: OpenAITranscriber) -> None:
    server.script.status = 500
    transcription = transcriber.open(None)
    transcription.feed(FRAME, 0.9)
    with pytest.raises(EngineError):
        await transcription.text()
    server.script.status = 200
    assert await transcription.text() == "hello there"


# --- failures, of all three


@pytest.mark.parametrize("engine", ["model", "speaker", "transcriber"])
@pytest.mark.parametrize(
    ("status", "retryable"), [(400, False), (401, False), (404, False), (429, True), (500, True), (503, True)]
)
async def test_a_status_says_whether_to_try_again(
    server: OpenAIServer, engine: str, status: int, retryable: bool, request: pytest.FixtureRequest
) -> None:
    server.script.status = status
    with pytest.raises(EngineError, match=f"at 127.0.0.1:{server.port} answered {status}$") as error:
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


def sound_of(file: bytes) -> Samples:
    with wave.open(io.BytesIO(file)) as reader:
        assert (reader.getnchannels(), reader.getsampwidth(), reader.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(reader.readframes(reader.getnframes()), "<i2").astype(np.int16)
