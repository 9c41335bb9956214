"""Voices that calls bring along, against a real server on a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import numpy as np
import pytest

from antiphon.engines import generic_speaker
from antiphon.engines.generic_speaker import GenericApi, GenericSpeaker
from antiphon.engines.protocols import Samples
from antiphon.errors import EngineError
from tests.support.openai_server import OpenAIServer, Script

KEY = "Token sk-do-not-tell"
SOUND = (np.sin(np.arange(5_000) / 7) * 12_000).astype("<i2")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        running.script.pcm = SOUND.tobytes()
        yield running


def api(server: OpenAIServer, **more: Any) -> GenericApi:
    body = {"voice": {"name": "Jo"}, "parts": ["{text}", 7], "again": "<s>{text}</s>"}
    fields: dict[str, Any] = {
        "url": f"{server.base_url}/audio/speech",
        "body": body,
        "headers": {"Authorization": KEY},
        "rate": 16_000,
    }
    return GenericApi(**{**fields, **more})


async def spoken(voice: GenericApi, text: str = 'Say "hi" {now}, Zoë.') -> list[Samples]:
    async with httpx.AsyncClient(trust_env=False) as client:
        return [samples async for samples in GenericSpeaker(voice, client).speak(text)]


async def test_the_text_goes_where_its_place_is(server: OpenAIServer) -> None:
    server.script.chunk = 333
    assert (np.concatenate(await spoken(api(server))) == SOUND).all()
    (request,) = server.requests
    text = 'Say "hi" {now}, Zoë.'
    assert request.json == {"voice": {"name": "Jo"}, "parts": [text, 7], "again": f"<s>{text}</s>"}
    assert request.headers["authorization"] == KEY
    assert request.headers["content-type"] == "application/json"


async def test_headers_of_the_voices_own(server: OpenAIServer) -> None:
    await spoken(api(server, headers={"content-type": "application/json; v=2", "X-Name": "Zoë"}))
    assert server.requests[0].headers["content-type"] == "application/json; v=2"
    assert server.requests[0].headers["x-name"].encode("latin-1").decode() == "Zoë"


async def test_nothing_to_say_asks_nobody(server: OpenAIServer) -> None:
    assert await spoken(api(server), " \n") == []
    assert server.requests == []


@pytest.mark.parametrize(
    ("content_type", "mime"),
    [
        ("audio/l16; rate=16000; channels=1", None),
        ("audio/pcm", None),
        ("application/octet-stream", None),
        ("audio/wav", None),  # a server that leaves the header out
        ("text/html", "audio/l16"),
    ],
)
async def test_raw_pcm_under_many_names(server: OpenAIServer, content_type: str, mime: str | None) -> None:
    server.script.content_type = content_type
    assert (np.concatenate(await spoken(api(server, mime=mime))) == SOUND).all()


async def test_a_mime_type_may_tell_the_rate(server: OpenAIServer) -> None:
    server.script.content_type = "audio/L16; rate=8000"
    assert len(np.concatenate(await spoken(api(server, rate=None)))) == 3 * len(SOUND)


@pytest.mark.parametrize(
    ("content_type", "mime"), [("application/json; charset=utf-8", None), ("application/json", "application/jsonl")]
)
async def test_sound_within_json(server: OpenAIServer, content_type: str, mime: str | None) -> None:
    answer = {"result": {"audioContent": base64.b64encode(SOUND.tobytes()).decode()}}
    server.script.pcm, server.script.content_type = json.dumps(answer).encode() + b"\n", content_type
    voice = api(server, mime=mime, audio_path="result.audioContent")
    assert (np.concatenate(await spoken(voice)) == SOUND).all()


@pytest.mark.parametrize(
    ("script", "more", "retryable", "says"),
    [
        (Script(status=401), {}, False, "answered 401: .*wrong"),
        (Script(status=302), {}, False, "answered 302"),
        (Script(status=429), {}, True, "answered 429"),
        (Script(status=500), {}, True, "answered 500"),
        (Script(content_type="audio/mpeg"), {}, False, "audio/mpeg; possible are"),
        (Script(content_type="application/json"), {}, False, "jsonAudioFieldPath is not set"),
        (Script(content_type="application/json", pcm=b"{}"), {"audio_path": "a"}, False, "nothing at a"),
        (Script(), {"rate": None}, False, "responseSampleRate is not set"),
        (Script(pcm=b""), {}, True, "without any sound"),
        (Script(truncate_after=1), {}, True, "broke off"),
    ],
)
async def test_a_failure_says_what_is_wrong(
    server: OpenAIServer, script: Script, more: dict[str, Any], retryable: bool, says: str
) -> None:
    server.script = script
    with pytest.raises(EngineError, match=says) as error:
        await spoken(api(server, **more))
    assert error.value.retryable is retryable
    assert str(error.value).startswith("the voice at 127.0.0.1 ")
    assert "do-not-tell" not in str(error.value)


async def test_a_server_that_is_not_there() -> None:
    with OpenAIServer() as gone:
        voice = api(gone)
    with pytest.raises(EngineError, match="cannot be reached"):
        await spoken(voice)


async def test_a_server_that_does_not_answer(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generic_speaker, "TIMEOUT_S", 0.2)
    server.script.hang_before = True
    with pytest.raises(EngineError, match="did not answer in time"):
        await spoken(api(server))


async def test_an_endless_answer_is_cut(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generic_speaker, "MAX_ANSWER_BYTES", 4_000)
    with pytest.raises(EngineError, match="more than 4000 bytes"):
        await spoken(api(server))


@pytest.fixture
async def speaker(server: OpenAIServer) -> AsyncIterator[GenericSpeaker]:
    made = GenericSpeaker(api(server), httpx.AsyncClient(trust_env=False))
    yield made
    await made.aclose()


async def test_sound_comes_before_the_answer_is_whole(server: OpenAIServer, speaker: GenericSpeaker) -> None:
    server.script.hang_after = 2
    async with aclosing(speaker.speak("Good morning.")) as speech:  # type: ignore[type-var]
        assert len(await anext(speech)) == 500
    assert await asyncio.to_thread(server.disconnected.wait, 5)


async def test_the_next_clause_takes_the_same_connection(server: OpenAIServer, speaker: GenericSpeaker) -> None:
    for text in ("One.", "Two."):
        assert [samples async for samples in speaker.speak(text)]
    assert len({request.client for request in server.requests}) == 1


async def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def elsewhere(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(307, headers={"Location": "https://elsewhere.example"}, stream=httpx.ByteStream(b""))

    voice = GenericApi("https://speech.example", {"text": "{text}"})
    async with httpx.AsyncClient(transport=httpx.MockTransport(elsewhere), follow_redirects=True) as client:
        with pytest.raises(EngineError, match="answered 307"):
            await anext(GenericSpeaker(voice, client).speak("Hi."))
    assert asked == ["https://speech.example"]


@pytest.mark.parametrize(
    ("body", "there"),
    [({"a": [{"b": "x{text}"}]}, True), ({"{text}": "a"}, False), ({"a": "{ text }", "b": 1, "c": None}, False)],
)
def test_there_has_to_be_a_place_for_the_text(body: dict[str, Any], there: bool) -> None:
    assert GenericApi("https://a.example", body).has_placeholder is there
