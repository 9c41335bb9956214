"""What a client is shown that asks for further data messages as it joins, as the client SDKs do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from antiphon.client.rest import Api
from tests.api.test_tool_calls import config
from tests.conftest import RealServer, running_server

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOOL = {
    "temporaryTool": {
        "modelToolName": "getColor",
        "description": "The color of a thing.",
        "dynamicParameters": [
            {"name": "thing", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}, "required": True}
        ],
        "client": {},
    }
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealServer]:
    folder: Path = tmp_path_factory.mktemp("debug")
    async with running_server(folder, config('Let me see. [[tool getColor {"thing": "sky"}]]')) as running:
        yield running


@asynccontextmanager
async def heard_in_a_call(
    server: RealServer, added: str = "", data_messages: dict[str, Any] | None = None
) -> AsyncIterator[list[dict[str, Any]]]:
    """All messages of a written call in which one tool is used."""
    medium = {"serverWebSocket": {"inputSampleRate": 16_000, "dataMessages": data_messages or {}}}
    body = {"medium": medium, "firstSpeakerSettings": {"user": {}}, "selectedTools": [TOOL]}
    async with Api(server.url, server.key) as api:
        call = await api.create_call({**body, "initialOutputMedium": "MESSAGE_MEDIUM_TEXT"})
    heard: list[dict[str, Any]] = []
    async with connect(call["joinUrl"] + added, proxy=None) as socket:
        await socket.send(json.dumps({"type": "user_text_message", "text": "Which colour?"}))
        while not (heard and heard[-1].get("text") == "Done with that." and heard[-1]["final"]):
            heard.append(json.loads(await socket.recv()))
            if heard[-1]["type"] == "client_tool_invocation":
                invocation = heard[-1]["invocationId"]
                result = {"type": "client_tool_result", "invocationId": invocation, "result": 'a "deep" blue'}
                await socket.send(json.dumps(result))
    yield heard


@pytest.mark.parametrize(
    ("added", "data_messages"),
    [
        ("&additionalMessages=debug", None),
        ("&experimentalMessages=debug", None),
        ("&additionalMessages=&experimentalMessages=transcript,debug&apiVersion=1", None),
        ("", {"debug": True}),
    ],
)
async def test_debug_messages_show_tool_calls_and_their_results_as_documented(
    server: RealServer, added: str, data_messages: dict[str, Any] | None
) -> None:
    async with heard_in_a_call(server, added, data_messages) as heard:
        invocation = next(m["invocationId"] for m in heard if m["type"] == "client_tool_invocation")
        wanted, answered = [message["message"] for message in heard if message["type"] == "debug"]
    assert wanted == (
        f"LLM response: Tool calls: [FunctionCall(name='getColor', args='{{\"thing\": \"sky\"}}', "
        f"invocation_id='{invocation}')]"
    )
    names = f'tool_name: "getColor" invocation_id: "{invocation}"'
    assert answered == (
        "Tool call complete.\n\nResult: [\n"
        f'  role: MESSAGE_ROLE_TOOL_CALL ordinal: 2 text: "{{\\"thing\\": \\"sky\\"}}" {names} ,\n'
        f'  role: MESSAGE_ROLE_TOOL_RESULT ordinal: 3 text: "a \\"deep\\" blue" {names}\n]'
    )


async def test_a_client_is_sent_what_it_asks_for_as_it_joins_by_either_spelling(server: RealServer) -> None:
    async with heard_in_a_call(server, "&additionalMessages=toolUsed,invoking_tool,call_event,nothing,") as heard:
        kinds = {message["type"] for message in heard}
    assert {"tool_used", "invoking_tool", "call_event"} <= kinds
    assert "debug" not in kinds


async def test_a_client_that_sends_no_audio_for_six_seconds_is_told_so_and_the_call_goes_on(server: RealServer) -> None:
    medium = {"serverWebSocket": {"inputSampleRate": 16_000, "dataMessages": {"callEvent": True}}}
    async with Api(server.url, server.key) as api:
        call = await api.create_call({"medium": medium, "firstSpeakerSettings": {"user": {}}})
        async with connect(call["joinUrl"], proxy=None) as socket, asyncio.timeout(7):
            message = json.loads(await socket.recv())
            while message.get("callEvent", {}).get("type") != "audio_underflow":
                message = json.loads(await socket.recv())
            await socket.send(json.dumps({"type": "ping", "timestamp": 1}))
            while json.loads(await socket.recv())["type"] != "pong":
                pass
            (event,) = [one for one in await api.events(call["callId"]) if one["type"] == "audio_underflow"]
    assert (event["severity"], event["text"]) == ("warning", message["callEvent"]["text"])
    assert "behind real time" in event["text"]


async def test_what_the_call_says_no_to_stays_off_and_the_rest_is_off_unasked(server: RealServer) -> None:
    off = {"debug", "tool_used", "invoking_tool", "call_event"}
    async with heard_in_a_call(server, "&additionalMessages=debug", {"debug": False}) as heard:
        assert not off & {message["type"] for message in heard}
    async with heard_in_a_call(server, "&additionalMessages=") as heard:
        assert not off & {message["type"] for message in heard}
