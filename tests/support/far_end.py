"""The far end of a data connection: a real WebSocket server on 127.0.0.1, and what came to it."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

TLS = Path(__file__).parents[1] / "tools" / "tls"
"""A certificate of tools.example, signed by itself."""


@dataclass
class Came:
    """One thing that came, on which connection (counted from 1)."""

    at: float
    connection: int
    data: str | bytes

    @property
    def message(self) -> dict[str, Any]:
        assert isinstance(self.data, str)
        loaded: dict[str, Any] = json.loads(self.data)
        return loaded


@dataclass
class FarEnd:
    """``reads`` False: connections are accepted and never read. ``answers``: statuses given before any is accepted."""

    reads: bool = True
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    requests: list[Request] = field(default_factory=list)
    connections: list[ServerConnection] = field(default_factory=list)
    came: list[Came] = field(default_factory=list)
    closed: list[tuple[int | None, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        self.server: Server | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def connection(self) -> ServerConnection:
        return self.connections[-1]

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [item.message for item in self.came if isinstance(item.data, str)]
        return [message for message in found if kind in (None, message["type"])]

    def audio(self) -> list[bytes]:
        return [item.data for item in self.came if isinstance(item.data, bytes)]

    async def send(self, message: dict[str, Any] | str) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def until(self, ready: Callable[[FarEnd], object], timeout_s: float = 10) -> None:
        """Wait until that is so; whatever comes, connects or closes is a reason to look."""
        async with asyncio.timeout(timeout_s):
            while not ready(self):
                self._news.clear()
                await self._news.wait()

    async def until_message(self, kind: str, count: int = 1, timeout_s: float = 10) -> dict[str, Any]:
        """The ``count``-th message of that kind."""
        await self.until(lambda _: len(self.messages(kind)) >= count, timeout_s)
        return self.messages(kind)[count - 1]

    def answer(self, _connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        self._news.set()
        if not self.answers:
            return None
        status, headers = self.answers.pop(0)
        return Response(status, HTTPStatus(status).phrase, Headers({**headers, "Content-Length": "0"}), b"")

    async def take(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        number = len(self.connections)
        self._news.set()
        if not self.reads:
            await connection.wait_closed()
            return
        try:
            while True:
                data = await connection.recv()
                self.came.append(Came(asyncio.get_running_loop().time(), number, data))
                self._news.set()
        except ConnectionClosed as error:
            self.closed.append((error.rcvd.code, error.rcvd.reason) if error.rcvd is not None else (None, ""))
            self._news.set()


@asynccontextmanager
async def far_end(
    *, reads: bool = True, tls: bool = False, port: int = 0, answers: list[tuple[int, dict[str, str]]] | None = None
) -> AsyncIterator[FarEnd]:
    """Serve on a free port (or ``port``) until it is left; connections end with it."""
    end = FarEnd(reads, answers or [])
    context: ssl.SSLContext | None = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
    async with serve(
        *(end.take, "127.0.0.1", port),
        ssl=context,
        process_request=end.answer,
        compression=None,
        ping_interval=None,
        close_timeout=0.2,
        max_queue=1 if not reads else 1024,
    ) as end.server:
        end.port = end.server.sockets[0].getsockname()[1]
        yield end
