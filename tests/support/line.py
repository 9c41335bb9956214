"""Real sockets into an application that only notes what it hears; what is gathered is read when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import sys
import termios
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import uvicorn
from websockets.frames import Close, Opcode

from antiphon.media.websocket.batch_reader import BatchReader
from antiphon.media.websocket.socket import EXTENSION, CallSocket
from antiphon.process.listener import address, listen
from tests.hostile.raw import RawClient, frame

TIMEOUT_S = 10.0
MAX_MESSAGE_BYTES = 4_000_000

Heard: TypeAlias = tuple[str, bytes | str | int]

Play: TypeAlias = Callable[..., None]
"""``play(scene, **settings)``: ``scene(line)`` on a loop of its own."""


class Watched(CallSocket):
    """Counts what it reads, and by whom."""

    received = 0
    by_transport = 0
    _at_a_beat = False

    def _read(self) -> None:
        self._at_a_beat = True
        try:
            super()._read()
        finally:
            self._at_a_beat = False

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        if not self._at_a_beat:
            self.by_transport += len(data)
        super().data_received(data)


class Call:
    """The application's side of one connection."""

    def __init__(self, socket: Watched) -> None:
        self.socket = socket
        self.heard: list[Heard] = []
        self.listens = asyncio.Event()
        """While it is not set nothing is received."""
        self.listens.set()
        self.wishes: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        """What it shall send."""
        self.joined = False
        self.over = False

    @property
    def audio(self) -> bytes:
        return b"".join(data for kind, data in self.heard if kind == "audio" and isinstance(data, bytes))

    @property
    def code(self) -> int | None:
        """Of the close, as the application got it."""
        codes = [code for kind, code in self.heard if kind == "closed" and isinstance(code, int)]
        return codes[0] if codes else None

    def take(self, audio: bytes) -> None:
        self.heard.append(("audio", audio))


class Line:
    """The server's end. ``beat`` is the clock's."""

    def __init__(self) -> None:
        self.batch_reader = BatchReader()
        self.calls: list[Call] = []
        self.gathers = asyncio.Event()
        """While it is not set calls are accepted, but not gathered."""
        self.gathers.set()
        self.at_once = True
        """Audio is delivered past the ASGI queue."""
        self.troubles: list[dict[str, Any]] = []
        """What the event loop was told of."""
        self.url = ""
        self.server: uvicorn.Server | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI application."""
        await receive()
        await send({"type": "websocket.accept"})
        call = Call(scope["extensions"][EXTENSION])
        self.calls.append(call)
        await self.gathers.wait()
        call.socket.read_in_batches(self.batch_reader)
        if self.at_once:
            call.socket.on_audio = call.take
        call.joined = True
        sending = asyncio.create_task(self._send(call, send))
        while not call.over:
            await call.listens.wait()
            message = await receive()
            if (data := message.get("bytes")) is not None:
                call.take(data)
            elif (text := message.get("text")) is not None:
                call.heard.append(("text", text))
            else:
                call.heard.append(("closed", message["code"]))
                call.over = True
        call.socket.on_audio = None
        sending.cancel()

    @staticmethod
    async def _send(call: Call, send: Any) -> None:
        while True:
            await send(await call.wishes.get())

    async def join(self, more: str = "") -> tuple[RawClient, Call]:
        """A client and its call, gathered unless that waits."""
        before = len(self.calls)
        client = await RawClient.join(f"{self.url}/{more}")
        await self.until(lambda: len(self.calls) > before and (not self.gathers.is_set() or self.calls[-1].joined))
        return client, self.calls[-1]

    async def beat(self) -> None:
        """One beat, and what follows from it."""
        self.batch_reader.take_in()
        await asyncio.sleep(0)

    async def until(self, true: Callable[[], Any], *, beating: bool = True) -> int:
        """Beat after beat until that is so; how many it took."""
        beats = 0
        async with asyncio.timeout(TIMEOUT_S):
            while not true():
                if beating:
                    await self.beat()
                    beats += 1
                await asyncio.sleep(0.0005)  # neither the kernel nor a timer waits for beats
        return beats

    async def all_gone(self) -> None:
        """Until no connection is left, nor anything of it."""
        assert self.server is not None
        state = self.server.server_state
        await self.until(lambda: not state.connections and not state.tasks)
        assert len(self.batch_reader) == 0


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


@asynccontextmanager
async def line(**settings: Any) -> AsyncIterator[Line]:
    """A server; at the end nothing of any call may be left, and no error have been told.

    ``settings`` are uvicorn's.
    """
    this = Line()
    asyncio.get_running_loop().set_exception_handler(lambda _, context: this.troubles.append(context))
    config = uvicorn.Config(
        this,
        http="httptools",
        ws=Watched,
        ws_max_size=MAX_MESSAGE_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        **settings,
    )
    with contextlib.closing(listen("127.0.0.1", 0)) as sock, contextlib.closing(this.batch_reader):
        this.url = address(sock, "127.0.0.1").replace("http", "ws")
        this.server = _Server(config)
        serving = asyncio.create_task(this.server.serve(sockets=[sock]))
        await this.until(lambda: this.server is not None and this.server.started)
        try:
            yield this
            await this.all_gone()
        except BaseException:
            this.server.force_exit = True  # does not wait for calls that nobody will end now
            raise
        finally:
            this.server.should_exit = True
            await serving
    assert this.troubles == []


def audio(payload: bytes) -> bytes:
    return frame(Opcode.BINARY, payload)


def text(payload: str) -> bytes:
    return frame(Opcode.TEXT, payload.encode())


def reset(client: RawClient) -> None:
    """Break the connection without a word."""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.vanish()


def waiting_bytes(call: Call) -> int:
    """What has come, and has not been read."""
    count = fcntl.ioctl(call.socket.transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
    return int.from_bytes(count, sys.byteorder)


async def good_bye(this: Line, client: RawClient, call: Call) -> None:
    """A close frame, and its answer."""
    await client.send(Opcode.CLOSE, Close(1000, "").serialize())
    await this.until(lambda: call.code is not None)
    assert call.code == 1000
    assert (await client.until_closed())[0] == 1000
    client.vanish()


def play_on(loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> Play:
    """For scenes on loops of that make."""

    def play(scene: Callable[[Line], Awaitable[None]], **settings: Any) -> None:
        async def played() -> None:
            async with line(**settings) as this:
                await scene(this)

        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(played())

    return play
