"""The ``serverWebSocket`` medium: binary frames are PCM, text frames are JSON (docs/protocol.md)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

from antiphon.audio.playout import ModelledPlayout
from antiphon.media.protocol import Audio, Incoming, Left, MediumSettings, Message

MOST_QUEUED_BYTES = 4_000_000
"""What waits for a client that does not read (40 s of 48 kHz); beyond that its audio is dropped. The server's
keepalive ends such a connection: who does not read does not answer pings."""

BACKED_UP_BYTES = 500_000
"""What waits before no more audio is wanted: 5 s of 48 kHz."""

CLOSE_PATIENCE_S = 1.0

BREACHES = frozenset({1002, 1003, 1006, 1007, 1009})
"""Close codes that mean the connection broke or the client broke the protocol, not that it said good-bye."""

LONGEST_REASON = 123
"""Bytes of a close reason (RFC 6455, section 5.5)."""

KIND = "serverWebSocket"
"""The medium's name in the API."""

_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: ``json.dumps`` makes one for each message that is not written in its default way."""


class WebSocket(Protocol):
    """An accepted ASGI WebSocket (Starlette's, for one)."""

    async def receive(self) -> Any:
        """The next ASGI message."""

    async def send(self, message: Any) -> None:
        """Send an ASGI message; waits while the socket is full."""


class Direct(Protocol):
    """The socket under the ASGI one: for what comes and goes fifty times a second."""

    on_audio: Callable[[bytes], None] | None
    """Who takes audio as it comes, in order with what is received."""

    def write(self, data: bytes) -> bool:
        """Send audio now; False: it cannot be now, or not any more."""

    def write_text(self, text: str) -> bool:
        """The same for a message."""


@dataclass(frozen=True, slots=True)
class JoinedSocket:
    """The connection that a client joined by: the ASGI WebSocket, and the socket under it where there is one."""

    websocket: WebSocket
    direct: Direct | None = None


class WebSocketMedium:
    """One joined client. Use as ``async with``: a task of its own sends, so that nobody waits for the client."""

    def __init__(self, settings: MediumSettings, joined: JoinedSocket) -> None:
        """Raise ``ValueError`` where the settings name no rates: it is the client who chooses them."""
        if settings.input_rate is None or settings.output_rate is None:
            raise ValueError("a WebSocket's client chooses the sample rates")
        self.input_rate = settings.input_rate
        self.output_rate = settings.output_rate
        self.playout = ModelledPlayout(settings.output_rate, settings.client_buffer_ms)
        self._tells_clear = settings.tells_clear
        self._websocket = joined.websocket
        self._direct = joined.direct
        self._queue: deque[bytes | str] = deque()
        self._queued_bytes = 0
        self._queued_audio = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._gone = False
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        self._sender = asyncio.create_task(self._send_all())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._direct is not None:
            self._direct.on_audio = None
        if self._sender is not None:
            self._sender.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sender

    def deliver(self, on_audio: Callable[[bytes], None]) -> None:
        """Give audio to ``on_audio`` as it comes, where the socket can."""
        if self._direct is not None:
            self._direct.on_audio = on_audio

    async def receive(self) -> Incoming:
        """The next thing from the client."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                code = message.get("code") or 1005
                return Left(code, clean=code not in BREACHES)
            if (data := message.get("bytes")) is not None:
                return Audio(data)
            if (text := message.get("text")) is not None:
                return Message(text)

    def send_audio(self, data: bytes) -> None:
        """Queue one audio frame."""
        self._put(data)

    def send_message(self, message: dict[str, Any]) -> None:
        """Queue one data message."""
        self._put(_json(message))

    @property
    def backed_up(self) -> bool:
        """The client takes it more slowly than it comes."""
        return self._queued_bytes >= BACKED_UP_BYTES

    def interrupt(self, unplayed: int | None) -> None:
        """Forget the sound that is queued, and tell the client to clear its buffer where something may be in it."""
        self._drop_audio()
        if self._tells_clear and unplayed != 0:
            self.send_message({"type": "playback_clear_buffer"})

    def _drop_audio(self) -> None:
        if not self._queued_audio:
            return  # looking through what is queued for a client that does not read costs everybody
        kept: deque[bytes | str] = deque(item for item in self._queue if isinstance(item, str))
        self._queue = kept
        self._queued_bytes -= self._queued_audio
        self._queued_audio = 0

    async def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), CLOSE_PATIENCE_S)
        short = reason.encode()[:LONGEST_REASON].decode(errors="ignore")
        with contextlib.suppress(Exception):
            await asyncio.wait_for(
                self._websocket.send({"type": "websocket.close", "code": code, "reason": short}), CLOSE_PATIENCE_S
            )

    def _put(self, item: bytes | str) -> None:
        if self._gone or self._closed:
            return
        # Audio only: a message may be sent only after all that follows from the same event is on record.
        if isinstance(item, bytes) and self._idle.is_set() and self._write(item):
            return
        if self._queued_bytes + len(item) > MOST_QUEUED_BYTES:
            self._drop_audio()
            if self._queued_bytes + len(item) > MOST_QUEUED_BYTES:
                return
        self._count(item, 1)
        self._queue.append(item)
        self._idle.clear()
        self._wake.set()

    def _write(self, item: bytes | str) -> bool:
        """Send it now, past ASGI; False where that cannot be."""
        if self._direct is None:
            return False
        return self._direct.write(item) if isinstance(item, bytes) else self._direct.write_text(item)

    def _count(self, item: bytes | str, sign: int) -> None:
        self._queued_bytes += sign * len(item)
        if isinstance(item, bytes):
            self._queued_audio += sign * len(item)

    async def _send_all(self) -> None:
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    item = self._queue.popleft()
                    self._count(item, -1)
                    if not self._write(item):
                        kind = "bytes" if isinstance(item, bytes) else "text"
                        await self._websocket.send({"type": "websocket.send", kind: item})
                self._idle.set()
        except asyncio.CancelledError:
            raise
        except Exception:
            # The client has gone; ``receive`` says so.
            self._gone = True
            self._queue.clear()
            self._idle.set()
