"""Clients that stop reading, answering or being there. All at once, as each takes the server up to 20 s to notice."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from websockets.frames import Opcode

from tests.hostile.house import House
from tests.hostile.raw import RawClient
from tests.hostile.sound import pcm, silence

NOTICED_S = 20.0
"""A client that has gone is noticed within this."""

MARGIN_S = 2.0
MOST_MEMORY = 30_000_000
"""Bytes that clients who do not read may add, each."""

MUCH_ROOM = {"serverWebSocket": {"inputSampleRate": 48_000, "clientBufferSizeMs": 30_000}}
LONG_GREETING = {"model": "long", "firstSpeakerSettings": {"agent": {"prompt": "Tell me all."}}}

PROGRAM = """
import asyncio, sys
from websockets.asyncio.client import connect
async def main():
    async with connect(sys.argv[1], proxy=None) as socket:
        print((await socket.recv())[:22], flush=True)
        async for _ in socket:
            pass
asyncio.run(main())
"""


def now() -> float:
    return asyncio.get_running_loop().time()


async def connection_error(house: House, call: dict[str, Any], since: float, within_s: float = NOTICED_S) -> None:
    ended = await house.ended(call, within_s + MARGIN_S)
    assert ended["endReason"] == "connection_error"
    print(f"noticed after {now() - since:.1f} s")


async def answers_no_ping(house: House) -> None:
    call = await house.create()
    client = await RawClient.join(call["joinUrl"])
    since = now()
    while await client.frames():  # it reads, but says nothing
        pass
    assert now() - since < NOTICED_S
    await connection_error(house, call, since)


async def neither_reads_nor_writes(house: House) -> None:
    call = await house.create(medium=MUCH_ROOM, **LONG_GREETING)
    client = await RawClient.join(call["joinUrl"], receive_buffer=4096)
    await connection_error(house, call, now())
    client.vanish()


async def speaks_but_never_reads(house: House) -> None:
    """It lives for as long as it speaks. What is kept for it is bounded."""
    call = await house.create(medium=MUCH_ROOM, **LONG_GREETING)
    client = await RawClient.join(call["joinUrl"], receive_buffer=4096)
    started = now()
    for number in range(0, 600):
        await asyncio.sleep(max(0.0, started + number * 0.02 - now()))
        await client.send(Opcode.BINARY, pcm(silence(0.02, 48_000)))
    assert (await house.get(call))["ended"] is None
    async with house.client() as rest:
        path = f"/api/calls/{call['callId']}/send_data_message"
        assert (await rest.post(path, json={"type": "hang_up"})).status_code == 204
    assert (await house.ended(call))["endReason"] == "agent_hangup"
    client.vanish()


@asynccontextmanager
async def a_program(call: dict[str, Any]) -> AsyncIterator[asyncio.subprocess.Process]:
    """A well-behaved client in a process of its own, which has joined."""
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(call["joinUrl"])), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert program.stdout is not None
        assert b"call_started" in await program.stdout.readline()
        yield program
    finally:
        with suppress(ProcessLookupError):
            program.kill()
        await program.wait()


async def is_stopped(house: House) -> None:
    call = await house.create()
    async with a_program(call) as program:
        program.send_signal(signal.SIGSTOP)
        await connection_error(house, call, now())


async def is_killed(house: House) -> None:
    call = await house.create()
    async with a_program(call) as program:
        program.kill()
        await connection_error(house, call, now(), 1.0)


async def sends_no_audio_though_it_has_to(house: House) -> None:
    """mediaIdleTimeout: less than 10 s counts as 10 s. Empty frames and messages are no audio."""
    call = await house.create(medium={"serverWebSocket": {"inputSampleRate": 16_000, "mediaIdleTimeout": "1s"}})
    client = await RawClient.join(call["joinUrl"])
    since = now()
    closing = asyncio.create_task(client.until_closed())
    while not closing.done():
        await client.send(Opcode.BINARY, b"")
        await client.send(Opcode.TEXT, json.dumps({"type": "ping", "timestamp": 1}).encode())
        await asyncio.wait([closing], timeout=1.0)
    assert closing.result() == (1001, "no audio came for too long")
    assert 9.9 < now() - since < 9.9 + MARGIN_S
    await connection_error(house, call, since, 1.0)


async def is_hung_up_on_and_does_not_read(house: House) -> None:
    """Its connection does not stay open for as long as it pleases."""
    call = await house.create(medium=MUCH_ROOM, **LONG_GREETING)
    client = await RawClient.join(call["joinUrl"], receive_buffer=4096)
    async with house.client() as rest:
        path = f"/api/calls/{call['callId']}/send_data_message"
        async with asyncio.timeout(5):
            while (await rest.post(path, json={"type": "hang_up"})).status_code != 204:
                pass
    assert (await house.ended(call, 10.0))["endReason"] == "agent_hangup"
    since = now()
    assert house.holds(client.port)
    async with asyncio.timeout(NOTICED_S):
        while house.holds(client.port):  # noqa: ASYNC110 - another process lets go of it
            await asyncio.sleep(0.05)
    print(f"disconnected after {now() - since:.1f} s")
    client.vanish()


async def test_clients_that_are_no_longer_there(house: House) -> None:
    live, memory = await house.metric("antiphon_live_calls"), house.memory_bytes()
    grown: list[int] = []
    work: list[Coroutine[Any, Any, None]] = [
        answers_no_ping(house),
        neither_reads_nor_writes(house),
        speaks_but_never_reads(house),
        is_stopped(house),
        is_killed(house),
        sends_no_audio_though_it_has_to(house),
        is_hung_up_on_and_does_not_read(house),
    ]

    async def weigh() -> None:
        while True:
            grown.append(house.memory_bytes() - memory)
            await asyncio.sleep(0.05)

    weighing = asyncio.create_task(weigh())
    try:
        async with asyncio.TaskGroup() as tasks:
            for one in work:
                tasks.create_task(one)
    finally:
        weighing.cancel()
    print(f"{max(grown) / 1e6:.1f} MB more, {grown[-1] / 1e6:.1f} MB at the end")
    assert max(grown) < 3 * MOST_MEMORY  # three of them do not read
    assert await house.metric("antiphon_live_calls") == live
