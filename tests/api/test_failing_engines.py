"""A real server whose engines fail: the log says why, the call's events and ``/readyz`` do, and nobody is quoted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import pytest_asyncio

from antiphon.client.caller import join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from tests.conftest import RealServer, running_server
from tests.support.openai_server import OpenAIServer

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

RATE = 16_000
SAID = "My secret number is 4711 0815"
KEY = "sk-do-not-tell"
CONFIG = """
log = {{ format = "json" }}
turns = {{ first_words_patience_s = 1.0 }}
voice_activity = {{ engine = "scripted" }}
end_of_turn = {{ engine = "none" }}
transcriber = {{ engine = "openai", base_url = "{url}", model = "whisper-1", api_key = "sk-do-not-tell" }}
models.main = {{ engine = "openai", base_url = "{url}", model = "m", api_key = "sk-do-not-tell" }}
models.spare = {{ engine = "scripted", replies = ["Here I am."] }}
models.chain = {{ engine = "openai", base_url = "{url}", model = "m", connect_timeout_s = 3, fallback = "spare" }}
models.nowhere = {{ engine = "openai", base_url = "http://127.0.0.1:1/v1", model = "m" }}
voices.remote = {{ engine = "openai", base_url = "{url}", model = "tts-1", voice = "alloy" }}
voices.local = {{ engine = "scripted", character_ms = 20 }}
"""


@pytest.fixture(scope="module")
def engines() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(engines: OpenAIServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    folder = tmp_path_factory.mktemp("failing")
    async with running_server(folder, CONFIG.format(url=engines.base_url)) as running:
        yield running


@pytest.fixture(autouse=True)
def _well(engines: OpenAIServer) -> None:
    script = type(engines.script)(text=SAID)
    script.pcm = (np.sin(np.arange(12_000) / 10) * 8_000).astype("<i2").tobytes()
    engines.script = script
    engines.requests.clear()


async def hold(server: RealServer, **call: Any) -> tuple[str, list[dict[str, Any]]]:
    """A call in which something is said and an answer, or an apology, is waited for; its id and its events."""
    body = {
        "systemPrompt": "The account of the caller is in arrears.",
        "firstSpeakerSettings": {"user": {}},
        "medium": {"serverWebSocket": {"inputSampleRate": RATE}},
        "voice": "local",
        **call,
    }
    tone = (np.sin(np.arange(RATE) / 5) * 8_000).astype(np.int16)
    async with Api(server.url, server.key) as api:
        created = await api.create_call(body)
        async with join(created["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
            said = await caller.say(tone)
            await caller.until_message(
                lambda message: message.body.get("role") == "agent" and bool(message.body.get("final")),
                after_s=said.ended_s,
                timeout_s=30,
            )
        call_id: str = created["callId"]
        async with asyncio.timeout(10):
            while (await api.get_call(call_id))["ended"] is None:
                pass
        return call_id, await api.events(call_id)


def lines(server: RealServer, event: str, engine: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == event and line.get("engine") == engine]


def quotes_nobody(server: RealServer, events: list[dict[str, Any]]) -> None:
    for text in (server.log.read_text(), json.dumps(events)):
        for secret in ("4711", "0815", "secret number", "arrears", KEY):
            assert secret not in text


async def readyz(server: RealServer) -> httpx.Response:
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        return await client.get("/readyz")


async def failing(server: RealServer) -> dict[str, str]:
    return {one["engine"]: one["error"] for one in (await readyz(server)).json()["failing"]}


async def test_a_model_that_refuses_is_in_the_log_in_the_events_and_in_readyz_with_its_reason(
    server: RealServer, engines: OpenAIServer
) -> None:
    engines.script.refusal = {"error": {"message": f"cannot read '{SAID}' with {KEY}: context too long"}}
    engines.script.refuses = "/v1/chat/completions"
    engines.script.status = 400
    call_id, events = await hold(server, model="main")
    failed = [event for event in events if event["type"] == "generation_failed"]
    assert failed
    assert f"127.0.0.1:{engines.port} answered 400: cannot read" in failed[0]["text"]
    assert "context too long" in failed[0]["text"]
    (line,) = lines(server, "engine_failed", "model main")
    assert line["call_id"] == call_id
    assert line["error"] == failed[0]["text"]
    assert line["level"] == "warning"
    assert (await failing(server))["model main"] == line["error"]
    assert (await readyz(server)).json()["status"] == "degraded"
    quotes_nobody(server, events)


async def test_every_request_for_a_call_says_which(server: RealServer, engines: OpenAIServer) -> None:
    call_id, _ = await hold(server, model="main", voice="remote")
    asked = {request.path.rpartition("/")[2] for request in engines.requests}
    assert asked == {"transcriptions", "completions", "speech"}
    assert {request.headers.get("x-antiphon-call-id") for request in engines.requests} == {call_id}
    assert "model main" not in await failing(server), "it works again"


async def test_calls_at_the_same_time_are_not_mixed_up(server: RealServer, engines: OpenAIServer) -> None:
    ids = {
        call_id for call_id, _ in await asyncio.gather(*(hold(server, model="main", voice="remote") for _ in range(4)))
    }
    for path in ("transcriptions", "completions", "speech"):
        told = [r.headers.get("x-antiphon-call-id") for r in engines.requests if r.path.endswith(path)]
        assert set(told) == ids


async def test_an_engine_that_is_not_there_says_so_and_a_fallback_that_works_keeps_the_server_ready(
    server: RealServer, engines: OpenAIServer
) -> None:
    _, events = await hold(server, model="nowhere")
    (line,) = lines(server, "engine_failed", "model nowhere")
    assert "127.0.0.1:1 cannot be reached (Connection refused)" in line["error"]
    assert line["error"] in [event["text"] for event in events]
    engines.script.status = 503
    engines.script.refuses = "/v1/chat/completions"
    call_id, events = await hold(server, model="chain")
    (fell_back,) = [event for event in events if event["type"] == "engine_fallback"]
    assert "answered 503: wrong" in fell_back["text"]
    (line,) = lines(server, "engine_failed", "model chain")
    assert line["call_id"] == call_id
    assert lines(server, "engine_fallback", "chain")
    assert (await readyz(server)).status_code == 200
    assert {"model chain", "model nowhere"} <= set(await failing(server))
    quotes_nobody(server, events)


async def test_a_model_that_hangs_is_told_of_too(server: RealServer, engines: OpenAIServer) -> None:
    engines.script.hangs = "/v1/chat/completions"
    await hold(server, model="main")
    assert "gave no answer" in (await failing(server))["model main"] or "left a reply" in str(await failing(server))


async def test_without_a_transcriber_the_server_is_not_ready_until_it_works_again(
    server: RealServer, engines: OpenAIServer
) -> None:
    engines.script.status = 500
    engines.script.refuses = "/v1/audio/transcriptions"
    _, events = await hold(server, model="spare")
    answer = await readyz(server)
    while answer.status_code == 200:
        _, events = await hold(server, model="spare")
        answer = await readyz(server)
    assert answer.status_code == 503
    assert answer.json()["broken"] == ["transcriber"]
    assert answer.headers["Retry-After"]
    assert [event for event in events if event["type"] == "transcription_failed" and "answered 500" in event["text"]]
    engines.script.status = 200
    await hold(server, model="spare")
    assert (await readyz(server)).status_code == 200
    quotes_nobody(server, events)
    assert len(lines(server, "engine_failed", "transcriber")) <= 2, "not a line for each failure"


async def test_any_worker_knows_what_the_others_found(engines: OpenAIServer, tmp_path: Path) -> None:
    engines.script.status = 500
    engines.script.refuses = "/v1/audio/transcriptions"
    config = "workers = 2\n" + CONFIG.format(url=engines.base_url)
    async with running_server(tmp_path, config) as several, asyncio.timeout(60):
        await asyncio.gather(*(hold(several, model="spare") for _ in range(4)))
        bodies = [(await readyz(several)).json() for _ in range(6)]  # each by whichever worker
        assert [body.get("broken") for body in bodies] == [["transcriber"]] * 6
        engines.script.status = 200
        await hold(several, model="spare")
        good = 0
        while good < 6:
            good = good + 1 if (await readyz(several)).json()["status"] == "ready" else 0
