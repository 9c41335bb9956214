"""Text frames that are no data messages: answered where the client asked for it, counted, and no call dies of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.frames import Opcode

from tests.hostile.house import House, take_turn, talking
from tests.hostile.raw import RawClient
from tests.hostile.sound import tone

WRONG: list[tuple[str, str]] = [
    ("", "not JSON"),
    ("hello", "not JSON"),
    ("{", "not JSON"),
    ("[]", "expected a JSON object with a type, got an array"),
    ("null", "expected a JSON object with a type, got null"),
    ('"ping"', "expected a JSON object with a type, got a string"),
    ("{}", "type"),
    ('{"type": null}', "type"),
    ('{"type": 7}', "type"),
    ('{"type": ["ping"]}', "type"),
    ('{"type": "nonsense"}', "'nonsense' is not known; known are"),
    ('{"type": "ping"}', "ping.timestamp: is required"),
    ('{"type": "ping", "timestamp": "now"}', "ping.timestamp: expected a number, got a string"),
    ('{"type": "ping", "timestamp": true}', "ping.timestamp: expected a number, got a boolean"),
    ('{"type": "ping", "timestamp": NaN}', "NaN is not JSON"),
    ('{"type": "ping", "timestamp": 1e999}', "out of range"),
    ('{"type": "user_text_message"}', "user_text_message.text: is required"),
    ('{"type": "user_text_message", "text": {}}', "user_text_message.text: expected a string, got an object"),
    ('{"type": "user_text_message", "text": "a", "urgency": "now"}', "urgency: expected one of immediate, soon, later"),
    ('{"type": "user_text_message", "text": "\\ud800"}', "not valid Unicode"),
    ('{"type": "user_text_message", "text": "\\u0000"}', "NUL"),
    ('{"type": "set_output_medium", "medium": "smoke"}', "set_output_medium.medium: expected one of"),
    ('{"type": "hang_up", "message": 1}', "hang_up.message: expected a string"),
    ('{"type": "client_tool_result", "result": "x"}', "client_tool_result.invocationId: is required"),
    ('{"type": "forced_agent_message", "content": []}', "forced_agent_message.content: expected a string"),
    ("[" * 1_000_000, "nested more than 100 levels deep"),
    ('{"type":' * 120_000, "nested more than 100 levels deep"),
    ('{"type": "ping", "timestamp": ' + "9" * 900_000 + "}", "out of range"),
    ('{"type": "ping", "x": [' + "1," * 500_000 + "1]}", "ping.timestamp: is required"),
    ('{"type": "user_text_message", "text": "' + "x" * 1_048_576 + '"}', "more than 1048576 characters"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG, ids=lambda value: str(value)[:30])
async def test_a_text_frame_that_is_no_message(house: House, text: str, expected: str) -> None:
    call = await house.create()
    rejected = await house.metric("antiphon_messages_rejected_total")
    client = await RawClient.join(call["joinUrl"])
    await client.send(Opcode.TEXT, text.encode())
    await client.send(Opcode.TEXT, b'{"type": "ping", "timestamp": 5}')
    received: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while not received or received[-1]["type"] != "pong":
            received += [json.loads(bytes(frame.data)) for frame in await client.frames()]
    debug = [message["message"] for message in received if message["type"] == "debug"]
    assert len(debug) == 1
    assert expected in debug[0]
    assert len(debug[0]) < 500
    assert await house.metric("antiphon_messages_rejected_total") == rejected + 1
    await client.send(Opcode.CLOSE, (1000).to_bytes(2, "big"))
    assert (await house.ended(call))["endReason"] == "hangup"
    assert await house.events(call) == ["message_rejected"]


async def test_after_every_wrong_message_the_call_goes_on(house: House) -> None:
    call = await house.create(medium={"serverWebSocket": {"inputSampleRate": 16000}})
    async with talking(call) as caller:
        for text, _ in WRONG:
            await caller._socket.send(text)
        assert await take_turn(caller, tone(0.3)) == "Hello! I can hear you."
        assert not [message for message in caller.received if message.type in ("debug", "call_event")]  # unasked for
    assert (await house.ended(call))["endReason"] == "hangup"


async def test_a_message_in_many_fragments(house: House) -> None:
    call = await house.create()
    client = await RawClient.join(call["joinUrl"])
    text = b'{"type": "ping", "timestamp": 5}'
    await client.send(Opcode.TEXT, text[:1], fin=False)
    for index in range(1, len(text)):
        await client.send(Opcode.CONT, text[index : index + 1], fin=False)
        await client.send(Opcode.PING, b"between")
    await client.send(Opcode.CONT, b"")
    async with asyncio.timeout(10):
        while not any(b"pong" in bytes(frame.data) for frame in await client.frames()):
            pass
    client.vanish()
    assert (await house.ended(call))["endReason"] == "connection_error"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(Opcode.TEXT, b'{"type": "ping\xff"}')], 1007),
        ([(Opcode.TEXT, "é".encode()[:1])], 1007),
        ([(Opcode.CONT, b"x")], 1002),
        ([(Opcode.CLOSE, b"\x03")], 1002),
        ([(Opcode.CLOSE, (1005).to_bytes(2, "big"))], 1002),
        ([(Opcode.CLOSE, (1000).to_bytes(2, "big") + b"\xff")], 1007),
        ([(Opcode.TEXT, b"x" * 4_194_305)], 1009),
        ([(Opcode.BINARY, b"\0" * 4_194_305)], 1009),
    ],
)
async def test_a_breach_of_the_protocol_ends_the_call(
    house: House, frames: list[tuple[Opcode, bytes]], code: int
) -> None:
    call = await house.create()
    client = await RawClient.join(call["joinUrl"])
    with contextlib.suppress(ConnectionError):  # the server does not wait for the end of a frame that is too long
        for opcode, payload in frames:
            await client.send(opcode, payload)
    async with asyncio.timeout(10):
        assert (await client.until_closed())[0] == code
    assert (await house.ended(call))["endReason"] == "connection_error"


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x81\x05hello",  # not masked
        b"\x83\x80\0\0\0\0",  # no such kind
        b"\x89\xfe\0\x7e\0\0\0\0" + b"x" * 126,  # a ping of 126 bytes
    ],
)
async def test_bytes_that_are_no_frames(house: House, data: bytes) -> None:
    call = await house.create()
    client = await RawClient.join(call["joinUrl"])
    await client.send_bytes(data)
    async with asyncio.timeout(10):
        assert (await client.until_closed())[0] == 1002
    assert (await house.ended(call))["endReason"] == "connection_error"
