"""Speech over a reply, counted until it interrupts."""

from __future__ import annotations

from antiphon.call.events import SpeechScored
from antiphon.call.listening.endpointing import FRAME_S, CallerTurn, Phase
from antiphon.call.settings import VadSettings
from antiphon.call.speaking.reply import Reply

GAP_FRAMES = 3
"""Silent frames after which overlapping speech is counted anew."""

RISE_DB = 10.0
"""A frame that is as far above the noise may be the beginning of a word."""

MOST_BACKDATED = 2
"""Frames before the voice detector speaks up that may count as speech: the "s" of a word scores low for as long."""

CLEAR = 0.5
"""Probability at which it is clear that somebody speaks, and those frames count."""


class Overlap:
    """Counts, frame by frame, how long the caller has spoken over the reply under way."""

    def __init__(self, vad: VadSettings) -> None:
        self._vad = vad
        self._reply = 0
        self._counted_s = 0.0
        self._gap = 0
        self._rising = 0
        self._before = 0
        self._clear = False
        self._counts = True
        """Not while the caller only goes on with what was being said when the agent cut in."""

    @property
    def speech_s(self) -> float:
        """Speech over the reply without a gap, with what came before the detector was sure."""
        return self._counted_s + (self._before * FRAME_S if self._clear else 0.0)

    def hear(self, event: SpeechScored, reply: Reply | None, turn: CallerTurn) -> bool:
        """One scored frame. True when it is enough to interrupt ``reply``."""
        speech = event.probability >= turn.activation.threshold
        rising, rise_db = self._rising, event.rise_db
        risen = not speech and rise_db is not None and rise_db >= RISE_DB
        self._rising = min(rising + 1, MOST_BACKDATED) if risen else 0
        if reply is None or not reply.interruptible:
            self._reply = 0
            return False
        if reply.number != self._reply:
            self._reply = reply.number
            self._start_over()
            self._counts = not (reply.over_caller and turn.confirmed and turn.phase is not Phase.QUIET)
        if not speech:
            self._gap += 1
            if self._gap >= GAP_FRAMES:
                self._start_over()
                self._counts = True
            return False
        self._gap = 0
        if not self._counts or turn.activation.noisy:
            return False
        if not self._counted_s:
            self._before = rising
        self._counted_s += FRAME_S
        self._clear = self._clear or event.probability >= CLEAR
        return self.speech_s >= (self._vad.interruption_s if reply.playing else self._vad.going_on_s) - 1e-6

    def _start_over(self) -> None:
        self._counted_s = 0.0
        self._gap = self._before = 0
        self._clear = False
