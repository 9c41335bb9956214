"""A real HTTP server on 127.0.0.1 whose answers a test gives; it keeps what it was sent, byte by byte."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote, urlsplit

TLS = Path(__file__).parent / "tls"
"""A certificate of tools.example, signed by itself."""


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    server_name: str | None = None

    @property
    def path(self) -> list[str]:
        return [unquote(segment) for segment in urlsplit(self.target).path.split("/")[1:]]

    @property
    def query(self) -> list[tuple[str, str]]:
        return parse_qsl(urlsplit(self.target).query, keep_blank_values=True, strict_parsing=True)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(found) < 2
        return found[0] if found else None


Answer: TypeAlias = "bytes | Callable[[Received], Awaitable[bytes]]"


def answer(status: int = 200, body: bytes | str = b"", **headers: str) -> bytes:
    """A response; underscores in the names of headers stand for hyphens."""
    content = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} Reason", f"Content-Length: {len(content)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


class Server:
    """``answers`` are used one after the other, the last one for ever. An empty one is none: the client waits."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.received: list[Received] = []
        self.gone = asyncio.Event()
        """Set when a client has closed its connection."""
        self.port = 0
        self.server_names: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request = await self._request(reader)
            self.received.append(request)
            reply = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
            writer.write(reply if isinstance(reply, bytes) else await reply(request))
            await writer.drain()
            await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.gone.set()
            writer.close()

    async def _request(self, reader: asyncio.StreamReader) -> Received:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, target, _ = head[0].split(" ")
        pairs = [line.partition(":") for line in head[1:] if line]
        headers = tuple((name, value.strip(" ")) for name, _, value in pairs)
        length = {name.lower(): value for name, value in headers}.get("content-length", "0")
        return Received(method, target, headers, await reader.readexactly(int(length)))


@asynccontextmanager
async def serving(*answers: Answer, tls: bool = False) -> AsyncIterator[Server]:
    """A server on a free port; its open connections end with it."""
    server = Server(*answers)
    context: ssl.SSLContext | None = None
    if tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
        context.sni_callback = lambda _socket, name, _context: server.server_names.append(name)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(server.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
