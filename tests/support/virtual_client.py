"""A client in memory for sessions on virtual time: plays what it is sent in real time, and knows what it heard."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from antiphon.engines.protocols import Samples
from antiphon.media.protocol import AudioIn, Closed, Incoming, TextIn

FRAME_S = 0.02


@dataclass
class Sent:
    """One thing the server sent."""

    at: float
    audio: Samples | None = None
    message: dict[str, Any] | None = None


@dataclass
class VirtualClient:
    """A ``Medium`` whose other end is this object."""

    input_rate: int = 16_000
    output_rate: int = 24_000
    received: list[Sent] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self._incoming: asyncio.Queue[Incoming] = asyncio.Queue()
        self._plays_until = 0.0
        self.underruns = 0
        self.most_ahead_s = 0.0
        self.heard: list[Samples] = []
        self._buffer: list[tuple[float, Samples]] = []

    # Medium

    async def receive(self) -> Incoming:
        return await self._incoming.get()

    def send_audio(self, data: bytes) -> None:
        samples = np.frombuffer(data, "<i2").astype(np.int16)
        self.received.append(Sent(self.now, audio=samples))
        starts = max(self.now, self._plays_until)
        self._plays_until = starts + len(samples) / self.output_rate
        self._buffer.append((starts, samples))
        self.most_ahead_s = max(self.most_ahead_s, self._plays_until - self.now)

    def send_message(self, message: dict[str, Any]) -> None:
        self.received.append(Sent(self.now, message=message))
        if message["type"] == "playback_clear_buffer":
            self._play()
            self._buffer.clear()
            self._plays_until = self.now

    @property
    def backed_up(self) -> bool:
        return False

    def drop_audio(self) -> None:
        pass

    async def close(self, code: int, reason: str) -> None:
        self._play()
        self.closed = self.closed or (code, reason)

    # The other end

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def say(self, text: str) -> None:
        self._incoming.put_nowait(TextIn(text))

    def leave(self) -> None:
        self._incoming.put_nowait(Closed(1000, clean=True))

    async def speak(self, script: str, seconds_a_sign: float = 0.1) -> None:
        """Send audio in real time: ``#`` is speech, ``.`` silence, each ``seconds_a_sign`` long."""
        count = int(FRAME_S * self.input_rate)
        begun, frame = self.now, 0
        for sign in script:
            for _ in range(round(seconds_a_sign / FRAME_S)):
                level = 8_000 if sign == "#" else 0
                self._incoming.put_nowait(AudioIn(np.full(count, level, "<i2").tobytes()))
                frame += 1
                await asyncio.sleep(max(0.0, begun + frame * FRAME_S - self.now))

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        return [s.message for s in self.received if s.message is not None and kind in (None, s.message["type"])]

    def heard_samples(self) -> Samples:
        """What came out of the client's loudspeaker."""
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
        """Silences, in seconds, between audio that arrived late and what was played before it, within replies."""
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
