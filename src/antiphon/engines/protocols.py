"""What an engine is: small Protocols, one to three methods each.

All audio below is mono ``numpy.int16`` (*samples*). The caller's side is always 16,000 Hz by the time an
engine sees it; a speaker names its own rate. Engines never block the event loop: whatever computes for more
than a millisecond does so in a thread of its own. Every failure is an :class:`antiphon.errors.EngineError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from antiphon.call.prompt import Prompt

Samples: TypeAlias = NDArray[np.int16]

LISTENING_RATE = 16_000
"""Sample rate of the caller's audio as engines see it, Hz."""

ACTIVITY_FRAME = 512
"""Samples of one voice-activity frame: 32 ms at 16 kHz."""


class VoiceActivityStream(Protocol):
    """The voice activity of one call."""

    def push(self, frame: Samples) -> None:
        """Take one frame of exactly 512 samples; its score goes to the stream's ``on_score``, in order."""

    def close(self) -> None:
        """Forget the stream. No score is delivered afterwards."""


class VoiceActivity(Protocol):
    """Judges, frame by frame, whether somebody speaks."""

    def open(self, on_score: Callable[[float], None]) -> VoiceActivityStream:
        """A new stream. ``on_score(probability)`` is called on the event loop that called ``open``, once a frame."""


class EndOfTurn(Protocol):
    """Hears whether the caller is done."""

    async def completeness(self, audio: Samples) -> float:
        """Probability, 0 to 1, that the utterance in ``audio`` (its last seconds, 16 kHz) is complete."""


class Transcription(Protocol):
    """One utterance being transcribed as it comes."""

    def feed(self, frame: Samples, probability: float) -> None:
        """Take the next 512 samples and the probability that they are speech. Returns at once."""

    async def text(self) -> str:
        """The words of all that was fed until now, ``""`` if there are none. More may be fed and asked afterwards."""

    def close(self) -> None:
        """Stop work on it; a pending ``text`` may raise ``asyncio.CancelledError``."""


class Transcriber(Protocol):
    """Turns speech into words."""

    def open(self, language: str | None) -> Transcription:
        """Begin an utterance. ``language`` is a BCP-47 hint."""


@runtime_checkable
class KnowsLanguages(Protocol):
    """A transcriber that knows which languages it can be told."""

    def knows(self, language: str) -> bool:
        """Whether a BCP-47 hint is of any use."""

    def known_languages(self) -> tuple[str, ...]:
        """The languages that it can be told, as the first parts of BCP-47 tags, in order."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next words of a generation, exactly as the model wrote them (spaces included)."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one generation; the last item of its stream where the engine knows them."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool used. ``arguments``: the JSON text it wrote, whole, not checked; ``id`` is its own."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Alive:
    """The model works on this very answer, and has nothing to show for it: it reads the prompt, or thinks.

    Without such signs, and without words, a call soon takes the model for stalled.
    """


Generated: TypeAlias = TextDelta | ToolCall | Usage | Alive


class LanguageModel(Protocol):
    """Writes the agent's words."""

    audio_input: bool
    """True for a *speech model*: ``generate`` then wants the caller's audio of the last turn."""

    def generate(self, prompt: Prompt, audio: Samples | None = None) -> AsyncIterator[Generated]:
        """Stream the reply. Closing the iterator (``aclose``) stops the work behind it at once.

        ``audio``: 16 kHz samples of the caller's last utterance, given to speech models only; the words of
        that utterance are then not in ``prompt``.
        """


@runtime_checkable
class Primable(Protocol):
    """A language model that can read a prompt ahead of time."""

    async def prime(self, prompt: Prompt) -> None:
        """Bring ``prompt``, as far as it goes, into the cache. Gives way to any ``generate``."""


@dataclass(frozen=True, slots=True)
class Size:
    """Of a prompt: its ``tokens``, and how many the model can read and still answer."""

    tokens: int
    most: int


@runtime_checkable
class Measures(Protocol):
    """A language model that knows how much it can read."""

    async def size(self, prompt: Prompt) -> Size | None:
        """The size of ``prompt`` by the model's own tokenizer; ``None`` where it is so short that it surely fits."""


class Speaker(Protocol):
    """Speaks the agent's words in one voice."""

    sample_rate: int
    """Hz of what ``speak`` yields."""

    def speak(self, text: str) -> AsyncIterator[Samples]:
        """Stream ``text`` as samples; pieces without any only say that it works. Closing the iterator stops the work
        behind it.
        """
