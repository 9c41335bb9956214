"""What has been said, as the models see it and as the record keeps it."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

from antiphon.call.messages import Modality, Role
from antiphon.call.tools import ToolRequest, ToolSpec


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the call in seconds since the join."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as a language model sees it."""

    role: str  # "user" | "assistant" | "system" | "tool"
    text: str
    tool_calls: tuple[ToolRequest, ...] = ()
    """Of an assistant: the tools it used after these words."""
    tool_call_id: str | None = None
    """Of a tool: the invocation that ``text`` is the result of."""


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
    tools: tuple[ToolSpec, ...] = ()


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


class History:
    """The messages of one call, in the order of their ordinals; the agent's hold what was heard.

    ``version`` changes with every message, so that whoever prepared something from an earlier state notices.
    """

    def __init__(self, conversation: str, system: str, initial: tuple[ChatMessage, ...]) -> None:
        self._conversation = conversation
        self._system = system
        self._initial = initial
        self._messages: list[SpokenMessage] = []
        self._next_ordinal = 0
        self.version = 0

    @property
    def messages(self) -> tuple[SpokenMessage, ...]:
        """What has been said, by ordinal."""
        return tuple(self._messages)

    def take_ordinal(self) -> int:
        """The place of a turn that begins now."""
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        return ordinal

    def add(self, message: SpokenMessage) -> None:
        """Put a finished message in its place (a reply may finish after messages that began later)."""
        insort(self._messages, message, key=lambda kept: kept.ordinal)
        self.version += 1

    def ends_with_user(self) -> bool:
        """True when a model would naturally answer now."""
        if self._messages:
            return self._messages[-1].role is Role.USER
        return bool(self._initial) and self._initial[-1].role == "user"

    def prompt(self, temperature: float, language: str | None, user_text: str | None = None) -> Prompt:
        """What a model is to continue. ``user_text``: words of the caller that are not history (yet)."""
        said = [
            ChatMessage("user" if message.role is Role.USER else "assistant", message.text)
            for message in self._messages
            if message.text
        ]
        if user_text:
            said.append(ChatMessage("user", user_text))
        joined: list[ChatMessage] = []
        for message in (*self._initial, *said):
            if joined and joined[-1].role == message.role:
                joined[-1] = ChatMessage(message.role, f"{joined[-1].text} {message.text}")
            else:
                joined.append(message)
        return Prompt(self._conversation, self._system, tuple(joined), temperature, language)
