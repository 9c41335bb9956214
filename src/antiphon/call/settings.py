"""What one call was created with, as far as the core needs it. Durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from antiphon.call.messages import Modality
from antiphon.call.prompt import ChatMessage, ToolSpec

DEFAULT_INTERRUPTION_S = 0.09


class EndBehavior(StrEnum):
    """What follows an inactivity message."""

    NOTHING = "nothing"
    HANG_UP_SOFT = "soft"
    HANG_UP_STRICT = "strict"


@dataclass(frozen=True, slots=True)
class VadSettings:
    """Source of the defaults: ``ultravox.v1.VadSettings``."""

    turn_endpoint_delay_s: float = 0.384
    minimum_turn_s: float = 0.0
    minimum_interruption_s: float = DEFAULT_INTERRUPTION_S
    activation_threshold: float = 0.1

    @property
    def interruption_s(self) -> float:
        """Speech that interrupts; the lower bound for a turn holds for it too."""
        return max(self.minimum_interruption_s, self.minimum_turn_s)

    @property
    def going_on_s(self) -> float:
        """Speech that takes the floor back from an agent that has not begun to speak: no more than by default."""
        return max(min(self.minimum_interruption_s, DEFAULT_INTERRUPTION_S), self.minimum_turn_s)


@dataclass(frozen=True, slots=True)
class Greeting:
    """How the agent opens. Without ``text`` it is generated, by ``prompt`` where there is one."""

    text: str | None = None
    prompt: str | None = None
    delay_s: float = 0.0
    uninterruptible: bool = False


@dataclass(frozen=True, slots=True)
class FirstSpeaker:
    """Who begins: the agent with ``greeting``, or the user, with ``greeting`` as a fallback (or ``None``)."""

    agent: bool = True
    greeting: Greeting | None = Greeting()


@dataclass(frozen=True, slots=True)
class TimedMessage:
    """Spoken after ``after_s`` more of silence."""

    after_s: float
    text: str
    end: EndBehavior = EndBehavior.NOTHING


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How the server takes turns; the operator's, not the caller's."""

    speculation_delay_s: float = 0.096
    """Silence after which transcription and generation start on suspicion."""

    completeness_threshold: float = 0.5
    """At or above it, the end-of-turn model's opinion is that the caller is done."""

    patience_s: float = 1.2
    """Longest silence that is waited out for a caller whose sentence seems unfinished."""

    judgement_patience_s: float = 0.25
    """Longest wait, beyond the endpoint delay, for an opinion that has not come."""

    first_words_patience_s: float = 10.0
    """Longest wait for engines that give no sign of life before a reply can be heard."""

    first_sound_patience_s: float = 60.0
    """Longest wait for a reply to be heard, however lively its engines are."""

    reply_patience_s: float = 5.0
    """Longest wait for engines that give no sign of life amid a reply."""

    silence_patience_s: float = 15.0
    """Longest silence amid a reply in all, however lively its engines are."""

    transcription_patience_s: float = 10.0
    """Longest wait for the words of a turn that the caller has ended."""

    last_words_patience_s: float = 3.0
    """Longest time that the end of a call waits for what the caller said last."""

    farewell_patience_s: float = 30.0
    """Longest time that last words may take."""

    @property
    def longest_wait_s(self) -> float:
        """Longest time that may pass for any of these reasons without anything to show for it."""
        return max(
            self.first_words_patience_s,
            self.first_sound_patience_s,
            self.reply_patience_s,
            self.silence_patience_s,
            self.transcription_patience_s,
        )


@dataclass(frozen=True, slots=True)
class ThreadSettings:
    """What a call's side threads may take; the operator's, not the caller's."""

    at_once: int = 2
    """Side generations of one call that run at the same time; others wait in order."""

    most: int = 256
    """Threads of one call that have not failed."""

    patience_s: float = 120.0
    """Longest wait for a model that gives no sign of life in a side generation."""


@dataclass(frozen=True, slots=True)
class CallSettings:
    """Everything the core decides by."""

    call_id: str
    output_rate: int
    system_prompt: str = ""
    temperature: float = 0.0
    language: str | None = None
    initial_messages: tuple[ChatMessage, ...] = ()
    first_speaker: FirstSpeaker = FirstSpeaker()
    greeting_prompt: bool = True
    vad: VadSettings = VadSettings()
    turns: TurnSettings = TurnSettings()
    threads: ThreadSettings = ThreadSettings()
    inactivity: tuple[TimedMessage, ...] = ()
    max_duration_s: float = 3600.0
    time_exceeded_message: str | None = None
    media_idle_s: float | None = None
    modality: Modality = Modality.VOICE
    tools: tuple[ToolSpec, ...] = ()
    initial_state: Mapping[str, Any] = field(default_factory=dict)
    """What tools read and change."""
    backchannels: bool = True
    """A reply that the caller's "mm-hmm" stopped is resumed."""
    speech_model: bool = False
    """The model hears the caller's audio itself; its reply does not wait for the transcript."""
    judges_turns: bool = True
    """There is an end-of-turn model."""
