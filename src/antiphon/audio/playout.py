"""Pacing: which audio of a reply goes to the client when, and how much of it has been heard by now.

The client is modelled, not asked: it plays in real time from the moment the first audio arrives, falls
silent when it runs dry, and goes on when more arrives. What it was sent and the clock say what it has heard.

Pure: time is an argument (seconds of any monotonic clock, never running backwards), and nothing waits here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from antiphon.audio.pcm import BYTES_PER_SAMPLE, Samples, bytes_from_samples

FRAMES_PER_SECOND: Final = 50
"""Audio leaves in frames of 20 ms."""

SHORTEST_LEAD_MS: Final = 40
"""The lead kept with smaller client buffers: one frame to play while the next one travels."""


@dataclass(frozen=True, slots=True)
class Cleared:
    """What an interruption found, in samples."""

    position_samples: int
    """Of the reply: heard by the client."""
    unplayed_samples: int
    """Sent, but not heard: the client must be told to drop them if this is not zero."""
    dropped_samples: int
    """Held here, and never sent."""


class Playout(Protocol):
    """How much of a call's sound the caller has heard, and which of it is due. Times are seconds of one clock."""

    @property
    def rate(self) -> int:
        """Of the samples, Hz."""

    @property
    def held(self) -> int:
        """Samples of the reply not sent yet."""

    @property
    def underruns(self) -> int:
        """How often the caller's buffer ran dry within a reply."""

    def begin(self, reply_number: int) -> None:
        """Open the next reply, and drop what is still held of the last one."""

    def push(self, samples: Samples) -> None:
        """Take more of the reply; nothing of a reply that was cleared."""

    def finish(self) -> None:
        """Note that no more is pushed for this reply."""

    def due(self, now: float) -> list[bytes]:
        """Return the frames (s16le) to send now, and count them as sent."""

    def position(self, now: float) -> int:
        """Return how many samples of the reply the caller has heard. It never falls within a reply."""

    def done(self, now: float) -> bool:
        """Return True when the reply is finished, and was heard to its end."""

    def clear(self, now: float) -> Cleared:
        """Stop the reply: nothing of it is due any more."""


class _ClientClock:
    """What the client has played of all it was ever sent."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        # The present stretch of unbroken playing: when it began, and the samples sent since. Counting from
        # there, never from the last frame, keeps an hour of it exact.
        self._began: float | None = None
        self._sent = 0

    def starved(self, now: float) -> float:
        """Samples that could have been played since the last one was; negative while there are some left."""
        return (now - self._began) * self._rate - self._sent if self._began is not None else 0.0

    def unplayed(self, now: float) -> int:
        if self._began is None:
            return 0
        played = int((now - self._began) * self._rate)  # rounded down: time does not run backwards
        return self._sent - played if played < self._sent else 0

    def send(self, samples: int, now: float) -> None:
        if self._began is None or self.starved(now) > 0:
            self._began, self._sent = now, 0
        self._sent += samples

    def time_left(self, samples: int) -> float | None:
        """When ``unplayed`` falls to ``samples``; None if nothing was sent. Half a sample late, so that it has."""
        if self._began is None:
            return None
        return self._began + (self._sent - samples + 0.5) / self._rate

    def clear(self) -> None:
        self._began = None
        self._sent = 0


class ModelledPlayout:
    """Holds the audio of one reply at a time and releases it in step with a client's buffer.

    ``rate``: of the samples, Hz. ``client_buffer_ms``: how much sent but unplayed audio the client wants. It
    gets no more than that, or 40 ms if that is more; hence never over ``max(client_buffer_ms, 20)`` plus one
    frame. One object serves all replies of a call, because the client's clock goes on between them.

    Frame ``k`` of a reply ends at sample ``floor((k + 1) * rate / 50)``, so odd rates stay exact; only a
    finished reply's last frame may be shorter. A new one is open for a reply numbered 0.
    """

    def __init__(self, rate: int, client_buffer_ms: int) -> None:
        if rate < FRAMES_PER_SECOND:
            raise ValueError("the sample rate is too low for frames of 20 ms")
        self.rate = rate
        self.lead_samples = max(client_buffer_ms, SHORTEST_LEAD_MS) * rate // 1000
        self.underruns = 0
        """How often a client ran dry in mid-reply and had to wait for more."""
        self._client = _ClientClock(rate)
        self.begin(0)

    def begin(self, reply_number: int) -> None:
        """Open the next reply. Whatever is still held of the last one is dropped; what was sent plays on."""
        self.reply_number = reply_number
        self._held = bytearray()
        self._sent = 0
        self._frames = 0
        self._finished = False
        self._cleared_at: int | None = None

    def push(self, samples: Samples) -> None:
        """More of the reply. Ignored once it was cleared; ``ValueError`` after ``finish``."""
        if self._cleared_at is not None:
            return
        if self._finished:
            raise ValueError("the reply was finished")
        self._held += bytes_from_samples(samples)

    def finish(self) -> None:
        """No more will be pushed for this reply."""
        self._finished = True

    def due(self, now: float) -> list[bytes]:
        """The frames (s16le) to send now. They count as sent at ``now``."""
        frames: list[bytes] = []
        if not self._held:
            return frames
        unplayed = self._client.unplayed(now)
        while (size := self._next_frame()) and unplayed + size <= self.lead_samples:
            if self._sent and not unplayed and self._client.starved(now) >= 1:
                self.underruns += 1
            self._client.send(size, now)
            frames.append(bytes(memoryview(self._held)[: size * BYTES_PER_SAMPLE]))
            del self._held[: size * BYTES_PER_SAMPLE]
            self._sent += size
            self._frames += 1
            unplayed += size
        return frames

    def next_due(self, now: float) -> float | None:
        """When ``due`` will have something, ``now`` or later; None while it depends on a ``push`` or ``finish``."""
        size = self._next_frame()
        if not size:
            return None
        room_at = self._client.time_left(self.lead_samples - size)
        return now if room_at is None else max(room_at, now)

    def played_at(self) -> float | None:
        """When all that was sent will have been heard, should no more be sent. None if nothing is to be heard."""
        return self._client.time_left(0)

    def position(self, now: float) -> int:
        """Samples of the reply the client has heard; frozen once the reply was cleared."""
        if self._cleared_at is not None:
            return self._cleared_at
        return max(self._sent - self._client.unplayed(now), 0)

    def unplayed(self, now: float) -> int:
        """Samples sent and not heard yet, those of earlier replies included."""
        return self._client.unplayed(now)

    @property
    def sent(self) -> int:
        """Samples of the reply released to the client."""
        return self._sent

    @property
    def held(self) -> int:
        """Samples of the reply not sent yet."""
        return len(self._held) // BYTES_PER_SAMPLE

    @property
    def finished_sending(self) -> bool:
        """True when the reply is finished, uncut, and all of it was sent."""
        return self._finished and not self._held and self._cleared_at is None

    def done(self, now: float) -> bool:
        """True when the reply is finished and was heard to its end. Never of a cleared one."""
        return self._finished and self.finished_sending and self.position(now) == self._sent

    def clear(self, now: float) -> Cleared:
        """Stop the reply: nothing of it is due any more, and what the client has not heard it is to drop.

        A second time for the same reply it finds the same position, and nothing more to drop.
        """
        cleared = Cleared(self.position(now), self._client.unplayed(now), self.held)
        self._cleared_at = cleared.position_samples
        self._held.clear()
        self._client.clear()
        return cleared

    def _next_frame(self) -> int:
        """Samples of the frame that is next, 0 if it is not whole yet."""
        size = (self._frames + 1) * self.rate // FRAMES_PER_SECOND - self._sent
        held = len(self._held) // BYTES_PER_SAMPLE
        if held >= size:
            return size
        return held if self._finished else 0
