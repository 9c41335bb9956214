"""Where a caller's sound comes from: silence, and whatever is given it to say."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from antiphon.client.wav import Samples


class Source(Protocol):
    """A microphone, or something that behaves like one."""

    def read(self, count: int) -> Samples:
        """The next ``count`` samples; silence where there is nothing."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """When something was said, in seconds since the join. Silence at the end of a clip is not speech."""

    started_s: float
    ended_s: float


_QUIET = 0.01
"""Of full scale: what lies below at the end of a clip is silence."""


def speech_end(samples: Samples) -> int:
    """The number of samples up to the last loud one; all of them where none is loud."""
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > _QUIET * 32_768)
    return int(loud[-1]) + 1 if len(loud) else len(samples)


class Voice:
    """Says what it is given, one thing after the other, and is silent between. Keeps all that was said."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._waiting: deque[tuple[Samples, asyncio.Future[Utterance]]] = deque()
        self._started = 0
        self._offset = 0
        self._position = 0
        self._said: list[Samples] = []

    def say(self, samples: Samples) -> asyncio.Future[Utterance]:
        """Queue ``samples``; the future is done when the last of them has been read."""
        done: asyncio.Future[Utterance] = asyncio.get_running_loop().create_future()
        if len(samples):
            self._waiting.append((samples, done))
        else:
            done.set_result(Utterance(self._position / self.rate, self._position / self.rate))
        return done

    def read(self, count: int) -> Samples:
        """The next ``count`` samples of what is to be said; silence after it."""
        frame = np.zeros(count, np.int16)
        filled = 0
        while self._waiting and filled < count:
            samples, done = self._waiting[0]
            if self._offset == 0:
                self._started = self._position + filled
            piece = samples[self._offset : self._offset + count - filled]
            frame[filled : filled + len(piece)] = piece
            filled += len(piece)
            self._offset += len(piece)
            if self._offset == len(samples):
                self._waiting.popleft()
                self._offset = 0
                if not done.done():
                    ended = self._started + speech_end(samples)
                    done.set_result(Utterance(self._started / self.rate, ended / self.rate))
        self._position += count
        self._said.append(frame)
        return frame

    def said(self) -> Samples:
        """Everything read so far, silence included."""
        return np.concatenate(self._said) if self._said else np.zeros(0, np.int16)
