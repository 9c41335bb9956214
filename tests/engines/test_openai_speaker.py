"""A voice behind an OpenAI-compatible server, on a real socket."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from antiphon.engines.openai_speaker import OpenAISpeaker
from antiphon.engines.settings import OpenAIVoiceSettings
from antiphon.engines.tuning import Tuning
from antiphon.errors import EngineError
from tests.engines.openai_parts import settings, spoken
from tests.support.openai_server import OpenAIServer, Script


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
