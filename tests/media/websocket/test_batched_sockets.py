"""Sockets of calls that are read at the beat: nothing is lost, doubled or out of order, nobody waits for others."""

from __future__ import annotations

import asyncio
import random
import socket

import pytest
from websockets.frames import Opcode

from tests.hostile.raw import frame
from tests.support.line import Heard, Line, Play, audio, good_bye, reset, text, waiting_bytes

MOST_HELD_BYTES = 20_000
"""Of what a client sent, while nobody listens to it; the rest waits in the kernel."""

# What comes


@pytest.mark.parametrize("at_once", [True, False])
def test_audio_cut_anywhere_arrives_whole_and_in_its_place_among_messages(play: Play, at_once: bool) -> None:
    said: list[Heard] = [
        ("audio", b""),
        ("audio", bytes(range(125))),
        ("text", "first"),
        ("audio", bytes(range(126))),
        ("audio", b"x" * 640),
        ("text", "zweitens: größer"),
        ("text", "third"),
        ("audio", b"y" * 5),
    ]
    stream = b"".join(
        audio(what) if isinstance(what, bytes) else text(what) for _, what in said if not isinstance(what, int)
    )

    async def scene(this: Line) -> None:
        this.at_once = at_once
        client, call = await this.join()
        cuts = [*range(1, 300), *range(300, len(stream), 7)]
        for cut in cuts:
            begun, call.heard = call.socket.received, []
            await client.send_bytes(stream[:cut])
            await this.until(lambda begun=begun, cut=cut: call.socket.received == begun + cut)  # type: ignore[misc]
            await client.send_bytes(stream[cut:])
            await this.until(lambda: len(call.heard) == len(said))
            assert call.heard == said, f"cut at {cut}"
        assert call.socket.by_transport < 1000, "it was not gathered"  # the request for the join
        assert not call.socket.transport.is_reading()
        await good_bye(this, client, call)

    play(scene)


def test_what_is_sent_in_pieces_of_any_size_arrives_in_order(play: Play) -> None:
    dice = random.Random(1)
    said = [dice.randbytes(dice.choice([0, 3, 320, 640, 1920, 5000, 20_000])) for _ in range(150)]
    stream = b"".join(audio(data) if data else text("nothing") for data in said)

    async def scene(this: Line) -> None:
        client, call = await this.join()

        async def send() -> None:
            place = 0
            while place < len(stream):
                size = dice.choice([1, 2, 7, 100, 700, 4096, 30_000])
                await client.send_bytes(stream[place : place + size])
                place += size

        sending = asyncio.create_task(send())
        await this.until(lambda: len(call.heard) == len(said))
        await sending
        assert call.heard == [("audio", data) if data else ("text", "nothing") for data in said]
        await good_bye(this, client, call)

    play(scene)


def test_a_message_of_a_megabyte_arrives_in_one_piece(play: Play) -> None:
    large = random.Random(2).randbytes(1_000_000)
    cut = [large[place : place + 70_000] for place in range(0, len(large), 70_000)]
    parts = [
        frame(Opcode.BINARY if place == 0 else Opcode.CONT, part, fin=place == len(cut) - 1)
        for place, part in enumerate(cut)
    ]

    async def scene(this: Line) -> None:
        client, call = await this.join()
        for stream in (audio(large), frame(Opcode.PING, b"").join(parts)):
            call.heard = []
            sending = asyncio.create_task(client.send_bytes(audio(b"before") + stream + text("after")))
            await this.until(lambda: len(call.heard) == 3)
            await sending
            assert call.heard == [("audio", b"before"), ("audio", large), ("text", "after")]
        await good_bye(this, client, call)

    play(scene)


def test_what_came_before_it_was_gathered_comes_first(play: Play) -> None:
    async def scene(this: Line) -> None:
        this.gathers.clear()
        client, call = await this.join()
        for number in range(3):
            await client.send_bytes(audio(b"early %d" % number) + text(f"early {number}"))
        await this.until(lambda: call.socket.read_paused)
        this.gathers.set()
        await this.until(lambda: call.joined)
        await client.send_bytes(audio(b"late") + text("late"))
        await this.until(lambda: ("text", "late") in call.heard)
        early = [(kind, what) for n in range(3) for kind, what in (("audio", b"early %d" % n), ("text", f"early {n}"))]
        assert call.heard == [*early, ("audio", b"late"), ("text", "late")]
        await good_bye(this, client, call)

    play(scene)


@pytest.mark.parametrize("gathered", [True, False])
def test_a_call_with_a_long_request_is_heard(play: Play, gathered: bool) -> None:
    """Browsers send cookies of some kilobytes; the request is then parsed in several pieces."""

    async def scene(this: Line) -> None:
        if not gathered:
            this.batch_reader.close()
        client, call = await this.join("x" * 6000)
        await client.send_bytes(audio(b"one"))
        await this.until(lambda: call.heard)
        assert call.heard == [("audio", b"one")]
        await good_bye(this, client, call)

    play(scene)


# Slow applications, fast clients


@pytest.mark.parametrize("at_once", [True, False])
def test_a_call_that_does_not_listen_holds_little_and_loses_nothing(play: Play, at_once: bool) -> None:
    said = [b"%06d" % number + bytes(634) for number in range(3000)]

    async def scene(this: Line) -> None:
        this.at_once = at_once
        client, call = await this.join()
        call.listens.clear()
        await client.send_bytes(text("wake"))  # who waits already has this one, and no more
        await this.until(lambda: ("text", "wake") in call.heard)
        begun = call.socket.received
        sending = asyncio.create_task(client.send_bytes(b"".join(audio(data) for data in said)))
        for _ in range(200):
            await this.beat()
        assert 0 < call.socket.received - begun <= MOST_HELD_BYTES
        assert call.socket.by_transport < 1000
        assert call.heard == [("text", "wake")]
        call.listens.set()
        await this.until(lambda: len(call.heard) > len(said))
        await sending
        assert call.heard[1:] == [("audio", data) for data in said]
        assert not call.socket.transport.is_reading()
        await good_bye(this, client, call)

    play(scene)


def test_a_call_that_does_not_listen_holds_little_of_what_trickles_in(play: Play) -> None:
    said = [b"%06d" % number + bytes(634) for number in range(60)]

    async def scene(this: Line) -> None:
        client, call = await this.join()
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        call.listens.clear()
        await client.send_bytes(text("wake"))
        await this.until(lambda: ("text", "wake") in call.heard)
        begun = call.socket.received
        sent = 0
        for data in said:
            await client.send_bytes(audio(data))
            sent += len(audio(data))
            await this.until(
                lambda: call.socket.received - begun + waiting_bytes(call) == sent,  # noqa: B023 - at once
                beating=False,
            )
            await this.beat()
        assert call.socket.received - begun <= MOST_HELD_BYTES
        assert call.heard == [("text", "wake")]
        call.listens.set()
        await this.until(lambda: len(call.heard) > len(said))
        assert call.heard[1:] == [("audio", data) for data in said]
        await good_bye(this, client, call)

    play(scene)


def test_nothing_is_read_while_there_is_something_to_parse(play: Play) -> None:
    async def scene(this: Line) -> None:
        client, call = await this.join()
        begun = call.socket.received
        sending = asyncio.create_task(client.send_bytes(frame(Opcode.PING, b"") * 30_000 + audio(b"last")))
        await this.until(lambda: waiting_bytes(call) > 2 * MOST_HELD_BYTES, beating=False)
        for _ in range(50):
            this.batch_reader.take_in()  # and nothing else has its turn
        assert 0 < call.socket.received - begun <= MOST_HELD_BYTES
        await this.until(lambda: call.heard)
        await sending
        await good_bye(this, client, call)

    play(scene)


FLOODS = {
    "empty audio": audio(b""),
    "bytes of audio": audio(b"x"),
    "messages": text("{}"),
    "pings": frame(Opcode.PING, b""),
}


@pytest.mark.parametrize("what", FLOODS)
def test_a_flood_does_not_keep_another_call_from_being_heard(play: Play, what: str) -> None:
    async def scene(this: Line) -> None:
        loud, loud_call = await this.join()
        quiet, quiet_call = await this.join()
        flooding = asyncio.create_task(loud.send_bytes(FLOODS[what] * 200_000))
        begun = loud_call.socket.received
        await this.until(lambda: loud_call.socket.received > begun + 30_000)
        for number in range(20):
            await quiet.send_bytes(audio(b"%d" % number))
            # The kernel brings it when it likes, under such a load.
            await this.until(lambda: waiting_bytes(quiet_call), beating=False)
            assert loud_call.socket.received < len(FLOODS[what]) * 200_000
            await this.beat()
            assert len(quiet_call.heard) == number + 1
        flooding.cancel()
        reset(loud)
        await good_bye(this, quiet, quiet_call)

    play(scene)
