"""What every medium has to do, whatever carries it. A medium's own tests derive from :class:`MediumSuite`.

The suite plays both ends: the session's, by the medium, and the client's, by a :class:`FarEnd`.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

import numpy as np

from antiphon.audio.pcm import Samples
from antiphon.media.protocol import Audio, Left, Medium, Message

PATIENCE_S = 5.0
FLOOD = 400
"""Frames of 20 ms at once, for a client that does not read."""


class FarEnd(Protocol):
    """The client of a medium under test."""

    @property
    def medium(self) -> Medium:
        """What is under test."""

    def speak(self, data: bytes) -> None:
        """Send sound, s16le at the medium's input rate."""

    def write(self, text: str) -> None:
        """Send a data message."""

    def leave(self, *, clean: bool) -> None:
        """Hang up, or vanish."""

    def stall(self) -> None:
        """Take nothing more, for now."""

    def resume(self) -> None:
        """Take what waits, and what follows."""

    async def got(self, count: int) -> list[Samples | dict[str, Any]]:
        """Wait until ``count`` frames and messages have come in all; return all that came, in order."""

    async def closed(self) -> None:
        """Wait until the medium has closed the connection."""


def sound(level: int, rate: int) -> bytes:
    """Return 20 ms of sound that can be told by its level."""
    return np.full(rate // 50, level, "<i2").tobytes()


def told(things: list[Samples | dict[str, Any]]) -> list[Any]:
    """Return what came, in short: the level of a frame, the number of a message, the type of any other."""
    return [
        (thing.get("number", thing.get("type"))) if isinstance(thing, dict) else int(thing[0])
        for thing in things
        if isinstance(thing, dict) or len(thing)
    ]


class MediumSuite:
    """Derive from it, and say how the medium and its client are made."""

    clear: str | None = "playback_clear_buffer"
    """Type of the message by which the client is told to clear its buffer; ``None`` where it is told otherwise."""

    exact = True
    """Whether sound comes out as it went in, sample by sample."""

    def pair(self) -> AbstractAsyncContextManager[FarEnd]:
        """Make a medium and its client."""
        raise NotImplementedError

    async def next(self, medium: Medium) -> Any:
        """Return what the medium gives next, or what it delivered past ``receive``."""
        async with asyncio.timeout(PATIENCE_S):
            return await medium.receive()

    async def test_sound_and_messages_come_in_in_order(self) -> None:
        async with self.pair() as client:
            data = sound(1_000, client.medium.input_rate)
            client.speak(data)
            client.write('{"type": "ping"}')
            heard = b""
            while not isinstance(given := await self.next(client.medium), Message):
                assert isinstance(given, Audio)
                heard += given.data
            assert heard == data or not self.exact
            assert given == Message('{"type": "ping"}')

    async def test_sound_and_messages_go_out_in_order(self) -> None:
        async with self.pair() as client:
            for number in (1, 3, 5):
                client.medium.send_audio(sound(number * 1_000, client.medium.output_rate))
                client.medium.send_message({"type": "test", "number": number})
            assert told(await client.got(6)) == [1_000, 1, 3_000, 3, 5_000, 5]

    async def test_an_interruption_drops_the_sound_that_waits_and_no_message(self) -> None:
        async with self.pair() as client:
            client.stall()
            for number in range(1, FLOOD):
                client.medium.send_audio(sound(number * 10, client.medium.output_rate))
            client.medium.send_message({"type": "test", "number": -1})
            client.medium.interrupt(800)
            client.medium.send_message({"type": "test", "number": -2})
            client.resume()
            expected = [-1, *([self.clear] if self.clear else []), -2]
            count = len(expected)
            while (
                len(came := [one for one in told(await client.got(count)) if not isinstance(one, int) or one < 0]) < 3
            ):
                count += 1
            assert came == expected
            assert count < FLOOD / 2 + 3, "most of the sound was dropped"

    async def test_nothing_is_to_be_cleared_where_all_was_heard(self) -> None:
        async with self.pair() as client:
            client.medium.interrupt(0)
            client.medium.send_message({"type": "test", "number": 1})
            assert told(await client.got(1)) == [1]

    async def test_a_client_that_leaves_is_told_from_one_that_vanishes(self) -> None:
        for clean in (True, False):
            async with self.pair() as client:
                client.leave(clean=clean)
                left = await self.next(client.medium)
                assert isinstance(left, Left)
                assert left.clean is clean

    async def test_what_is_queued_goes_out_before_the_close_and_nothing_after_it(self) -> None:
        async with self.pair() as client:
            client.medium.send_message({"type": "test", "number": 1})
            async with asyncio.timeout(PATIENCE_S):
                await client.medium.close(1000, "the agent hung up")
                await client.medium.close(1011, "closed twice")
            client.medium.send_message({"type": "test", "number": 2})
            client.medium.send_audio(sound(1, client.medium.output_rate))
            await client.closed()
            assert told(await client.got(1)) == [1]

    async def test_a_client_that_does_not_read_holds_nobody_up_and_costs_little(self) -> None:
        async with self.pair() as client:
            client.stall()
            for number in range(FLOOD):
                client.medium.send_audio(sound(number, client.medium.output_rate))
            async with asyncio.timeout(PATIENCE_S):
                await client.medium.close(1011, "it does not read")

    async def test_the_playout_is_one_for_the_whole_call(self) -> None:
        async with self.pair() as client:
            playout = client.medium.playout
            playout.begin(1)
            playout.push(np.full(playout.rate // 10, 5, np.int16))
            playout.finish()
            assert playout.rate == client.medium.output_rate
            assert playout.due(0.0)
            assert client.medium.playout is playout
            assert 0 <= playout.position(0.0) <= playout.rate // 10
