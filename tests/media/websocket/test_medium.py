"""The serverWebSocket medium over an ASGI WebSocket in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from antiphon.media.protocol import Audio, Left, MediumSettings, Message
from antiphon.media.websocket.medium import MOST_QUEUED_BYTES, JoinedSocket, WebSocketMedium


class Socket:
    """What a test puts in is received; what is sent waits while ``open`` is not set."""

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.sent: list[dict[str, Any]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.news = asyncio.Event()
        self.broken = False

    async def receive(self) -> dict[str, Any]:
        return await self.incoming.get()

    async def send(self, message: dict[str, Any]) -> None:
        await self.open.wait()
        if self.broken:
            raise ConnectionResetError
        self.sent.append(message)
        self.news.set()

    async def until_sent(self, count: int) -> None:
        async with asyncio.timeout(5):
            while len(self.sent) < count:
                self.news.clear()
                await self.news.wait()


def opened(socket: Any, rate: int, line: Any = None) -> WebSocketMedium:
    return WebSocketMedium(MediumSettings("serverWebSocket", rate, rate), JoinedSocket(socket, line))


async def test_frames_come_in_by_kind_and_empty_ones_too() -> None:
    socket = Socket()
    async with opened(socket, 16_000) as medium:
        for message in (
            {"type": "websocket.receive", "bytes": b"\1\0"},
            {"type": "websocket.receive", "bytes": b""},
            {"type": "websocket.receive", "text": "hello"},
        ):
            socket.incoming.put_nowait(message)
        assert await medium.receive() == Audio(b"\1\0")
        assert await medium.receive() == Audio(b"")
        assert await medium.receive() == Message("hello")


@pytest.mark.parametrize(
    ("code", "clean"), [(1000, True), (1001, True), (1005, True), (4000, True), (1006, False), (1009, False)]
)
async def test_a_good_bye_is_told_from_a_broken_connection(code: int, clean: bool) -> None:
    socket = Socket()
    async with opened(socket, 16_000) as medium:
        socket.incoming.put_nowait({"type": "websocket.disconnect", "code": code})
        assert await medium.receive() == Left(code, clean=clean)


async def test_audio_and_messages_keep_their_order() -> None:
    socket = Socket()
    async with opened(socket, 16_000) as medium:
        medium.send_message({"type": "state", "state": "speaking"})
        medium.send_audio(b"\1\0")
        medium.send_message({"type": "transcript", "text": "Grüße"})
        await socket.until_sent(3)
    assert [message.get("bytes") or json.loads(message["text"])["type"] for message in socket.sent] == [
        "state",
        b"\1\0",
        "transcript",
    ]


class Line:
    """The socket under the other one, which takes what comes while it is ``free``."""

    def __init__(self, socket: Socket) -> None:
        self.on_audio: Callable[[bytes], None] | None = None
        self.free = True
        self._socket = socket

    def write(self, data: bytes) -> bool:
        return self._take({"bytes": data})

    def write_text(self, text: str) -> bool:
        return self._take({"text": text})

    def _take(self, message: dict[str, Any]) -> bool:
        if self.free:
            self._socket.sent.append({"direct": True, **message})
            self._socket.news.set()
        return self.free


async def test_messages_go_straight_to_the_line_but_not_before_the_event_is_over() -> None:
    socket = Socket()
    line = Line(socket)
    async with opened(socket, 16_000, line) as medium:
        medium.send_message({"number": 1})
        assert not socket.sent  # what follows from the same event is not on record yet
        medium.send_audio(b"\2\0")
        await socket.until_sent(2)
        line.free = False
        medium.send_message({"number": 3})
        await socket.until_sent(3)
        line.free = True
        medium.send_audio(b"\4\0")
    numbers = [m["bytes"][0] if "bytes" in m else json.loads(m["text"])["number"] for m in socket.sent]
    assert numbers == [1, 2, 3, 4]
    assert [message.get("direct", False) for message in socket.sent] == [True, True, False, True]


async def test_dropping_audio_keeps_messages() -> None:
    socket = Socket()
    socket.open.clear()
    async with opened(socket, 16_000) as medium:
        for number in range(4):
            medium.send_audio(bytes([number, 0]))
            medium.send_message({"number": number})
        await asyncio.sleep(0)  # the sender takes the first and waits with it
        medium.interrupt(0)
        socket.open.set()
        await socket.until_sent(5)
    assert [message["bytes"] for message in socket.sent if "bytes" in message] == [b"\0\0"]
    assert [json.loads(message["text"])["number"] for message in socket.sent if "text" in message] == [0, 1, 2, 3]


async def test_what_waits_for_a_client_that_does_not_read_is_bounded() -> None:
    socket = Socket()
    socket.open.clear()
    second = bytes(96_000)
    async with opened(socket, 48_000) as medium:
        for _ in range(200):
            medium.send_audio(second)
        medium.send_message({"type": "state"})
        socket.open.set()
        async with asyncio.timeout(5):
            while "text" not in (socket.sent or [{}])[-1]:
                socket.news.clear()
                await socket.news.wait()
    assert sum(len(message.get("bytes", b"")) for message in socket.sent) <= MOST_QUEUED_BYTES + len(second)


async def test_closing_sends_what_is_queued_first_and_happens_once() -> None:
    socket = Socket()
    async with opened(socket, 16_000) as medium:
        medium.send_message({"last": "words"})
        await medium.close(1000, "x" * 200)
        await medium.close(1011, "again")
        medium.send_message({"too": "late"})
    assert [message["type"] for message in socket.sent] == ["websocket.send", "websocket.close"]
    assert socket.sent[1]["code"] == 1000
    assert len(socket.sent[1]["reason"]) == 123


async def test_a_broken_socket_hurts_nobody() -> None:
    socket = Socket()
    socket.broken = True
    async with opened(socket, 16_000) as medium:
        medium.send_audio(b"\1\0")
        await medium.close(1000, "bye")
    assert socket.sent == []
