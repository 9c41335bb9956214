"""One joined call, from the caller's chair: sound goes out like a microphone's, what comes in is kept with its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from antiphon.client.address import reason, trust
from antiphon.client.playback import Playback
from antiphon.client.voice import Source, Utterance, Voice
from antiphon.client.wav import Samples
from antiphon.errors import CallEnded, SetupError

FRAME_S = 0.020
"""Length of what is sent at a time."""

GOODBYE_S = 3.0
"""For the server to answer that we hang up."""


@dataclass(frozen=True, slots=True)
class Received:
    """One data message and when it came, in seconds since the join."""

    at: float
    body: dict[str, Any]

    @property
    def type(self) -> str:
        """The message's ``type``."""
        return str(self.body.get("type", ""))


@dataclass(frozen=True, slots=True)
class Chunk:
    """One frame of the agent's audio: when it came, in seconds since the join, and its length."""

    at: float
    samples: int


class Caller:
    """A joined call. Made by :func:`join`; everything in it is in seconds since the join."""

    def __init__(self, socket: ClientConnection, source: Source, input_rate: int, output_rate: int) -> None:
        self.playback = Playback(output_rate)
        self.received: list[Received] = []
        self.chunks: list[Chunk] = []
        self.utterances: list[Utterance] = []
        self.closed: tuple[int, str] | None = None
        """Close code and reason, once the socket is closed."""
        self.on_message: Callable[[Received], None] | None = None
        self.on_audio: Callable[[bytes], None] | None = None
        self._socket = socket
        self._source = source
        self.input_rate = input_rate
        self._started = asyncio.get_running_loop().time()
        self._news = asyncio.Event()

    @property
    def now(self) -> float:
        """Seconds since the join."""
        return asyncio.get_running_loop().time() - self._started

    @property
    def state(self) -> str:
        """The agent's state as the server last told it; ``idle`` before that."""
        states = (message.body.get("state") for message in reversed(self.received) if message.type == "state")
        return str(next(states, "idle"))

    async def say(self, samples: Samples) -> Utterance:
        """Speak ``samples`` (at the input rate) and return when the last one was sent.

        Raises :class:`CallEnded` where the call ends meanwhile. Only for calls joined with a :class:`Voice`.
        """
        assert isinstance(self._source, Voice), "say() needs a Voice as the source"
        done = self._source.say(samples)
        done.add_done_callback(lambda _: self._tell())
        await self.until(done.done)
        utterance = done.result()
        self.utterances.append(utterance)
        return utterance

    async def send(self, message: dict[str, Any]) -> None:
        """Send one data message."""
        try:
            await self._socket.send(json.dumps(message))
        except ConnectionClosed:
            await self.until_closed()
            raise CallEnded(*self._ended()) from None

    async def until(self, condition: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Return as soon as ``condition()`` holds; it is asked again whenever something happened.

        Raises :class:`TimeoutError`, or :class:`CallEnded` where the call ends before.
        """
        async with asyncio.timeout(timeout_s):
            while not condition():
                if self.closed is not None:
                    raise CallEnded(*self.closed)
                await self._news.wait()

    async def until_message(
        self, matches: Callable[[Received], bool], *, after_s: float = 0.0, timeout_s: float | None = None
    ) -> Received:
        """The first message at or after ``after_s`` that ``matches``, waited for if need be."""
        found: list[Received] = []

        def look() -> bool:
            found.extend(message for message in self.received if message.at >= after_s and matches(message))
            return bool(found)

        await self.until(look, timeout_s)
        return found[0]

    async def until_closed(self, timeout_s: float | None = None) -> tuple[int, str]:
        """Wait until the other side has closed; its close code and reason."""
        await self.until(lambda: self.closed is not None, timeout_s)
        return self._ended()

    async def hang_up(self) -> None:
        """Close the socket, as a caller does who hangs up."""
        await self._socket.close()

    async def run_sending(self) -> None:
        """Send a frame every 20 ms, on a schedule that makes up for late wake-ups."""
        loop = asyncio.get_running_loop()
        count = sent = 0
        try:
            while self.closed is None:
                count += 1
                await asyncio.sleep(max(0.0, self._started + count * FRAME_S - loop.time()))
                until = round(count * FRAME_S * self.input_rate)
                await self._socket.send(self._source.read(until - sent).astype("<i2").tobytes())
                sent = until
        except ConnectionClosed:
            return

    async def run_receiving(self) -> None:
        """Take in what comes until the socket is closed."""
        try:
            async for data in self._socket:
                self._take(data)
                self._tell()
        except ConnectionClosed:
            pass
        finally:
            await self._socket.wait_closed()
            self.closed = (self._socket.close_code or 1006, self._socket.close_reason or "")
            self._tell()

    def _take(self, data: str | bytes) -> None:
        at = self.now
        if isinstance(data, bytes):
            self.chunks.append(Chunk(at, self.playback.push(data, at)))
            if self.on_audio is not None:
                self.on_audio(data)
            return
        message = Received(at, json.loads(data))
        if message.type == "playback_clear_buffer":
            self.playback.clear(at)
        self.received.append(message)
        if self.on_message is not None:
            self.on_message(message)

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def _ended(self) -> tuple[int, str]:
        return self.closed or (1006, "")


@asynccontextmanager
async def join(
    url: str,
    source: Source,
    *,
    input_rate: int,
    output_rate: int,
    on_message: Callable[[Received], None] | None = None,
    on_audio: Callable[[bytes], None] | None = None,
) -> AsyncIterator[Caller]:
    """Join the call at ``url`` (its ``joinUrl``) and speak from ``source``; leaving the block hangs up.

    Raises :class:`SetupError` where nothing answers there. A server that answers and refuses closes the
    socket: see ``Caller.closed``.
    """
    try:
        socket = await connect(
            url,
            compression=None,
            max_size=None,
            proxy=None,
            open_timeout=20,
            close_timeout=GOODBYE_S,
            ssl=trust(url),
        )
    except (OSError, InvalidURI, InvalidHandshake, TimeoutError, ValueError) as error:
        raise _cannot_join(url, error) from error
    caller = Caller(socket, source, input_rate, output_rate)
    caller.on_message, caller.on_audio = on_message, on_audio
    receiving = asyncio.create_task(caller.run_receiving(), name="caller receives")
    sending = asyncio.create_task(caller.run_sending(), name="caller speaks")
    try:
        yield caller
    finally:
        await socket.close()
        sending.cancel()
        results = await asyncio.gather(receiving, sending, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _cannot_join(url: str, error: Exception) -> SetupError:
    """The address is a secret until used, hence only its host is named."""
    scheme, found, rest = url.partition("://")
    host = rest.split("?")[0].split("/")[0].rpartition("@")[2]
    if scheme not in ("ws", "wss") or not found or not host:
        return SetupError("this is no joinUrl: one begins with ws:// or wss:// (quote it: it may hold ? and &)")
    match error:
        case InvalidStatus():
            why = f"it answered {error.response.status_code} and takes no calls at this address"
        case OSError() | InvalidHandshake():
            why = reason(error)
        case _:
            return SetupError(f"the joinUrl at {host} is no address; give it as the server answered it, in quotes")
    return SetupError(f"cannot join the call at {host}: {why}; is its server running, and is this a joinUrl of it?")
