"""A client in memory, for calls on virtual time: it plays what it is sent in real time, and knows what it heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from antiphon.audio.pcm import Samples
from antiphon.audio.playout import ModelledPlayout, Playout
from antiphon.media.protocol import Audio, Digits, Incoming, Left, Message

FRAME_S = 0.02
"""Length of a frame of the caller's sound."""

SPEECH_LEVEL = 8_000
"""Of the samples that :meth:`ReferenceMedium.speak` sends as speech."""


@dataclass
class Sent:
    """One thing that the client was sent: a frame of sound or a data message. ``at``: when, in seconds."""

    at: float
    audio: Samples | None = None
    message: dict[str, Any] | None = None


@dataclass
class ReferenceMedium:
    """A :class:`~antiphon.media.protocol.Medium` whose other end is this object.

    The first half is the medium, for a session. The second half is the client: what it says, and what it got.
    ``input_rate`` and ``output_rate`` are in Hz, ``client_buffer_ms`` is how much sound the client wants ahead.
    """

    input_rate: int = 16_000
    output_rate: int = 24_000
    client_buffer_ms: int = 60
    received: list[Sent] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self._incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self.playout: Playout = ModelledPlayout(self.output_rate, self.client_buffer_ms)
        self._plays_until = 0.0
        self.underruns = 0
        self.most_ahead_s = 0.0
        self.heard: list[Samples] = []
        self._buffer: list[tuple[float, Samples]] = []
        self._waiting: list[bytes | dict[str, Any]] | None = None

    # Medium

    async def receive(self) -> Incoming:
        """Wait for what the client says next."""
        return await self._incoming.get()

    def send_audio(self, data: bytes) -> None:
        """Play a frame after those that are not played yet."""
        if self._queued(data):
            return
        samples = np.frombuffer(data, "<i2").astype(np.int16)
        self.received.append(Sent(self.now, audio=samples))
        starts = max(self.now, self._plays_until)
        self._plays_until = starts + len(samples) / self.output_rate
        self._buffer.append((starts, samples))
        self.most_ahead_s = max(self.most_ahead_s, self._plays_until - self.now)

    def send_message(self, message: dict[str, Any]) -> None:
        """Keep a data message; clear the buffer where it says so."""
        if self._queued(message):
            return
        self.received.append(Sent(self.now, message=message))
        if message["type"] == "playback_clear_buffer":
            self._play()
            self._buffer.clear()
            self._plays_until = self.now

    @property
    def backed_up(self) -> bool:
        """Whether the client takes nothing at present."""
        return self._waiting is not None

    def interrupt(self, unplayed: int | None) -> None:
        """Tell the client to clear its buffer, where something may be in it."""
        if self._waiting is not None:
            self._waiting = [item for item in self._waiting if isinstance(item, dict)]
        if unplayed != 0:
            self.send_message({"type": "playback_clear_buffer"})

    async def close(self, code: int, reason: str) -> None:
        """Note the close code and the reason."""
        self._play()
        self.closed = self.closed or (code, reason)

    def _queued(self, item: bytes | dict[str, Any]) -> bool:
        if self.closed is None and self._waiting is not None:
            self._waiting.append(item)
        return self.closed is not None or self._waiting is not None

    # The other end

    @property
    def now(self) -> float:
        """Seconds on the running loop's clock."""
        return asyncio.get_running_loop().time()

    def say(self, text: str) -> None:
        """Send a data message, as JSON text."""
        self._incoming.put_nowait(Message(text))

    def hear(self, data: bytes) -> None:
        """Send sound: s16le at the input rate, of any length."""
        self._incoming.put_nowait(Audio(data))

    def stall(self) -> None:
        """Take nothing more, until :meth:`resume`."""
        self._waiting = []

    def resume(self) -> None:
        """Take what waits, and what follows."""
        waiting, self._waiting = self._waiting or [], None
        for item in waiting:
            if isinstance(item, bytes):
                self.send_audio(item)
            else:
                self.send_message(item)

    def press(self, digits: str) -> None:
        """Press keys, as on a telephone."""
        self._incoming.put_nowait(Digits(digits))

    def leave(self, *, clean: bool = True) -> None:
        """Hang up, or vanish without a word."""
        self._incoming.put_nowait(Left(1000 if clean else 1006, clean=clean))

    async def speak(self, script: str, seconds_a_sign: float = 0.1) -> None:
        """Send sound in real time: ``#`` is speech, ``.`` silence, each ``seconds_a_sign`` long."""
        count = int(FRAME_S * self.input_rate)
        begun, frame = self.now, 0
        for sign in script:
            for _ in range(round(seconds_a_sign / FRAME_S)):
                level = SPEECH_LEVEL if sign == "#" else 0
                self._incoming.put_nowait(Audio(np.full(count, level, "<i2").tobytes()))
                frame += 1
                await asyncio.sleep(max(0.0, begun + frame * FRAME_S - self.now))

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Return the data messages that came, of one type or all."""
        return [s.message for s in self.received if s.message is not None and kind in (None, s.message["type"])]

    def heard_samples(self) -> Samples:
        """Return what came out of the client's loudspeaker."""
        self._play()
        return np.concatenate(self.heard) if self.heard else np.zeros(0, np.int16)

    def _play(self) -> None:
        kept = []
        for starts, samples in self._buffer:
            count = int(np.clip((self.now - starts) * self.output_rate, 0, len(samples)))
            if count:
                self.heard.append(samples[:count])
            if count < len(samples):
                kept.append((starts + count / self.output_rate, samples[count:]))
        self._buffer = kept

    def gaps(self) -> list[float]:
        """Return the silences, in seconds, that the client heard within replies because sound came late."""
        silent, until, gaps = True, 0.0, []
        for sent in self.received:
            if sent.message is not None and sent.message["type"] in ("state", "playback_clear_buffer"):
                silent = True
            if sent.audio is not None:
                if not silent and sent.at > until + 1e-6:
                    gaps.append(sent.at - until)
                until = max(until if not silent else sent.at, sent.at) + len(sent.audio) / self.output_rate
                silent = False
        return gaps
