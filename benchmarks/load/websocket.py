"""A WebSocket client that costs next to nothing, so that one core carries the callers of hundreds of calls.

What is sent was encoded beforehand, once for all callers: a client has to mask what it sends, and the mask of
these frames is zero, which the server unmasks like any other. Only what servers under test do is understood:
whole messages, no extensions.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from time import monotonic
from typing import cast
from urllib.parse import urlsplit

BINARY, TEXT, CLOSE, PING, PONG = 2, 1, 8, 9, 10
PATIENCE_S = 20.0


def encoded(payload: bytes, opcode: int = BINARY) -> bytes:
    """One message as a client sends it."""
    size = len(payload)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    elif size < 65_536:
        head = bytes([0x80 | opcode, 0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([0x80 | opcode, 0x80 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


class Socket(asyncio.Protocol):
    """One connection. ``on_message(opcode, payload, at)`` gets what comes, ``at`` by ``monotonic``."""

    def __init__(self, url: str, on_message: Callable[[int, bytes, float], None]) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._target = parts.path + (f"?{parts.query}" if parts.query else "")
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._opened: asyncio.Future[None] | None = self._loop.create_future()
        self.transport: asyncio.Transport
        self.closed: str | None = None
        """Why it is closed: "1000", or what broke."""

    async def open(self) -> None:
        """Connect and shake hands. Raises :class:`ConnectionError` where the server refuses."""
        opened = self._opened
        assert opened is not None
        async with asyncio.timeout(PATIENCE_S):
            await self._loop.create_connection(lambda: self, self._host, self._port)
            key = base64.b64encode(os.urandom(16)).decode()
            self.transport.write(
                f"GET {self._target} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            await opened

    def send(self, frame: bytes) -> None:
        """Send what ``encoded`` made."""
        self.transport.write(frame)

    @property
    def unsent_bytes(self) -> int:
        """What the server has not taken yet."""
        return self.transport.get_write_buffer_size()

    def close(self) -> None:
        """Say good-bye."""
        if self.closed is None:
            self.transport.write(encoded((1000).to_bytes(2, "big"), CLOSE))
            self._loop.call_later(1.0, self.transport.close)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = self.closed or f"lost: {error or 'no close frame'}"
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(ConnectionError(f"the server hung up: {self.closed}"))

    def data_received(self, data: bytes) -> None:
        at = monotonic()  # the loop's own time has milliseconds, and is that of its last round
        if self._rest:
            data = self._rest + data
        if self._opened is not None:
            data = self._shake_hands(data)
        start, size = 0, len(data)
        while size - start >= 2:
            length, head = data[start + 1], start + 2
            if length == 126:
                length, head = int.from_bytes(data[start + 2 : start + 4], "big"), start + 4
            elif length == 127:
                length, head = int.from_bytes(data[start + 2 : start + 10], "big"), start + 10
            if size < head + length:
                break
            self._take(data[start], data[head : head + length], at)
            start = head + length
        self._rest = data[start:]

    def _shake_hands(self, data: bytes) -> bytes:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            self._rest = data
            return b""
        assert self._opened is not None
        status = head.split(b"\r\n")[0].decode(errors="replace")
        if " 101 " not in status + " ":
            self._opened.set_exception(ConnectionError(f"the server answered {status!r}"))
            return b""
        self._opened.set_result(None)
        self._opened = None
        self._rest = b""
        return rest

    def _take(self, first: int, payload: bytes, at: float) -> None:
        opcode = first & 0x0F
        if not first & 0x80 or first & 0x70:
            raise RuntimeError("a fragmented or compressed message, which this client does not know")
        if opcode in (BINARY, TEXT):
            self._on_message(opcode, payload, at)
        elif opcode == PING:
            self.transport.write(encoded(payload, PONG))
        elif opcode == CLOSE:
            self.closed = str(int.from_bytes(payload[:2], "big")) + " " + payload[2:].decode(errors="replace")
            self.transport.close()
