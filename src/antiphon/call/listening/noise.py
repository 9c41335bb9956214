"""Noise that the voice detector takes for speech: a fan, music, a far-away television.

It is told from speech by having no words. What had none raises the probability from which a frame counts as speech,
until the line is quiet again, so that the same noise cannot take the floor over and over.
"""

from __future__ import annotations

from collections import deque

from antiphon.call.settings import VadSettings

LONGEST_LEARNED_S = 10.0
"""Of one noise; what came before is forgotten."""

SHORTEST_NOISE_S = 1.0
"""A cough or a door is shorter, and teaches nothing."""

SHORTEST_MURMUR_S = 0.2
"""The same for a noise that never was likelier than not to be one."""

DEAFEST = 0.7
"""Speech is heard over any noise: it scores higher than this."""

MURMUR = 0.35
"""Below it a frame is probably no speech, even where ``frameActivationThreshold`` is lower and, to be safe, counts it
as such: an utterance's last sound fades through it. Only what leaves no trace is begun by it."""

QUIET_S = 3.0
"""Of a line without noise: what was learned is void."""

_SHARE = 0.9
_MARGIN = 0.02


class Activation:
    """The probability from which a frame counts as speech."""

    def __init__(self, vad: VadSettings, frame_s: float) -> None:
        self._base = vad.activation_threshold
        self._frame_s = frame_s
        self._heard: deque[float] = deque(maxlen=round(LONGEST_LEARNED_S / frame_s))
        self._quiet_s = 0.0
        self.threshold = self._base
        self.noisy = False
        """There was a noise like speech, and the line has not been quiet since: only words tell speech from it."""

    @property
    def clear(self) -> float:
        """The probability from which a frame is clearly speech."""
        return max(self.threshold, MURMUR)

    @property
    def heard_s(self) -> float:
        """What may be speech in the utterance."""
        return len(self._heard) * self._frame_s

    @property
    def murmur_only(self) -> bool:
        """Nothing in the utterance was clearly speech."""
        return all(probability < MURMUR for probability in self._heard)

    def begin(self) -> None:
        """An utterance begins."""
        self._heard.clear()

    def hear(self, probability: float) -> None:
        """The next frame of the line."""
        if probability >= self._base:
            self._quiet_s = 0.0
            self._heard.append(probability)
            return
        self._quiet_s += self._frame_s
        if self._quiet_s >= QUIET_S:
            self.threshold = self._base
            self.noisy = False

    def murmurs(self) -> None:
        """The line murmurs on after an utterance: that begins no other."""
        self.threshold = max(self.threshold, MURMUR)

    def learn(self) -> None:
        """The utterance had no words: it was a noise."""
        if self.heard_s < (SHORTEST_MURMUR_S if self.murmur_only else SHORTEST_NOISE_S):
            return
        self.noisy = self.noisy or not self.murmur_only
        usual = sorted(self._heard)[int(len(self._heard) * _SHARE)]
        floor = MURMUR if self.murmur_only else 0.0
        self.threshold = min(DEAFEST, max(self.threshold, floor, usual + _MARGIN))
