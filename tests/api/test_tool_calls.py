"""Whole calls that use tools: a real server, a real client, a real HTTP server behind the tool."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from antiphon.client.caller import Caller, Received, join
from antiphon.client.rest import Api
from antiphon.client.voice import Voice
from tests.conftest import SCRIPTED, RealServer, running_server

T = TypeVar("T")

RATE = 16_000


class Weather(BaseHTTPRequestHandler):
    """Answers every request; keeps what was asked."""

    asked: list[dict[str, Any]]
    headers_back: dict[str, str]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append({"path": self.path, "body": body, "key": self.headers["X-Weather-Key"]})  # type: ignore[attr-defined]
        answer = b'{"sky": "blue"}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        for name, value in self.server.headers_back.items():  # type: ignore[attr-defined]
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def weather() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Weather)
    server.asked, server.headers_back = [], {}  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def config(reply: str, *, private: bool = True) -> str:
    replies = json.dumps([reply, "Done with that."])
    models = f'models.scripted = {{ engine = "scripted", replies = {replies} }}'
    lines = [line for line in SCRIPTED.splitlines() if not line.startswith("models.")]
    return "\n".join([*lines, models, f"tools.allow_private = {str(private).lower()}"])


@asynccontextmanager
async def joined(server: RealServer, **body: Any) -> AsyncIterator[tuple[Caller, str]]:
    medium = {"serverWebSocket": {"inputSampleRate": RATE, "dataMessages": {"toolUsed": True, "invokingTool": True}}}
    async with Api(server.url, server.key) as api:
        call = await api.create_call({"medium": medium, "firstSpeakerSettings": {"user": {}}, **body})
    async with join(call["joinUrl"], Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        yield caller, call["callId"]


def tone() -> Any:
    return (np.sin(np.arange(RATE // 2) / 5) * 8_000).astype(np.int16)


def said(text: str) -> Any:
    return lambda message: message.body.get("final") and message.body.get("text") == text


async def eventually(ask: Callable[[], Awaitable[T]], good: Callable[[T], bool]) -> T:
    """What ``ask`` answers once that is ``good``."""
    async with asyncio.timeout(10):
        while True:
            if good(answer := await ask()):
                return answer
            await asyncio.sleep(0.05)


async def recorded(server: RealServer, call_id: str, count: int) -> list[tuple[str, str]]:
    """Role and text of the call's messages, once there are ``count``."""
    async with Api(server.url, server.key) as api:
        messages = await eventually(lambda: api.messages(call_id), lambda found: len(found) >= count)
    return [(message["role"].removeprefix("MESSAGE_ROLE_"), message["text"]) for message in messages]


async def test_a_client_tool(tmp_path: Path) -> None:
    tool = {
        "modelToolName": "getColor",
        "description": "The color of a thing.",
        "dynamicParameters": [
            {"name": "thing", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}, "required": True}
        ],
        "client": {},
    }
    reply = 'Let me see. [[tool getColor {"thing": "sky"}]]'
    async with (
        running_server(tmp_path, config(reply)) as server,
        joined(server, selectedTools=[{"temporaryTool": tool}]) as (caller, call_id),
    ):
        await caller.say(tone())
        asked = await caller.until_message(lambda m: m.type == "client_tool_invocation", timeout_s=20)
        assert (asked.body["toolName"], asked.body["parameters"]) == ("getColor", {"thing": "sky"})
        spoken = [m.at for m in caller.received if said("Let me see.")(m)]
        assert spoken
        assert spoken[0] <= asked.at
        result = {"type": "client_tool_result", "invocationId": asked.body["invocationId"], "result": "blue"}
        await caller.send(result)
        await caller.send(result)
        await caller.until_message(said("Done with that."), timeout_s=20)
        messages = await recorded(server, call_id, 5)
    assert messages == [
        ("USER", "Hello, can you hear me?"),
        ("AGENT", "Let me see."),
        ("TOOL_CALL", '{"thing": "sky"}'),
        ("TOOL_RESULT", "blue"),
        ("AGENT", "Done with that."),
    ]
    assert [m.type for m in caller.received if m.type in ("invoking_tool", "tool_used")] == [
        "invoking_tool",
        "tool_used",
    ]


def http_tool(weather: ThreadingHTTPServer) -> dict[str, Any]:
    return {
        "temporaryTool": {
            "modelToolName": "weather",
            "description": "The weather in a city.",
            "dynamicParameters": [
                {"name": "city", "location": "PARAMETER_LOCATION_PATH", "schema": {"type": "string"}, "required": True}
            ],
            "staticParameters": [{"name": "unit", "location": "PARAMETER_LOCATION_BODY", "value": "celsius"}],
            "automaticParameters": [
                {"name": "call", "location": "PARAMETER_LOCATION_BODY", "knownValue": "KNOWN_PARAM_CALL_ID"}
            ],
            "requirements": {
                "httpSecurityOptions": {
                    "options": [{"requirements": {"key": {"headerApiKey": {"name": "X-Weather-Key"}}}}]
                }
            },
            "http": {"baseUrlPattern": f"http://127.0.0.1:{weather.server_port}/in/{{city}}", "httpMethod": "POST"},
        },
        "authTokens": {"key": "secret"},
    }


async def test_an_http_tool(weather: ThreadingHTTPServer, tmp_path: Path) -> None:
    reply = '[[tool weather {"city": "New York"}]]'
    async with (
        running_server(tmp_path, config(reply)) as server,
        joined(server, selectedTools=[http_tool(weather)]) as (caller, call_id),
    ):
        await caller.say(tone())
        await caller.until_message(said("Done with that."), timeout_s=20)
        messages = await recorded(server, call_id, 4)
    asked = weather.asked  # type: ignore[attr-defined]
    assert asked == [{"path": "/in/New%20York", "body": {"unit": "celsius", "call": call_id}, "key": "secret"}]
    assert messages[2] == ("TOOL_RESULT", '{"sky": "blue"}')


async def test_an_http_tool_is_not_aimed_at_the_servers_own_insides(
    weather: ThreadingHTTPServer, tmp_path: Path
) -> None:
    reply = '[[tool weather {"city": "Rome"}]]'
    async with (
        running_server(tmp_path, config(reply, private=False)) as server,
        joined(server, selectedTools=[http_tool(weather)]) as (caller, call_id),
    ):
        await caller.say(tone())
        await caller.until_message(said("Done with that."), timeout_s=20)
        async with Api(server.url, server.key) as api:
            result = (await api.messages(call_id))[2]
    assert weather.asked == []  # type: ignore[attr-defined]
    assert "weather" in result["text"]
    assert len(result["text"]) < 200
    assert "127.0.0.1" in result["errorDetails"]


async def test_a_tool_that_hangs_up_does_so_after_the_words(tmp_path: Path) -> None:
    reply = "Good bye then. [[tool hangUp]]"
    async with (
        running_server(tmp_path, config(reply)) as server,
        joined(server, selectedTools=[{"toolName": "hangUp"}]) as (caller, call_id),
    ):
        await caller.say(tone())
        assert (await caller.until_closed(20))[0] == 1000
        last: Received = [m for m in caller.received if m.body.get("final")][-1]
        assert last.body["text"] == "Good bye then."
        async with Api(server.url, server.key) as api:
            call = await eventually(lambda: api.get_call(call_id), lambda call: call["ended"] is not None)
    assert call["endReason"] == "agent_hangup"


async def test_tones_are_heard(tmp_path: Path) -> None:
    reply = '[[tool playDtmfSounds {"digits": "12"}]]'
    async with (
        running_server(tmp_path, config(reply)) as server,
        joined(server, selectedTools=[{"toolName": "playDtmfSounds"}]) as (caller, _),
    ):
        await caller.say(tone())
        await caller.until_message(lambda m: m.type == "tool_used", timeout_s=20)
        heard = caller.playback.heard()
    first = np.flatnonzero(heard)[0]
    spectrum = np.abs(np.fft.rfft(heard[first : first + RATE // 20], RATE))
    low, high = int(np.argmax(spectrum[:1000])), 1000 + int(np.argmax(spectrum[1000:2000]))
    assert low == pytest.approx(697, abs=15)
    assert high == pytest.approx(1209, abs=15)
