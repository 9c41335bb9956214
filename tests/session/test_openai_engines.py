"""Whole calls through an OpenAI-compatible server for each of the three stages, as the configuration page shows it."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from antiphon.client.caller import join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from tests.conftest import running_server
from tests.support.openai_server import OpenAIServer

RATE = 16_000

CONFIG = """
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "none" }}

[transcriber]
engine = "openai"
base_url = "{url}"
model = "whisper-1"

[models."ultravox-v0.7"]
engine = "openai"
base_url = "{url}"
model = "some-model"
audio_input = {audio_input}

[voices.Mark]
engine = "openai"
base_url = "{url}"
model = "tts-1"
voice = "alloy"
sample_rate = 24000
"""


@pytest.fixture
def engines() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.script.text = "What time is it?"
        server.script.tokens = ("It", " is", " noon", ".")
        server.script.pcm = (np.sin(np.arange(24_000) / 10) * 8_000).astype("<i2").tobytes()
        yield server


async def one_turn(url: str, key: str) -> tuple[list[dict[str, Any]], int]:
    """Say something; the messages until the agent listens again, and the samples of its answer."""
    body = {
        "systemPrompt": "Be brief.",
        "firstSpeakerSettings": {"user": {}},
        "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
    }
    async with Api(url, key) as api:
        call = await api.create_call(body)
    tone = (np.sin(np.arange(RATE) / 5) * 8_000).astype(np.int16)
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        said = await caller.say(tone)
        for state in ("speaking", "listening"):
            await caller.until_message(
                lambda message, state=state: message.body.get("state") == state,  # type: ignore[misc]
                after_s=said.ended_s,
                timeout_s=20,
            )
        finals = [message.body for message in caller.received if message.body.get("final")]
        return finals, sum(chunk.samples for chunk in caller.chunks)


async def test_three_stages_by_one_openai_server(engines: OpenAIServer, tmp_path: Path) -> None:
    config = CONFIG.format(url=engines.base_url, audio_input="false")
    async with running_server(tmp_path, config) as server:
        finals, samples = await one_turn(server.url, server.key)
    assert [(final["role"], final["text"]) for final in finals] == [
        ("user", "What time is it?"),
        ("agent", "It is noon."),
    ]
    assert samples == pytest.approx(RATE, abs=RATE // 100)
    asked = next(request for request in engines.requests if request.path.endswith("completions"))
    assert asked.json["model"] == "some-model"
    assert [message["role"] for message in asked.json["messages"]] == ["system", "user"]
    assert asked.json["messages"][1]["content"] == "What time is it?"
    spoken = next(request for request in engines.requests if request.path.endswith("speech"))
    assert (spoken.json["input"], spoken.json["voice"], spoken.json["response_format"]) == (
        "It is noon.",
        "alloy",
        "pcm",
    )


async def test_a_speech_model_is_given_the_callers_voice(engines: OpenAIServer, tmp_path: Path) -> None:
    config = CONFIG.format(url=engines.base_url, audio_input="true")
    async with running_server(tmp_path, config) as server:
        finals, _ = await one_turn(server.url, server.key)
    assert {final["role"]: final["text"] for final in finals} == {"user": "What time is it?", "agent": "It is noon."}
    assert {final["role"]: final["ordinal"] for final in finals} == {"user": 0, "agent": 1}
    asked = next(request for request in engines.requests if request.path.endswith("completions"))
    (part,) = [part for part in asked.json["messages"][-1]["content"] if part["type"] == "input_audio"]
    with wave.open(io.BytesIO(base64.b64decode(part["input_audio"]["data"]))) as heard:
        assert heard.getframerate() == RATE
        assert 1.0 <= heard.getnframes() / RATE <= 1.8


async def test_an_openai_server_that_fails_is_apologised_for(engines: OpenAIServer, tmp_path: Path) -> None:
    config = CONFIG.format(url=engines.base_url, audio_input="false")
    broken = "http://127.0.0.1:9/v1"
    config = config.replace(
        f'base_url = "{engines.base_url}"\nmodel = "some-model"', f'base_url = "{broken}"\nmodel = "m"'
    )
    async with running_server(tmp_path, config) as server:
        finals, _ = await one_turn(server.url, server.key)
    assert finals[1]["text"].startswith("Sorry")


FALLBACKS = """
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "none" }}

transcriber = {{ engine = "openai", base_url = "{broken}", model = "m", fallback = "spare" }}
transcribers.spare = {{ engine = "openai", base_url = "{url}", model = "whisper-1" }}

models.main = {{ engine = "openai", base_url = "{broken}", model = "m", fallback = "spare" }}
models.spare = {{ engine = "openai", base_url = "{url}", model = "some-model" }}

voices.main = {{ engine = "openai", base_url = "{broken}", model = "m", voice = "alloy", fallback = "spare" }}
voices.spare = {{ engine = "openai", base_url = "{url}", model = "tts-1", voice = "alloy", sample_rate = 48000 }}
"""


async def test_fallbacks_answer_for_servers_that_are_gone(engines: OpenAIServer, tmp_path: Path) -> None:
    config = FALLBACKS.format(url=engines.base_url, broken="http://127.0.0.1:9/v1")
    async with running_server(tmp_path, config) as server:
        finals, samples = await one_turn(server.url, server.key)
        async with httpx.AsyncClient(base_url=server.url, headers={"X-API-Key": server.key}) as client:
            call = (await client.get("/api/calls")).json()["results"][0]["callId"]
            events = (await client.get(f"/api/calls/{call}/events", params={"minimum_severity": "warning"})).json()
            counted = (await client.get("/metrics")).text
    assert [final["text"] for final in finals] == ["What time is it?", "It is noon."]
    assert samples == pytest.approx(RATE / 2, abs=RATE // 100)  # the spare's rate, brought to the first one's
    noted = [event for event in events["results"] if event["type"] == "engine_fallback"]
    assert {event["extras"]["stage"] for event in noted} == {"transcriber", "model", "voice"}
    assert all(event["extras"]["fallback"] == "spare" and "cannot be reached" in event["text"] for event in noted)
    assert 'antiphon_engine_fallbacks_total{engine="main",stage="voice"}' in counted
