"""Whether the caller's audio comes at the pace of speech: one second of it each second.

Source of the rule: ``CallMedium.serverWebSocket`` in the OpenAPI file, by which too little audio (underflow) results
in an event of severity warning. It is looked at by the clock, every few seconds, and costs the audio itself nothing.
"""

from __future__ import annotations

TELL_AT_S = 5.0
"""So far behind real time that it is told."""

LOOK_EVERY_S = 5.0
LOOK_AGAIN_S = 1.5
"""Between two looks while it is behind: a gap that follows soon on another is told of, too."""

FORGIVEN = 0.05
"""Seconds a second, behind or ahead, that are forgotten: two clocks never agree, and a pause is made up some time."""

KEPT_UP = 0.9
"""Share of real time that has to come between two looks for an underflow to be over."""


class Supply:
    """Told of once each time that it falls behind, however long that lasts."""

    def __init__(self) -> None:
        self.look_at: float | None = None
        """When to look next; ``None`` before the call has begun."""
        self._looked_at = 0.0
        self._audio_s = 0.0
        self._behind_s = 0.0
        self._told = False

    def begin(self, at: float) -> None:
        """The client is connected."""
        self._looked_at, self.look_at = at, at + LOOK_EVERY_S

    def look(self, now: float, audio_s: float) -> float | None:
        """How many seconds it is behind, where that is to be told now. ``audio_s``: audio that has come by now."""
        if self.look_at is None or now < self.look_at:
            return None
        passed, came = now - self._looked_at, audio_s - self._audio_s
        self._looked_at, self._audio_s = now, audio_s
        if self._told:
            self._told = came < KEPT_UP * passed
            self.look_at = now + LOOK_AGAIN_S
            return None
        forgiven = FORGIVEN * passed
        behind_s = self._behind_s + passed - came
        self._behind_s = max(0.0, behind_s - forgiven) if behind_s > 0 else min(0.0, behind_s + forgiven)
        if self._behind_s >= TELL_AT_S - 1e-6:
            self._behind_s, self._told = 0.0, True
            self.look_at = now + LOOK_AGAIN_S
            return behind_s
        self.look_at = now + min(LOOK_EVERY_S, (TELL_AT_S - self._behind_s) / (1 - FORGIVEN))
        return None
