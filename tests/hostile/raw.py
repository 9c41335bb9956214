"""A WebSocket client by hand: sends what it likes, reads when it likes, answers no ping unless asked to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri


class RawClient:
    """One joined socket. Nothing is read of it but by :meth:`frames`."""

    def __init__(self, sock: socket.socket, protocol: ClientProtocol) -> None:
        self.sock = sock
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def join(cls, url: str, *, receive_buffer: int | None = None) -> RawClient:
        """Dial ``url``; with a ``receive_buffer`` of so many bytes the kernel hides little."""
        loop = asyncio.get_running_loop()
        parts = urlsplit(url)
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await loop.sock_connect(sock, (parts.hostname, parts.port))
        protocol = ClientProtocol(parse_uri(url), max_size=None)
        protocol.send_request(protocol.connect())
        await loop.sock_sendall(sock, b"".join(protocol.data_to_send()))
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += await loop.sock_recv(sock, 1)
        protocol.receive_data(answer)
        assert protocol.handshake_exc is None
        list(protocol.events_received())
        return cls(sock, protocol)

    @property
    def port(self) -> int:
        """Its own."""
        return int(self.sock.getsockname()[1])

    async def send(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        """One frame."""
        await self.send_bytes(frame(opcode, payload, fin=fin))

    async def send_bytes(self, data: bytes) -> None:
        """Whatever that is."""
        await self._loop.sock_sendall(self.sock, data)

    async def frames(self, *, pong: bool = False) -> list[Frame]:
        """What comes next; empty at the end. With ``pong``, pings are answered."""
        while True:
            try:
                data = await self._loop.sock_recv(self.sock, 65536)
            except ConnectionError:
                return []
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            answers = b"".join(self._protocol.data_to_send())
            if pong and answers and data:
                await self.send_bytes(answers)
            found = [event for event in self._protocol.events_received() if isinstance(event, Frame)]
            if found or not data:
                return found

    async def until_closed(self) -> tuple[int, str]:
        """Read on to the close frame and answer it: its code and reason, 1006 where the connection just broke."""
        while self._protocol.close_rcvd is None and await self.frames():
            pass
        close = self._protocol.close_rcvd
        if close is None:
            return 1006, ""
        with contextlib.suppress(ConnectionError):
            await self.send(Opcode.CLOSE, close.serialize())
        return int(close.code), close.reason

    def vanish(self) -> None:
        """Break the connection."""
        with contextlib.suppress(OSError):
            self.sock.close()


def frame(opcode: Opcode, payload: bytes, *, fin: bool = True) -> bytes:
    """One masked frame, as clients send them."""
    return Frame(opcode, payload, fin).serialize(mask=True)
