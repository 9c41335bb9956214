"""Both sides of a call as one live stream: mixed, or apart in two channels, in frames of 20 ms.

The sides lie on one timeline as in a recording (``session/recording_track.py``): the caller's audio clock. What the
caller sends is put down as it comes; the agent's sound where the caller's audio was when it was heard. Unlike a
recording, a stream cannot wait for a caller who sends nothing: the timeline then runs on with the clock, the caller
silent.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from antiphon.audio.pcm import Framer, Samples, bytes_from_samples, silence
from antiphon.audio.resampling import LiveResampler

FRAMES_A_SECOND = 50

HELD_BACK_FRAMES = 3
"""What the agent said is known so much later than what the caller said, at the most."""

PATIENCE_S = 0.5
"""How late the caller's audio may come before the timeline runs on without it."""

JITTER_S = 0.03
"""The agent's sound that was heard within this of where the last ended follows it without a gap."""

MOST_AT_ONCE = 10
"""Frames given at one time; a caller who sends a minute at once must not keep other calls waiting."""


class Duplex:
    """``caller`` and ``agent`` take samples, ``due`` gives frames: s16le at ``rate``.

    ``separated``: two channels, interleaved, the caller left and the agent right; else one, their sum, clipped.
    ``now`` is the call's clock in seconds, everywhere; the stream begins at ``begins_at``.
    """

    def __init__(self, caller_rate: int, agent_rate: int, rate: int, begins_at: float, *, separated: bool) -> None:
        self.rate = rate
        self.frame_samples = rate // FRAMES_A_SECOND
        self._separated = separated
        self._caller_rate = caller_rate
        self._agent_rate = agent_rate
        self._caller_resampler = LiveResampler(caller_rate, rate)
        self._agent_resampler = LiveResampler(agent_rate, rate)
        self._framer = Framer(self.frame_samples)
        self._caller: deque[Samples] = deque()
        self._taken = 0
        self._came_at = begins_at
        self._runs_on = False
        self._given = 0
        self._agent = silence(0)
        self._agent_end = 0
        self._heard_at: float | None = None

    def caller(self, samples: Samples, now: float) -> None:
        """The caller's next samples, as they came in."""
        missing_s = now - self._came_at - len(samples) / self._caller_rate
        if missing_s > PATIENCE_S or (self._runs_on and missing_s > 0):
            self._take(silence(int(missing_s * self._caller_rate)))
        self._runs_on = False
        self._take(samples)
        self._came_at = now

    def agent(self, samples: Samples, now: float) -> None:
        """The agent's samples that were heard up to ``now``."""
        length_s = len(samples) / self._agent_rate
        if self._heard_at is None or abs(now - length_s - self._heard_at) > JITTER_S:
            self._put(self._agent_resampler.flush())
            begins = round((self._clock_s(now) - length_s) * self.rate)
            self._agent_end = max(self._agent_end, begins)
        self._heard_at = now
        self._put(self._agent_resampler.push(samples))

    def due(self, now: float) -> list[bytes]:
        """The frames that are complete by now, oldest first. To be asked for about every 20 ms."""
        late_s = now - self._came_at - PATIENCE_S
        if late_s > 0:
            count = int(late_s * self._caller_rate)
            self._take(silence(count))
            self._came_at += count / self._caller_rate
            self._runs_on = True
        frames: list[bytes] = []
        while len(self._caller) > HELD_BACK_FRAMES and len(frames) < MOST_AT_ONCE:
            frames.append(self._frame())
        return frames

    def rest(self) -> list[bytes]:
        """The last frames: nothing more is heard of the agent."""
        return [self._frame() for _ in range(len(self._caller))]

    def _clock_s(self, now: float) -> float:
        return self._taken / self._caller_rate + now - self._came_at

    def _take(self, samples: Samples) -> None:
        self._taken += len(samples)
        self._caller.extend(self._framer.push(self._caller_resampler.push(samples)))

    def _put(self, samples: Samples) -> None:
        """Put the agent's next samples where they belong, or as near as the stream still is."""
        self._agent_end = max(self._agent_end, self._given)
        offset = self._agent_end - self._given
        if offset + len(samples) > len(self._agent):
            self._agent = np.concatenate((self._agent, silence(offset + len(samples) - len(self._agent))))
        self._agent[offset : offset + len(samples)] = samples
        self._agent_end += len(samples)

    def _frame(self) -> bytes:
        size = self.frame_samples
        caller = self._caller.popleft()
        agent = self._agent[:size]
        if len(agent) < size:
            agent = np.concatenate((agent, silence(size - len(agent))))
        self._agent = self._agent[size:]
        self._given += size
        if self._separated:
            return bytes_from_samples(np.column_stack((caller, agent)).reshape(-1))
        mixed = caller.astype(np.int32) + agent
        return bytes_from_samples(np.clip(mixed, -32768, 32767).astype(np.int16))
