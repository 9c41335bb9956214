"""Speech recognition behind an OpenAI-compatible server, on a real socket."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from antiphon.engines.openai_transcriber import OpenAITranscriber
from antiphon.errors import EngineError
from tests.engines.openai_parts import FRAME, sound_of, transcribed
from tests.support.openai_server import OpenAIServer


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
