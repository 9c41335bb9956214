"""Whole calls in voices of their own: a real server, a real client, a real HTTP server behind the voice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from antiphon.client.caller import Caller, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from antiphon.errors import RequestError
from tests.conftest import RealServer
from tests.support.openai_server import OpenAIServer

RATE = 16_000
MEDIUM = {"serverWebSocket": {"inputSampleRate": RATE}}
GREETING = "Hello there."


@pytest.fixture
def speech() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        server.script.pcm = (np.sin(np.arange(24_000) / 10) * 8_000).astype("<i2").tobytes()
        yield server


def external(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    return {
        "url": f"{server.base_url}/audio/speech",
        "headers": {"Authorization": "Bearer secret-of-mine"},
        "body": {"input": "{text}", "voice": "shimmer"},
        "responseSampleRate": 24_000,
        **more,
    }


async def greeted(server: RealServer, **body: Any) -> tuple[str, Caller]:
    """A call that has said its greeting, or has ended: its id, and what came of it."""
    given = {
        "medium": {"serverWebSocket": {"inputSampleRate": RATE, "clientBufferSizeMs": 30_000}},
        "firstSpeakerSettings": {"agent": {"text": GREETING}},
        **body,
    }
    async with Api(server.url, server.key) as api:
        call = await api.create_call(given)
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        await caller.until_message(lambda message: bool(message.body.get("final")), after_s=0.0, timeout_s=20)
    return call["callId"], caller


def heard_s(caller: Caller) -> float:
    return sum(chunk.samples for chunk in caller.chunks) / RATE


async def test_a_voice_that_the_call_brings_along(speech: OpenAIServer, open_server: RealServer) -> None:
    call_id, caller = await greeted(open_server, externalVoice={"generic": external(speech)})
    assert heard_s(caller) == pytest.approx(1.0, abs=0.1)
    (request,) = speech.requests
    assert request.json == {"input": GREETING, "voice": "shimmer"}
    assert request.headers["authorization"] == "Bearer secret-of-mine"
    async with Api(open_server.url, open_server.key) as api:
        call = await api.get_call(call_id)
    assert call["voice"] is None
    assert call["externalVoice"]["generic"]["url"] == external(speech)["url"]
    assert "secret-of-mine" not in open_server.log.read_text()


async def test_a_stage_may_bring_a_voice_and_the_next_leave_it(speech: OpenAIServer, open_server: RealServer) -> None:
    def changing(number: int, **stage: Any) -> dict[str, Any]:
        return {
            "type": "forced_agent_message",
            "toolCalls": [{"id": f"{number}", "name": "change"}],
            "knownToolResults": [
                {"invocationId": f"{number}", "responseType": "new-stage", "result": json.dumps(stage)}
            ],
        }

    def words(count: int) -> Callable[[], bool]:
        return lambda: sum(bool(message.body.get("final")) for message in caller.received) == count

    tool = {"temporaryTool": {"modelToolName": "change", "client": {}}}
    given = {
        "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
        "firstSpeakerSettings": {"user": {}},
        "selectedTools": [tool],
    }
    async with Api(open_server.url, open_server.key) as api:
        call = await api.create_call(given)
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            await caller.send(changing(1, externalVoice={"generic": external(speech)}))
            await caller.until(words(1), timeout_s=20)
            asked = len(speech.requests)
            assert asked
            await caller.send(changing(2, voice="Mark"))
            await caller.until(words(2), timeout_s=20)
        assert len(speech.requests) == asked
        stages = (await api.get(f"/api/calls/{call['callId']}/stages"))["results"]
    shown = [(stage["voice"], "externalVoice" in stage) for stage in stages]
    assert shown == [("Mark", False), (None, True), ("Mark", False)]


async def test_a_voice_that_fails_is_on_record_and_the_call_ends(speech: OpenAIServer, real_server: RealServer) -> None:
    async with Api(real_server.url, real_server.key) as api:  # which reaches nothing of its own surroundings
        call = await api.create_call({"medium": MEDIUM, "externalVoice": {"generic": external(speech)}})
        async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            await caller.until_closed(timeout_s=20)
        events = await api.events(call["callId"])
        failed = [event["text"] for event in events if event["type"] == "speaking_failed"]
        assert failed
        assert "not a public address" in failed[0]
        assert (await api.get_call(call["callId"]))["endReason"] == "system_error"
    assert speech.requests == []


async def test_a_voice_that_speaks_faster_for_one_call(real_server: RealServer) -> None:
    _, usual = await greeted(real_server, voice="Mark")
    _, fast = await greeted(real_server, voice="Mark", voiceOverrides={"elevenLabs": {"speed": 1.2}})
    assert heard_s(fast) == pytest.approx(heard_s(usual) / 1.2, rel=0.1)


async def test_what_a_voice_cannot_do_is_an_event_of_the_call(real_server: RealServer) -> None:
    async with Api(real_server.url, real_server.key) as api:
        overrides = {"elevenLabs": {"stability": 0.5}}
        call = await api.create_call({"medium": MEDIUM, "voice": "Mark", "voiceOverrides": overrides})
        (event,) = await api.events(call["callId"])
    assert (event["type"], event["severity"]) == ("voice_override_unused", "warning")
    assert event["extras"] == {"fields": ["voiceOverrides.elevenLabs.stability"]}


@pytest.mark.parametrize("provider", ["elevenLabs", "cartesia", "lmnt", "google", "inworld", "respeecher"])
async def test_a_provider_without_an_engine_is_refused(real_server: RealServer, provider: str) -> None:
    async with Api(real_server.url, real_server.key) as api:
        with pytest.raises(RequestError, match=rf"externalVoice\.{provider}"):
            await api.create_call({"medium": MEDIUM, "externalVoice": {provider: {}}})
