"""Clients that send as fast as the socket takes it, and read nothing or little of what comes back."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from websockets.frames import Opcode

from antiphon.process.server import settle_memory
from tests.hostile.house import House, take_turn, talking
from tests.hostile.raw import RawClient, frame
from tests.hostile.sound import pcm, tone

FLOOD_S = 0.8
MOST_MEMORY = 30_000_000
"""Bytes that one hostile client may add to what is resident."""

FLOODS = {
    "empty audio": frame(Opcode.BINARY, b"") * 20_000,
    "single bytes of audio": frame(Opcode.BINARY, b"x") * 20_000,
    "two megabytes of audio": frame(Opcode.BINARY, pcm(tone(62.5))),
    "messages of no type": frame(Opcode.TEXT, b"{}") * 10_000,
    "pings": frame(Opcode.PING, b"x" * 125) * 2_000,
    "data message pings": frame(Opcode.TEXT, b'{"type":"ping","timestamp":1}') * 5_000,
}


async def flood(client: RawClient, data: bytes, seconds: float) -> None:
    """Send ``data`` again and again, whatever comes of it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await client.send_bytes(data)
    except (TimeoutError, ConnectionError):
        return


@pytest.mark.parametrize("what", FLOODS)
async def test_a_flood(house: House, what: str) -> None:
    call = await house.create()
    client = await RawClient.join(call["joinUrl"])
    before = house.memory_bytes()
    await flood(client, FLOODS[what], FLOOD_S)
    grown = house.memory_bytes() - before
    client.vanish()
    assert (await house.ended(call))["endReason"] == "connection_error"
    print(f"{what}: {grown / 1e6:.1f} MB")
    assert grown < MOST_MEMORY


async def test_who_floods_is_served_afterwards(house: House) -> None:
    call = await house.create()
    async with talking(call) as caller:
        for _ in range(500):
            await caller.send({"type": "nonsense"})
        assert await take_turn(caller, tone(0.3)) == "Hello! I can hear you."
    assert (await house.events(call)).count("message_rejected") == 20


async def test_a_client_that_does_not_read_answers_to_its_messages(house: House) -> None:
    """Its messages fill what may wait for it; from then on, each cost a look through all of them, half a minute."""
    call = await house.create()
    client = await RawClient.join(call["joinUrl"], receive_buffer=4096)
    rejected = await house.metric("antiphon_messages_rejected_total")
    await flood(client, frame(Opcode.TEXT, b"{}") * 10_000, 2.0)
    started = time.monotonic()
    client.vanish()
    assert (await house.ended(call))["endReason"] == "connection_error"
    assert time.monotonic() - started < 5.0
    assert await house.metric("antiphon_messages_rejected_total") > rejected + 10_000


def test_memory_that_stays_is_not_looked_through_again() -> None:
    settle_memory()
    try:
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
