"""The listening socket, and the WebSocket protocol on the connections it accepts."""

from __future__ import annotations

import asyncio
import os
from asyncio.transports import BaseTransport
from collections.abc import Callable
from typing import Any

from uvicorn._types import ASGIReceiveEvent
from uvicorn.config import Config as UvicornConfig
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.protocol import State

from antiphon.media.websocket.batch_reader import BatchReader
from antiphon.media.websocket.frames import BINARY, TEXT, Boundaries, audio_of, frame

WRITE_BUFFER_BYTES = 16 * 1024
"""Of the transport, before sending waits: 170 ms at 48 kHz."""


PARSED_AT_ONCE_BYTES = 4_096
"""Of what a client sent: 682 frames at most, 8 ms of work, before other calls have their turn."""

READ_AT_ONCE_BYTES = 16 * 1024
"""Of one client, at a beat of 5 ms: 3 MB a second."""

FAREWELL_S = 1.0
"""For a client to take what is left, when the server stops."""

VANISHED = 1006

EXTENSION = "antiphon.socket"
"""Where in an ASGI scope's ``extensions`` the socket itself is."""


class CallSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with little buffered, and a client that vanished told from one that said good-bye."""

    def __init__(
        self,
        config: UvicornConfig,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.on_audio: Callable[[bytes], None] | None = None
        """Who takes audio as it comes, while nothing that came before waits to be received."""
        self._heard_at = 0.0
        self._unparsed = memoryview(b"")
        self._parsing_soon = False
        self._boundaries = Boundaries()
        self._receiving = False
        self._batch_reader: BatchReader | None = None
        self._descriptor = -1

    def connection_made(self, transport: BaseTransport) -> None:
        """Keep the transport's buffer small, so that waiting audio is ours and can be dropped."""
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)

    def read_in_batches(self, batch_reader: BatchReader) -> None:
        """Be read together with others from now on, where that is possible."""
        if self.transport.get_extra_info("sslcontext") is not None:
            return  # what lies in the socket is not what was sent
        self._descriptor = self.transport.get_extra_info("socket").fileno()
        if not self.transport.is_closing() and batch_reader.add(self._descriptor, self._read):
            self._batch_reader = batch_reader
            self.transport.pause_reading()

    def _read(self) -> None:
        """Something has come, or the connection has ended, which the transport then finds out by itself."""
        if self.read_paused or self._unparsed:
            return
        try:
            data = os.read(self._descriptor, READ_AT_ONCE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data or self.transport.is_closing():
            self._leave_gathering()
            if not self.transport.is_closing():
                self.transport.resume_reading()
            return
        try:
            self.data_received(data)
        except Exception as error:
            self.loop.call_exception_handler({"message": "a call's socket failed", "exception": error})
            self._leave_gathering()
            self.transport.abort()

    def _leave_gathering(self) -> None:
        if self._batch_reader is not None:
            self._batch_reader.remove(self._descriptor)
            self._batch_reader = None

    def _resume(self) -> None:
        self.read_paused = False
        if self._batch_reader is None:
            self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Any byte is a sign of life. What comes is parsed piece by piece; until that is done no more is read."""
        self._heard_at = self.loop.time()
        if self.on_audio is not None and self._receiving and self._take_audio(data, self.on_audio):
            return
        if self._unparsed:  # reading was resumed nevertheless, to wait for the end of a closing handshake
            self._unparsed = memoryview(bytes(self._unparsed) + data)
            self.transport.pause_reading()
            self._parse_soon()
        else:
            self._unparsed = memoryview(data)
            self._parse()

    def _take_audio(self, data: bytes, on_audio: Callable[[bytes], None]) -> bool:
        """Hand over what is audio and nothing else, as most of what comes is: no parser, no task."""
        if self._unparsed or not self._boundaries.between or not self.queue.empty():
            return False
        if self.conn.state is not State.OPEN or len(data) > PARSED_AT_ONCE_BYTES:
            return False
        frames = audio_of(data)
        for audio in frames:
            on_audio(audio)
        return bool(frames)

    def write(self, data: bytes) -> bool:
        """Send a binary message now. False: it has to wait its turn (``send``), or nothing can be sent any more."""
        return self._write(BINARY, data)

    def write_text(self, text: str) -> bool:
        """The same for a text message."""
        return self._write(TEXT, text.encode())

    def _write(self, opcode: int, payload: bytes) -> bool:
        if not self.writable.is_set() or self.close_sent or self.conn.state is not State.OPEN:
            return False
        if self.transport.is_closing() or not self.handshake_complete:
            return False
        self.transport.write(frame(opcode, payload))
        return True

    async def run_asgi(self) -> None:
        """Let the application find this socket, beside what ASGI gives it."""
        extensions: dict[str, Any] = self.scope.setdefault("extensions", {})
        extensions[EXTENSION] = self
        await super().run_asgi()

    def _parse_soon(self) -> None:
        if not self._parsing_soon:
            self._parsing_soon = True
            self.loop.call_soon(self._parse_more)

    def _parse_more(self) -> None:
        self._parsing_soon = False
        if not self._unparsed:
            return
        self._parse()
        if not self._unparsed and (self.queue.empty() or self.close_sent):
            self._resume()

    def _parse(self) -> None:
        piece, self._unparsed = self._unparsed[:PARSED_AT_ONCE_BYTES], self._unparsed[PARSED_AT_ONCE_BYTES:]
        asked = self.handshake_initiated
        super().data_received(bytes(piece))
        if asked:
            self._boundaries.follow(piece)
        elif self.handshake_initiated and not bytes(piece).endswith(b"\r\n\r\n"):
            self._boundaries.lose()  # the client did not wait for our answer
        if self.transport.is_closing():
            self._unparsed = memoryview(b"")
        elif self._unparsed:
            self.transport.pause_reading()
            if self.queue.empty() or self.close_sent:
                self._parse_soon()

    async def receive(self) -> ASGIReceiveEvent:
        """The next message; after the last of those that were parsed, more is parsed, or else read."""
        self._receiving = True
        try:
            message = await self.queue.get()
        finally:
            self._receiving = False
        if self.queue.empty():
            if self._unparsed:
                self._parse_soon()
            else:  # also where only the pieces of the request had paused it
                self._resume()
        return message

    def handle_ping(self) -> None:
        """Answer it, unless former answers are still unread: they would pile up."""
        pong = b"".join(self.conn.data_to_send())
        if self.transport.get_write_buffer_size() <= WRITE_BUFFER_BYTES:
            self.transport.write(pong)

    def keepalive_timeout(self) -> None:
        """No pong came. A client that meanwhile sent something else lives: its pong waits behind unread audio."""
        if self._heard_at > self.ping_sent_at:
            self.pong_timer = None
            self.pending_ping_payload = None
            self.schedule_ping()
            return
        # Not `close`, which waits until a dead peer has taken what is buffered.
        self.transport.abort()

    def shutdown(self) -> None:
        """The server stops, and does not wait for a client that does not read."""
        super().shutdown()
        self.loop.call_later(FAREWELL_S, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        """Without a closing handshake the client has vanished, whatever the transport calls it."""
        self._leave_gathering()
        self._unparsed = memoryview(b"")
        said_good_bye = self.conn.close_rcvd is not None or self.close_sent
        if self.handshake_complete and not said_good_bye:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": VANISHED})
        super().connection_lost(exc)
