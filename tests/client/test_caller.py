"""A caller on a real socket, with a server that says what the test wants."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from antiphon.client import Voice, join
from antiphon.errors import CallEnded, SetupError

RATE = 16_000


@asynccontextmanager
async def serving(handler: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/call?token=secret"


async def test_speech_goes_out_in_20_ms_frames_with_silence_around_it() -> None:
    frames: list[bytes] = []

    async def server(socket: ServerConnection) -> None:
        async for data in socket:
            assert isinstance(data, bytes)
            frames.append(data)

    speech = np.full(RATE // 10, 9000, np.int16)
    async with serving(server) as url, join(url, Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        first = await caller.say(speech)
        second = await caller.say(speech)
    assert {len(frame) for frame in frames} == {640}
    sound = np.frombuffer(b"".join(frames), "<i2")
    assert np.count_nonzero(sound) == 2 * len(speech)
    assert first.ended_s <= second.started_s
    assert second.ended_s - second.started_s == pytest.approx(0.1)


async def test_what_comes_in_is_kept_in_order_with_its_time() -> None:
    async def server(socket: ServerConnection) -> None:
        await socket.send(json.dumps({"type": "state", "state": "speaking"}))
        await socket.send(np.full(RATE, 5, "<i2").tobytes())
        await socket.send(json.dumps({"type": "playback_clear_buffer"}))
        await socket.close(1000, "that was all")

    async with serving(server) as url, join(url, Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        assert await caller.until_closed(5) == (1000, "that was all")
    assert [message.type for message in caller.received] == ["state", "playback_clear_buffer"]
    assert caller.state == "speaking"
    assert [chunk.samples for chunk in caller.chunks] == [RATE]
    assert caller.received[0].at <= caller.chunks[0].at <= caller.received[1].at
    assert len(caller.playback.heard()) < RATE, "the clear came long before a second was over"


async def test_waiting_for_something_that_never_comes_ends_with_the_call() -> None:
    async def server(socket: ServerConnection) -> None:
        await socket.close(4404, "the join URL has expired")

    async with serving(server) as url, join(url, Voice(RATE), input_rate=RATE, output_rate=RATE) as caller:
        with pytest.raises(CallEnded, match="expired") as caught:
            await caller.until_message(lambda _: False, timeout_s=5)
        assert caught.value.close_code == 4404


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://127.0.0.1:8/calls?token=secret", "ws:// or wss://"),
        ("secret", "ws:// or wss://"),
        ("ws://", "ws:// or wss://"),
        ("ws://host:99999/?token=secret", "no address"),
        ("ws://[bad/?token=secret", "no address"),
        ("ws://127.0.0.1:1/#secret", "no address"),
        ("ws://no.such.host.invalid/?token=secret", "not known|resolution"),
        ("ws://127.0.0.1:1/?token=secret", "nothing listens there"),
    ],
)
async def test_what_cannot_be_joined_is_one_line_without_the_token(url: str, line: str) -> None:
    with pytest.raises(SetupError, match=line) as caught:
        async with join(url, Voice(RATE), input_rate=RATE, output_rate=RATE):
            pass
    assert "secret" not in str(caught.value)


async def test_nobody_there_is_one_line_without_the_token(unused_tcp_port: int) -> None:
    with pytest.raises(SetupError) as caught:
        async with join(
            f"ws://127.0.0.1:{unused_tcp_port}/call?token=secret", Voice(RATE), input_rate=1, output_rate=1
        ):
            pass
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
