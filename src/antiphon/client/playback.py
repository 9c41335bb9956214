"""A playing client without a loudspeaker: what it holds, what was heard, and when it ran dry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from antiphon.client.wav import Samples


@dataclass(slots=True)
class _Piece:
    start: int
    """When its first sample is heard, in samples since the join."""
    samples: Samples


class Playback:
    """Plays what arrives at once and without gaps, and drops what is unplayed when told to.

    All times are seconds since the join, and go up from call to call.
    """

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._pieces: list[_Piece] = []
        self._odd = b""
        self._end = 0
        """Where the sound that is held ends, in samples since the join."""

    def push(self, data: bytes, at: float) -> int:
        """Take one audio frame (s16le, any length) and return how many samples it completed."""
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        samples = np.frombuffer(data[:whole], "<i2").astype(np.int16)
        if len(samples):
            start = max(round(at * self.rate), self._end)
            self._pieces.append(_Piece(start, samples))
            self._end = start + len(samples)
        return len(samples)

    def clear(self, at: float) -> int:
        """Drop what is unplayed at ``at`` and return how many samples that were."""
        now = round(at * self.rate)
        dropped = max(0, self._end - now)
        for piece in self._pieces:
            piece.samples = piece.samples[: max(0, now - piece.start)]
        self._pieces = [piece for piece in self._pieces if len(piece.samples)]
        self._odd = b""
        self._end = min(self._end, now)
        return dropped

    def held_s(self, at: float) -> float:
        """Seconds of sound still to be played at ``at``."""
        return max(0.0, self._end / self.rate - at)

    def gaps_s(self, start_s: float, end_s: float) -> list[float]:
        """Lengths of the silences between pieces that began in ``start_s`` to ``end_s``: none means no underrun."""
        chosen = [piece for piece in self._pieces if start_s <= piece.start / self.rate < end_s]
        ends = [piece.start + len(piece.samples) for piece in chosen]
        gaps = [piece.start - end for end, piece in zip(ends, chosen[1:], strict=False)]
        return [gap / self.rate for gap in gaps if gap > 0]

    def heard(self, start_s: float = 0.0, end_s: float | None = None) -> Samples:
        """What was heard from ``start_s`` to ``end_s`` (default: all that is held), silence included."""
        start = round(start_s * self.rate)
        end = self._end if end_s is None else round(end_s * self.rate)
        sound = np.zeros(max(0, end - start), np.int16)
        for piece in self._pieces:
            first, last = max(piece.start, start), min(piece.start + len(piece.samples), end)
            if first < last:
                sound[first - start : last - start] = piece.samples[first - piece.start : last - piece.start]
        return sound
