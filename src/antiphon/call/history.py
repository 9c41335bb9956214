"""What has been said, as the models see it and as the record keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from antiphon.call.messages import Modality, Role


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the call in seconds since the join."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as a language model sees it."""

    role: str  # "user" | "assistant" | "system"
    text: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """Everything one generation is made from.

    ``conversation`` names the call, so that an engine can keep that call's prompt prefix cached.
    ``messages`` alternates strictly: neighbours of one role are already joined.
    """

    conversation: str
    system: str
    messages: tuple[ChatMessage, ...]
    temperature: float = 0.0
    language: str | None = None


@dataclass(frozen=True, slots=True)
class SpokenMessage:
    """One finished message of the call as the record keeps it.

    ``audio_span`` is on the caller's audio clock, ``wall_span`` on the wall clock, both in seconds since
    the join. ``ordinal`` is the message's place in the call.
    """

    role: Role
    modality: Modality
    ordinal: int
    text: str
    audio_span: Span
    wall_span: Span


@dataclass(slots=True)
class History:
    """The messages of one call, in the order of their ordinals; the agent's hold what was heard."""

    initial: tuple[ChatMessage, ...] = ()
    messages: list[SpokenMessage] = field(default_factory=list)
