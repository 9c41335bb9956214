"""What a session is made of, handed to it together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from antiphon.call.history import KeptMessage
from antiphon.call.messages import CallEvent
from antiphon.engines.protocols import EndOfTurn, LanguageModel, Speaker, Transcriber, VoiceActivity


@dataclass(frozen=True, slots=True)
class CallEngines:
    """The engines one call runs on."""

    voice_activity: VoiceActivity
    end_of_turn: EndOfTurn | None
    transcriber: Transcriber
    model: LanguageModel
    speaker: Speaker


class Chronicle(Protocol):
    """Where a call's messages and events go as they happen. Never blocks, never raises."""

    def keep(self, message: KeptMessage) -> None:
        """A finished message."""

    def note(self, event: CallEvent, audio_s: float, wall_s: float) -> None:
        """Something worth knowing; when, on the caller's audio clock and on the wall clock."""
