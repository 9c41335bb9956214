"""One call to be counted: a real socket, session and core, with engines that do nothing and a clock turned by hand."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from operator import getitem
from typing import Any, Self

import numpy as np
import uvicorn
import uvloop
from starlette.websockets import WebSocket
from uvicorn.server import ServerState

from antiphon.call.ends import EndReason
from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent
from antiphon.call.prompt import Prompt
from antiphon.call.settings import CallSettings
from antiphon.engines.protocols import Generated, Samples
from antiphon.media.protocol import MediumSettings
from antiphon.media.websocket.medium import KIND, JoinedSocket, WebSocketMedium
from antiphon.media.websocket.socket import EXTENSION, CallSocket
from antiphon.session.pacer import Pacer
from antiphon.session.parts import CallEngines, SessionParts
from antiphon.session.session import Session
from antiphon.wire.outgoing import WEBSOCKET_DEFAULTS

OUTPUT_RATE = 24_000
CLIENT_BUFFER_MS = 60
CHARACTER_S = 0.07
"""Of speech."""

MOST_ROUNDS = 10_000
"""Of the event loop, until something that is awaited has happened."""

_ROOM_BYTES = 8 * 1024 * 1024
_MASK = bytes((17, 34, 51, 68))


class Clock:
    """The time of an event loop, turned by hand. Asking for it costs no more than it does of a real one."""

    def __init__(self) -> None:
        self.hands = [100.0]
        asyncio.get_running_loop().time = partial(getitem, self.hands, 0)  # type: ignore[method-assign, assignment]


class Loop(uvloop.Loop):
    """uvloop's, with room for another idea of time."""


class Wire(asyncio.Transport):
    """The lower end of a connection. ``packet`` is what the client sends next; ``sent`` is what it gets."""

    def __init__(self) -> None:
        super().__init__()
        # Unlike a stream it gives one packet to each reading, however many wait.
        self._near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._near, self._far):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)
        self.sent: list[bytes] = []
        self.write = self.sent.append  # type: ignore[method-assign, assignment]
        self._closing = False

    def packet(self, data: bytes) -> None:
        try:
            self._far.send(data)
        except BlockingIOError:
            raise RuntimeError("more packets than the kernel holds at once: count fewer units") from None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._near if name == "socket" else default

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self._closing = True
        self._near.close()
        self._far.close()

    abort = close


class HandPacer(Pacer):
    """Asks nobody: ``ask(now)`` is the player that wants to be asked."""

    ask: Callable[[float], None] | None = None

    def add(self, player: Callable[[float], None], on_broken: Callable[[], None]) -> int:
        self.ask = player
        return super().add(player, on_broken)


class Activity:
    """Voice activity without a judgement: ``score`` is told what somebody else thinks of the next frame."""

    def __init__(self) -> None:
        self.frames: list[Samples] = []
        self.score: Callable[[float], None] | None = None

    def open(self, on_score: Callable[[float], None]) -> Self:
        self.score = on_score
        return self

    def push(self, frame: Samples) -> None:
        self.frames.append(frame)

    def close(self) -> None: ...


class Transcriber:
    """Hears the same from everybody."""

    def open(self, language: str | None) -> Self:
        return self

    def feed(self, frame: Samples, probability: float) -> None: ...

    async def text(self) -> str:
        return "I would like to know more about that"

    def close(self) -> None: ...


class Model:
    """Has nothing to say."""

    audio_input = False

    async def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        return
        yield


class Speaker:
    """Speaks at once, a hum."""

    sample_rate = OUTPUT_RATE

    def __init__(self) -> None:
        self.letters = 0
        """Spoken so far."""

    async def speak(self, text: str) -> AsyncIterator[Samples]:
        self.letters += letters(text)
        times = np.arange(int(len(text) * CHARACTER_S * OUTPUT_RATE)) / OUTPUT_RATE
        yield (8_000 * np.sin(2 * np.pi * 220 * times)).astype(np.int16)


class Forgetful:
    """A recorder that keeps nothing."""

    def keep(self, message: KeptMessage) -> None: ...

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None: ...


class CountedCall:
    """A call that was joined, as the server has it, from the socket up. Use as ``async with``."""

    def __init__(self, settings: CallSettings, input_rate: int = 16_000) -> None:
        self.clock = Clock().hands
        self.wire = Wire()
        self.pacer = HandPacer()
        self.activity = Activity()
        self.speaker = Speaker()
        self._settings = settings
        self._input_rate = input_rate
        self._medium: WebSocketMedium | None = None
        self._session: Session | None = None
        self._over = False
        self._socket: CallSocket | None = None
        noise = np.random.default_rng(1).integers(-300, 300, input_rate // 50, np.int16)
        self.packet = masked(noise.astype("<i2").tobytes())
        """20 ms of a quiet line, as they come over the network."""

    async def __aenter__(self) -> Self:
        config = uvicorn.Config(
            self._serve,
            interface="asgi3",
            ws=CallSocket,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
            log_config=None,
        )
        config.load()
        self._socket = CallSocket(config, ServerState(), {}, asyncio.get_running_loop())
        self._socket.connection_made(self.wire)
        self._socket.data_received(request())
        await until(lambda: self._socket is not None and self._socket.on_audio is not None, "the call has begun")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._socket is not None
        assert self._session is not None
        self._session.end(EndReason.HANGUP, 1000, "it has been counted")
        await until(lambda: self._over, "the call is over")
        self.wire.close()
        self._socket.connection_lost(None)

    @property
    def medium(self) -> WebSocketMedium:
        """What carries the call."""
        assert self._medium is not None
        return self._medium

    def hear(self, packets: int) -> None:
        """Let the call take in so many packets."""
        for _ in range(packets):
            self.clock[0] += 0.02
            self.wire.packet(self.packet)
            self.pacer.batch_reader.take_in()

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        websocket = WebSocket(scope, receive, send)
        await websocket.accept()
        direct: CallSocket = scope["extensions"][EXTENSION]
        direct.read_in_batches(self.pacer.batch_reader)
        engines = CallEngines(self.activity, None, Transcriber(), Model(), self.speaker)
        settings = MediumSettings(KIND, self._input_rate, OUTPUT_RATE, CLIENT_BUFFER_MS)
        async with WebSocketMedium(settings, JoinedSocket(websocket, direct)) as self._medium:
            parts = SessionParts(Forgetful(), WEBSOCKET_DEFAULTS)
            self._session = Session(self._settings, engines, self._medium, parts, self.pacer)
            await self._session.run()
        self._over = True


def letters(text: str) -> int:
    """How many of its characters are no space."""
    return len("".join(text.split()))


async def until(true: Callable[[], bool], what: str) -> None:
    """Let the event loop go round until that is so."""
    for _ in range(MOST_ROUNDS):
        if true():
            return
        await asyncio.sleep(0)
    raise RuntimeError(f"in vain it was waited until {what}")


def masked(payload: bytes) -> bytes:
    """A client's frame of a whole binary message, of 126 to 65,535 bytes."""
    mask = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    body = bytes(one ^ other for one, other in zip(payload, mask, strict=True))
    return bytes((0x82, 0x80 | 126)) + len(payload).to_bytes(2, "big") + _MASK + body


def request() -> bytes:
    """A client's request for a WebSocket."""
    lines = (
        "GET / HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}",
        "Sec-WebSocket-Version: 13",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
