"""What has been said, as the models see it and as the record keeps it."""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, TypeAlias

from antiphon.call.messages import Modality, Role
from antiphon.call.prompt import ChatMessage, Prompt, ToolRequest, ToolSpec
from antiphon.call.stages import Stage


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the call in seconds since the join."""

    start_s: float
    end_s: float


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


class ToolRole(StrEnum):
    """Which half of an invocation a message is."""

    CALL = "tool_call"
    RESULT = "tool_result"


@dataclass(frozen=True, slots=True)
class ToolMessage:
    """One half of an invocation as the record keeps it. ``text`` of a result is what the model sees of it."""

    role: ToolRole
    ordinal: int
    request: ToolRequest
    text: str
    error_details: str | None
    audio_span: Span
    wall_span: Span
    state: Mapping[str, Any] | None = None
    """The call's state, where this result has changed it."""


KeptMessage: TypeAlias = SpokenMessage | ToolMessage


class History:
    """The messages of one call, in the order of their ordinals; the agent's hold what was heard.

    ``version`` changes with every message, so that whoever prepared something from an earlier state notices.
    """

    def __init__(
        self,
        conversation: str,
        system: str,
        initial: tuple[ChatMessage, ...],
        tools: tuple[ToolSpec, ...] = (),
    ) -> None:
        self._conversation = conversation
        self._system = system
        self._initial = initial
        self._tools = tools
        self._messages: list[KeptMessage] = []
        self._next_ordinal = 0
        self._goes_back_to = 0
        self.version = 0

    @property
    def messages(self) -> tuple[KeptMessage, ...]:
        """What has been said, by ordinal."""
        return tuple(self._messages)

    @property
    def next_ordinal(self) -> int:
        """The place of the next turn."""
        return self._next_ordinal

    def begin_stage(self, stage: Stage) -> None:
        """Another prompt and other tools from now on; where the stage brings messages, they stand for all before it."""
        self._system, self._tools = stage.system_prompt, stage.tools
        if stage.messages is not None:
            self._initial, self._goes_back_to = stage.messages, self._next_ordinal
        self.version += 1

    @property
    def brought(self) -> tuple[ChatMessage, ...]:
        """What the stage began with, before anything was said in it."""
        return self._initial

    @property
    def remembered(self) -> tuple[KeptMessage, ...]:
        """What was said since, by ordinal."""
        return tuple(self._remembered)

    @property
    def _remembered(self) -> list[KeptMessage]:
        """What the stage has of what was said."""
        return [message for message in self._messages if message.ordinal >= self._goes_back_to]

    def take_ordinal(self) -> int:
        """The place of a turn that begins now."""
        ordinal = self._next_ordinal
        self._next_ordinal += 1
        return ordinal

    def add(self, message: KeptMessage) -> None:
        """Put a finished message in its place (a reply may finish after messages that began later)."""
        insort(self._messages, message, key=lambda kept: kept.ordinal)
        self.version += 1

    def ends_with_user(self) -> bool:
        """True when a model would naturally answer now."""
        if messages := self._remembered:
            return messages[-1].role in (Role.USER, ToolRole.RESULT)
        return bool(self._initial) and self._initial[-1].role in ("user", "tool")

    def chat(self, user_text: str | None = None) -> tuple[ChatMessage, ...]:
        """What was said, as models see it. ``user_text``: words of the caller that are not history (yet)."""
        answered = {
            message.request.invocation
            for message in self._remembered
            if isinstance(message, ToolMessage) and message.role is ToolRole.RESULT
        }
        chat: list[ChatMessage] = []
        for initial in self._initial:
            add_message(chat, initial)
        for message in self._remembered:
            if isinstance(message, SpokenMessage):
                add_message(chat, ChatMessage("user" if message.role is Role.USER else "assistant", message.text))
            elif message.request.invocation in answered:  # models want no call without its result
                _add_half(chat, message)
        if user_text:
            add_message(chat, ChatMessage("user", user_text))
        return tuple(chat)

    def prompt(self, temperature: float, language: str | None, user_text: str | None = None) -> Prompt:
        """What a model is to continue, see ``chat``."""
        return Prompt(self._conversation, self._system, self.chat(user_text), temperature, language, self._tools)


def add_message(chat: list[ChatMessage], message: ChatMessage) -> None:
    """Add words; neighbours of one role become one message, as many models insist."""
    if not message.text and not message.tool_calls and message.role != "tool":
        return
    plain = message.role in ("user", "assistant") and not message.tool_calls
    if plain and chat and chat[-1].role == message.role and not chat[-1].tool_calls:
        chat[-1] = replace(chat[-1], text=f"{chat[-1].text} {message.text}")
    else:
        chat.append(message)


def add_tool_call(chat: list[ChatMessage], request: ToolRequest) -> None:
    """Add the use of a tool, which belongs to the words before it."""
    if chat and chat[-1].role == "assistant":
        chat[-1] = replace(chat[-1], tool_calls=(*chat[-1].tool_calls, request))
    else:
        chat.append(ChatMessage("assistant", "", (request,)))


def _add_half(chat: list[ChatMessage], message: ToolMessage) -> None:
    if message.role is ToolRole.RESULT:
        chat.append(ChatMessage("tool", message.text, tool_call_id=message.request.invocation))
    else:
        add_tool_call(chat, message.request)
