"""Sockets of calls that are read at the beat: every end is noticed, and leaves nothing."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

import pytest
from websockets.frames import Close, Opcode

from tests.api.test_join import create, ended, joined
from tests.hostile.raw import RawClient, frame
from tests.support.line import Line, Play, audio, good_bye, reset, text
from tests.support.server_fixtures import House

NOTICED_WITHIN_BEATS = 20
"""An end, once it has come; most take two, and the kernel some time."""


@pytest.mark.parametrize("how", [reset, RawClient.vanish, lambda client: client.sock.shutdown(socket.SHUT_WR)])
def test_a_client_that_vanishes_is_noticed_at_once(play: Play, how: Callable[[RawClient], None]) -> None:
    async def scene(this: Line) -> None:
        client, call = await this.join()
        await client.send_bytes(audio(b"one"))
        await this.until(lambda: call.heard)
        how(client)
        assert await this.until(lambda: call.code is not None) <= NOTICED_WITHIN_BEATS
        assert call.heard == [("audio", b"one"), ("closed", 1006)]
        await this.all_gone()
        client.vanish()

    play(scene)


@pytest.mark.parametrize("how", [reset, RawClient.vanish])
def test_what_a_client_said_before_it_vanished_is_heard(play: Play, how: Callable[[RawClient], None]) -> None:
    async def scene(this: Line) -> None:
        client, call = await this.join()
        call.listens.clear()
        await client.send_bytes(text("wake") + audio(b"one") * 9)
        await this.until(lambda: ("text", "wake") in call.heard)
        how(client)
        for _ in range(20):
            await this.beat()
        call.listens.set()
        assert await this.until(lambda: call.code is not None) <= NOTICED_WITHIN_BEATS
        assert call.heard == [("text", "wake"), *[("audio", b"one")] * 9, ("closed", 1006)]

    play(scene)


def test_a_client_that_goes_before_it_is_gathered_leaves_nothing(play: Play) -> None:
    async def scene(this: Line) -> None:
        this.gathers.clear()
        client, call = await this.join()
        reset(client)
        await this.until(lambda: call.socket.disconnected)
        this.gathers.set()
        await this.until(lambda: call.code is not None)
        assert call.code == 1006

    play(scene)


@pytest.mark.parametrize("gathered", [True, False])
def test_the_server_closes_and_waits_for_the_answer_no_longer_than_it_takes(play: Play, gathered: bool) -> None:
    """uvicorn resumes reading then: what two readers read has to stay in order, or the answer is not found."""
    dice = random.Random(3)

    async def scene(this: Line) -> None:
        if not gathered:
            this.batch_reader.close()
        for unheard in (0, 1, 50, 1000):
            client, call = await this.join()
            call.listens.clear()
            await client.send_bytes(text("wake") + audio(b"unheard") * unheard)
            await this.until(lambda call=call: ("text", "wake") in call.heard)  # type: ignore[misc]
            for _ in range(10):
                await this.beat()
            call.wishes.put_nowait({"type": "websocket.close", "code": 4000, "reason": "enough"})
            later = b"".join(audio(dice.randbytes(dice.randrange(3000))) for _ in range(40))
            later += frame(Opcode.CLOSE, Close(4000, "enough").serialize())
            sending = asyncio.create_task(send_in_pieces(client, later, dice))
            assert await told(client) == 4000
            call.listens.set()
            await this.all_gone()  # uvicorn would wait ten seconds for an answer, as long as this does at most
            await asyncio.gather(sending, return_exceptions=True)
            assert call.code == 4000
            assert call.socket.conn.close_rcvd is not None
            assert call.socket.conn.close_rcvd.code == 4000
            client.vanish()

    play(scene)


async def told(client: RawClient) -> int:
    """The code of the server's close frame, which is not answered."""
    while True:
        frames = await client.frames()
        assert frames, "it closed without a word"
        for found in frames:
            if found.opcode is Opcode.CLOSE:
                return int(Close.parse(found.data).code)


async def send_in_pieces(client: RawClient, data: bytes, dice: random.Random) -> None:
    place = 0
    while place < len(data):
        size = dice.randrange(1, 5000)
        await client.send_bytes(data[place : place + size])
        await asyncio.sleep(0)
        place += size


def test_a_listener_that_fails_ends_its_own_call(play: Play) -> None:
    async def scene(this: Line) -> None:
        bad, bad_call = await this.join()
        good, good_call = await this.join()

        def fail(_: bytes) -> None:
            raise RuntimeError("a listener's own trouble")

        bad_call.socket.on_audio = fail
        await bad.send_bytes(audio(b"one"))
        await good.send_bytes(audio(b"two"))
        await this.until(lambda: bad_call.code is not None and good_call.heard)
        assert bad_call.code == 1006
        assert good_call.heard == [("audio", b"two")]
        assert len(this.batch_reader) == 1
        assert [type(trouble["exception"]) for trouble in this.troubles] == [RuntimeError]
        this.troubles.clear()
        bad.vanish()
        await good_bye(this, good, good_call)

    play(scene)


def test_a_server_that_stops_tells_its_clients(play: Play) -> None:
    async def scene(this: Line) -> None:
        joined = [await this.join() for _ in range(5)]
        assert this.server is not None
        this.server.should_exit = True
        await this.until(lambda: all(call.code is not None for _, call in joined))
        for client, call in joined:
            assert call.code == 1012
            assert (await client.until_closed())[0] == 1012
            client.vanish()

    play(scene)


def test_200_calls_in_a_row_leave_nothing(play: Play) -> None:
    """Their sockets have the same few numbers."""

    async def scene(this: Line) -> None:
        numbers = set()
        ends = (reset, RawClient.vanish, None)
        for turn in range(200):
            client, call = await this.join()
            numbers.add(call.socket.transport.get_extra_info("socket").fileno())
            await client.send_bytes(audio(b"%d" % turn))
            await this.until(lambda call=call: call.heard)  # type: ignore[misc]
            assert call.audio == b"%d" % turn
            assert len(this.batch_reader) == 1
            if (end := ends[turn % 3]) is None:
                await good_bye(this, client, call)
            else:
                end(client)
            await this.all_gone()
        assert len(numbers) < 20

    play(scene)


# Signs of life


def test_pings_are_answered(play: Play) -> None:
    async def scene(this: Line) -> None:
        client, call = await this.join()
        await client.send_bytes(audio(b"one") + frame(Opcode.PING, b"there?") + audio(b"two"))
        await this.until(lambda: len(call.heard) == 2)
        (pong,) = await client.frames()
        assert (pong.opcode, bytes(pong.data)) == (Opcode.PONG, b"there?")
        await good_bye(this, client, call)

    play(scene)


def test_a_client_that_answers_pings_stays_and_one_that_does_not_goes(play: Play) -> None:
    async def scene(this: Line) -> None:
        alive, alive_call = await this.join()
        dead, dead_call = await this.join()
        pings = 0

        async def answer() -> None:
            nonlocal pings
            while await alive.frames(pong=True):
                pings += 1

        answering = asyncio.create_task(answer())
        await this.until(lambda: dead_call.code is not None and pings >= 6)
        assert dead_call.code == 1006
        assert alive_call.code is None
        answering.cancel()
        dead.vanish()
        await good_bye(this, alive, alive_call)

    play(scene, ws_ping_interval=0.1, ws_ping_timeout=0.1)


# In a whole server


async def test_joined_calls_are_gathered_until_they_end(served: House) -> None:
    batch_reader = served.manager.batch_reader
    for _ in range(5):
        calls = [await create(served) for _ in range(3)]
        for count, call in enumerate(calls):
            assert len(batch_reader) == 0
            async with joined(served, call["joinUrl"]) as client:
                assert len(batch_reader) == 1
                await client.send(bytes(640))
                if count == 1:
                    client.transport.abort()
            assert (await ended(served, call["callId"]))["endReason"] == (
                "connection_error" if count == 1 else "hangup"
            )
    assert len(batch_reader) == 0
