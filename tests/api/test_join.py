"""Joins over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.uri import parse_uri

from tests.support.server_fixtures import House

BODY: dict[str, Any] = {
    "medium": {"serverWebSocket": {"inputSampleRate": 16000}},
    "firstSpeakerSettings": {"user": {}},
}

POLL_S = 0.02
SPEECH_S = 0.1
"""A microphone's audio comes in pieces of about this length, at this pace."""


async def create(house: House, **fields: Any) -> dict[str, Any]:
    response = await house.client.post("/api/calls", json={**BODY, **fields})
    assert response.status_code == 201, response.text
    call: dict[str, Any] = response.json()
    return call


@asynccontextmanager
async def joined(house: House, url: str) -> AsyncIterator[ClientConnection]:
    async with connect(url, proxy=None) as socket:
        started = json.loads(await socket.recv())
        assert started["type"] == "call_started"
        yield socket


async def ended(house: House, call_id: str) -> dict[str, Any]:
    async with asyncio.timeout(10):
        while True:
            call: dict[str, Any] = (await house.client.get(f"/api/calls/{call_id}")).json()
            if call["ended"]:
                return call
            await asyncio.sleep(POLL_S)


async def refusal(url: str) -> tuple[int, str]:
    async with connect(url, proxy=None) as socket:
        with pytest.raises(ConnectionClosed) as caught:
            await socket.recv()
    close = caught.value.rcvd
    assert close is not None
    return close.code, close.reason


@pytest.mark.parametrize("added", ["", "&clientVersion=test_1&apiVersion=1&more=%00", "?clientVersion=x"])
async def test_a_call_is_joined_spoken_into_and_left(served: House, added: str) -> None:
    call = await create(served)
    path = f"/api/calls/{call['callId']}"
    async with joined(served, call["joinUrl"] + added) as socket:
        live = (await served.client.get(path)).json()
        assert live["joined"]
        assert live["joinUrl"] is None
        assert live["clientVersion"] == ("test_1" if added.startswith("&") else None)
        await socket.send(json.dumps({"type": "ping", "timestamp": 12.5}))
        message = json.loads(await socket.recv())
        while message["type"] != "pong":
            message = json.loads(await socket.recv())
        assert message["timestamp"] == 12.5
        sent = await served.client.post(f"{path}/send_data_message", json={"type": "user_text_message", "text": "Hi"})
        assert (sent.status_code, sent.content) == (204, b"")
        while not (message["type"] == "transcript" and message["role"] == "user"):
            message = json.loads(await socket.recv())
        assert message["text"] == "Hi"
        assert (await served.client.delete(path)).status_code == 422
        assert b"antiphon_live_calls 1.0" in (await served.client.get("/metrics")).content
    call = await ended(served, call["callId"])
    assert call["endReason"] == "hangup"
    messages = (await served.client.get(f"{path}/messages")).json()["results"]
    assert messages[0]["text"] == "Hi"
    assert (await served.client.post(f"{path}/send_data_message", json={"type": "hang_up"})).status_code == 422
    assert (await served.client.delete(path)).status_code == 204
    assert (await served.client.get(path)).status_code == 404


async def test_a_message_by_rest_reaches_a_call_from_the_moment_its_socket_is_open(served: House) -> None:
    for number in range(9):
        call = await create(served)
        path = f"/api/calls/{call['callId']}"
        message = {"type": "user_text_message", "text": f"words {number}"}
        async with connect(call["joinUrl"], proxy=None) as socket:
            sent = await served.client.post(f"{path}/send_data_message", json=message)  # no message was read yet
            assert (sent.status_code, sent.text) == (204, "")
            shown = (await served.client.get(path)).json()
            assert (bool(shown["joined"]), shown["joinUrl"]) == (True, None)
            assert (await served.client.delete(path)).status_code == 422
            heard = [json.loads(await socket.recv())]
            while heard[-1]["type"] != "transcript":
                heard.append(json.loads(await socket.recv()))
            assert heard[0]["type"] == "call_started"
            assert heard[-1]["text"] == f"words {number}"
        assert (await ended(served, call["callId"]))["endReason"] == "hangup"


async def test_refused_joins_are_noted_on_the_call_and_end_nothing(served: House) -> None:
    call = await create(served)
    url, path = call["joinUrl"], f"/api/calls/{call['callId']}"
    await refusal(url.partition("token=")[0])
    async with joined(served, url):
        await refusal(url)
    await ended(served, call["callId"])
    await refusal(url)
    late = await create(served, joinTimeout="0.05s")
    await ended(served, late["callId"])
    await refusal(late["joinUrl"])
    events = await refusals(served, path)
    assert [event["extras"]["closeCode"] for event in events] == [4401, 4409, 4410]
    assert {event["severity"] for event in events} == {"warning"}
    assert events[1]["text"] == "A join was refused: the join URL was used already; it serves one join."
    assert [event["extras"]["closeCode"] for event in await refusals(served, f"/api/calls/{late['callId']}")] == [4408]
    assert (await served.client.get(path)).json()["endReason"] == "hangup"


async def test_who_tries_tokens_fills_no_database(served: House) -> None:
    call = await create(served)
    wrong = call["joinUrl"][:-3] + "..."
    codes = await asyncio.gather(*(refusal(wrong) for _ in range(30)))
    assert {code for code, _ in codes} == {4401}
    assert len(await refusals(served, f"/api/calls/{call['callId']}")) == 10
    async with joined(served, call["joinUrl"]):
        pass


async def refusals(house: House, path: str) -> list[dict[str, Any]]:
    found = await house.client.get(f"{path}/events", params={"type": "join_refused"})
    events: list[dict[str, Any]] = found.json()["results"]
    return events


async def test_a_refused_join_says_why(served: House) -> None:
    call = await create(served)
    url = call["joinUrl"]
    code, reason = await refusal(url[:-1] + ("A" if url[-1] != "A" else "B"))
    assert code == 4401
    assert "not valid" in reason
    assert (await refusal(url.partition("token=")[0]))[0] == 4401
    assert (await refusal(url.replace(call["callId"], "nothing")))[0] == 4404
    async with joined(served, url):
        assert (await refusal(url))[0] == 4409
    await ended(served, call["callId"])
    assert "ended" in (await refusal(url))[1]


async def test_a_join_that_comes_late_is_refused_and_the_call_ends_unjoined(served: House) -> None:
    call = await create(served, joinTimeout="0.05s")
    assert (await ended(served, call["callId"]))["endReason"] == "unjoined"
    code, reason = await refusal(call["joinUrl"])
    assert code == 4408
    assert "joinTimeout" in reason


async def test_frames_that_are_too_large_end_only_their_own_call(served: House) -> None:
    calls = [await create(served) for _ in range(3)]
    async with joined(served, calls[0]["joinUrl"]) as other, joined(served, calls[1]["joinUrl"]) as large:
        await large.send(b"\0" * 2_000_000)
        await large.send(json.dumps({"type": "ping", "timestamp": 1}))
        while json.loads(await large.recv())["type"] != "pong":
            pass
        with contextlib.suppress(ConnectionClosed):  # the server does not wait for the end of it
            await large.send(b"\0" * 5_000_000)
        await large.wait_closed()
        assert large.close_code == 1009
        assert (await ended(served, calls[1]["callId"]))["endReason"] == "connection_error"
        await other.send(json.dumps({"type": "ping", "timestamp": 2}))
        while json.loads(await other.recv())["type"] != "pong":
            pass


async def test_when_all_places_are_taken_others_are_told_to_come_later(served: House) -> None:
    calls = [await create(served) for _ in range(4)]
    urls = [call["joinUrl"] for call in calls]
    async with joined(served, urls[0]), joined(served, urls[1]), joined(served, urls[2]):
        full = await served.client.post("/api/calls", json=BODY)
        assert full.status_code == 503
        assert full.headers["Retry-After"]
        assert (await refusal(urls[3]))[0] == 1013
        (noted,) = await refusals(served, f"/api/calls/{calls[3]['callId']}")
        assert noted["extras"] == {"closeCode": 1013}
    for call in calls[:3]:
        await ended(served, call["callId"])
    await create(served)


class Mute:
    """A WebSocket client by hand that answers no ping."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: ClientProtocol) -> None:
        self.reader, self.writer, self.protocol = reader, writer, protocol

    @classmethod
    async def join(cls, url: str) -> Mute:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        protocol = ClientProtocol(parse_uri(url))
        protocol.send_request(protocol.connect())
        writer.write(b"".join(protocol.data_to_send()))
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        return cls(reader, writer, protocol)

    async def send_audio(self) -> None:
        self.protocol.send_binary(b"\0" * 640)
        self.writer.write(b"".join(self.protocol.data_to_send()))
        await self.writer.drain()


async def test_a_client_that_vanishes_without_closing_is_noticed(served: House) -> None:
    call = await create(served)
    mute = await Mute.join(call["joinUrl"])
    loop = asyncio.get_running_loop()
    since = loop.time()
    assert (await ended(served, call["callId"]))["endReason"] == "connection_error"
    limits = served.config.limits
    assert loop.time() - since < limits.keepalive_s + limits.keepalive_timeout_s + 1
    mute.writer.close()


async def test_a_connection_that_breaks_is_no_hangup(served: House) -> None:
    call = await create(served)
    mute = await Mute.join(call["joinUrl"])
    mute.writer.transport.abort()
    assert (await ended(served, call["callId"]))["endReason"] == "connection_error"


async def test_a_client_that_speaks_lives_though_its_pongs_wait_behind_unread_audio(served: House) -> None:
    call = await create(served)
    mute = await Mute.join(call["joinUrl"])
    limits = served.config.limits
    loop = asyncio.get_running_loop()
    until = loop.time() + 2 * (limits.keepalive_s + limits.keepalive_timeout_s)
    while loop.time() < until:
        await mute.send_audio()
        await asyncio.sleep(SPEECH_S)
    assert (await served.client.get(f"/api/calls/{call['callId']}")).json()["ended"] is None
    mute.writer.close()


async def test_a_client_that_leaves_before_its_socket_is_open_is_no_error_of_the_server(
    served: House, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        call = await create(served)
        url = urlsplit(call["joinUrl"])
        lines = (
            f"GET {url.path}?{url.query} HTTP/1.1",
            *("Host: x", "Connection: Upgrade", "Upgrade: websocket"),
            *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        )
        _, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write("\r\n".join((*lines, "", "")).encode())
        writer.transport.abort()
        await ended(served, call["callId"])
    written = capsys.readouterr()
    assert "join_failed" not in written.out + written.err
