"""``POST /api/calls/{id}/send_data_message``, whole, into calls on a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from antiphon.client.caller import Caller, join
from antiphon.client.voice import Voice
from tests.api.test_tool_calls import eventually, said
from tests.conftest import RealServer

RATE = 16_000
ASK = {
    "temporaryTool": {
        "modelToolName": "ask",
        "dynamicParameters": [
            {"name": "what", "location": "PARAMETER_LOCATION_BODY", "schema": {"type": "string"}, "required": True}
        ],
        "client": {},
    }
}


@pytest.fixture
async def client(real_server: RealServer) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": real_server.key}
    async with httpx.AsyncClient(base_url=real_server.url, headers=headers, trust_env=False) as made:
        yield made


async def created(client: httpx.AsyncClient, **body: Any) -> tuple[str, str]:
    """Where messages to a new call go, and its join URL."""
    medium = {"serverWebSocket": {"inputSampleRate": RATE}}
    given = {"medium": medium, "firstSpeakerSettings": {"user": {}}, "selectedTools": [ASK], **body}
    response = await client.post("/api/calls", json=given)
    assert response.status_code == 201, response.text
    return f"/api/calls/{response.json()['callId']}", response.json()["joinUrl"]


@asynccontextmanager
async def live(client: httpx.AsyncClient, **body: Any) -> AsyncIterator[tuple[str, Caller]]:
    path, url = await created(client, **body)
    async with join(url, Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        await caller.until_message(lambda message: message.type == "call_started", timeout_s=20)
        yield path, caller


async def sent(client: httpx.AsyncClient, path: str, **message: Any) -> None:
    response = await client.post(f"{path}/send_data_message", json=message)
    assert (response.status_code, response.content) == (204, b"")


async def recorded(client: httpx.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    async def ask() -> list[dict[str, Any]]:
        messages: list[dict[str, Any]] = (await client.get(f"{path}/messages")).json()["results"]
        return messages

    return await eventually(ask, lambda found: len(found) >= count)


async def end_of(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        call: dict[str, Any] = (await client.get(path)).json()
        return call

    return await eventually(ask, lambda call: bool(call["ended"]))


async def test_words_of_the_users(client: httpx.AsyncClient) -> None:
    async with live(client) as (path, caller):
        await sent(client, path, type="user_text_message", text="For later.", urgency="later")
        await sent(client, path, type="user_text_message", text="Hello?")
        await caller.until_message(said("Hello! I can hear you. How can I help?"), timeout_s=20)
        messages = await recorded(client, path, 3)
    assert [(message["role"], message["text"], message["medium"]) for message in messages] == [
        ("MESSAGE_ROLE_USER", "For later.", "MESSAGE_MEDIUM_TEXT"),
        ("MESSAGE_ROLE_USER", "Hello?", "MESSAGE_MEDIUM_TEXT"),
        ("MESSAGE_ROLE_AGENT", "Hello! I can hear you. How can I help?", "MESSAGE_MEDIUM_VOICE"),
    ]


async def test_words_that_the_agent_is_made_to_say(client: httpx.AsyncClient) -> None:
    async with live(client) as (path, caller):
        await sent(client, path, type="forced_agent_message", content="Please hold.", uninterruptible=True)
        await caller.until_message(said("Please hold."), timeout_s=20)
        long = "This goes on and on, and on, for quite some time yet, until it does not."
        await caller.until_message(lambda message: message.body.get("state") == "listening", timeout_s=20)
        begun = caller.now
        await sent(client, path, type="forced_agent_message", content=long)
        await caller.until_message(lambda message: "This" in message.body.get("delta", ""), after_s=begun, timeout_s=20)
        await sent(client, path, type="forced_agent_message", content="Stop.", urgency="immediate")
        await caller.until_message(said("Stop."), timeout_s=20)
        messages = await recorded(client, path, 3)
    texts = [message["text"] for message in messages]
    assert (texts[0], texts[-1]) == ("Please hold.", "Stop.")
    assert all(long.startswith(text) and text != long for text in texts[1:-1])


async def test_tools_that_the_agent_is_made_to_use(client: httpx.AsyncClient) -> None:
    async with live(client) as (path, caller):
        await sent(
            client,
            path,
            type="forced_agent_message",
            content="Let me see.",
            toolCalls=[
                {"id": "known-1", "name": "ask", "arguments": {"what": "a"}},
                {"id": "open-1", "name": "ask", "arguments": {"what": "b"}},
                {"name": "nobody"},
            ],
            knownToolResults=[{"invocationId": "known-1", "result": "A.", "updateCallState": {"x": 1}}],
        )
        await caller.until_message(lambda message: message.type == "client_tool_invocation", timeout_s=20)
        asked = [message.body for message in caller.received if message.type == "client_tool_invocation"]
        await caller.send({"type": "client_tool_result", "invocationId": "open-1", "result": "B."})
        await caller.until_message(said("Hello! I can hear you. How can I help?"), timeout_s=20)
        messages = await recorded(client, path, 8)
    assert [(body["toolName"], body["invocationId"], body["parameters"]) for body in asked] == [
        ("ask", "open-1", {"what": "b"})
    ]
    assert messages[0]["text"] == "Let me see."
    by_id = {message["invocationId"]: message for message in messages if message["role"] == "MESSAGE_ROLE_TOOL_RESULT"}
    assert (by_id["known-1"]["text"], by_id["known-1"]["callState"]) == ("A.", {"x": 1})
    assert by_id["open-1"]["text"] == "B."
    (missing,) = [message for name, message in by_id.items() if name not in ("known-1", "open-1")]
    assert "no tool called nobody" in missing["errorDetails"]


async def test_a_hang_up_says_its_words_first(client: httpx.AsyncClient) -> None:
    async with live(client) as (path, caller):
        await sent(client, path, type="hang_up", message="Good bye.")
        assert (await caller.until_closed(timeout_s=20))[0] == 1000
    call = await end_of(client, path)
    assert call["endReason"] == "agent_hangup"
    assert [message["text"] for message in await recorded(client, path, 1)] == ["Good bye."]
    late = await client.post(f"{path}/send_data_message", json={"type": "hang_up"})
    assert late.status_code == 422
    assert "ended" in late.json()["detail"]


@pytest.mark.parametrize(
    ("message", "path"),
    [
        ({"type": "ping", "timestamp": 1}, "type"),
        ({"type": "client_tool_result", "invocationId": "i"}, "type"),
        ({"type": "set_output_medium", "medium": "text"}, "type"),
        ({"type": "forced_agent_message", "content": 5}, "content"),
        ({"type": "forced_agent_message", "urgency": "later"}, "urgency"),
        ({"type": "forced_agent_message", "toolCalls": [{"arguments": {}}]}, "toolCalls.0.name"),
        ({"type": "forced_agent_message", "toolCalls": {}}, "toolCalls"),
        ({"type": "forced_agent_message", "knownToolResults": [{}]}, "knownToolResults.0.invocationId"),
        ({"type": "forced_agent_message", "uninterruptible": "yes"}, "uninterruptible"),
        ({"type": "user_text_message"}, "text"),
        ({"type": "user_text_message", "text": "x", "urgency": "never"}, "urgency"),
        ({"type": "hang_up", "message": []}, "message"),
    ],
)
async def test_a_wrong_message_is_named_and_costs_the_call_nothing(
    client: httpx.AsyncClient, message: dict[str, Any], path: str
) -> None:
    where, _ = await created(client)
    response = await client.post(f"{where}/send_data_message", json=message)
    assert response.status_code == 400
    assert [error["path"] for error in response.json()["errors"]] == [path]


async def test_it_takes_a_key_and_a_call(client: httpx.AsyncClient) -> None:
    path, _ = await created(client)
    hang_up = {"type": "hang_up"}
    waiting = await client.post(f"{path}/send_data_message", json=hang_up)
    assert waiting.status_code == 422
    assert "not joined" in waiting.json()["detail"]
    keyless = await client.post(f"{path}/send_data_message", json=hang_up, headers={"X-API-Key": ""})
    assert keyless.status_code == 401
    unknown = await client.post(f"/api/calls/{uuid4()}/send_data_message", json=hang_up)
    assert unknown.status_code == 404
