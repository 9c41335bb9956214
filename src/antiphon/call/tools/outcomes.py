"""What comes of an agent's tools, as the core sees it, and what threads are told by them.

How a tool is carried out (HTTP, the client, built in) is not the core's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from antiphon.call.prompt import ChatMessage, Reaction, ToolRequest
from antiphon.call.stages import Stage

MAIN_THREAD = "UI"
"""The thread that is the call itself."""

PARENT_THREAD = "_PARENT"
"""In what a tool answers to a thread: the one it was spawned from."""


class Urgency(StrEnum):
    """When a message takes effect: now, at the next opportunity, or with whatever comes next anyway."""

    IMMEDIATE = "immediate"
    SOON = "soon"
    LATER = "later"


class ResponseType(StrEnum):
    """What a tool's answer is, besides a text for the model."""

    TOOL_RESPONSE = "tool-response"
    HANG_UP = "hang-up"
    NEW_STAGE = "new-stage"
    SEND_TO_THREAD = "send-to-thread"


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """What came of an invocation. ``text`` is what the model sees, short even of a failure.

    ``reaction`` ``None`` leaves it to the tool. ``error_details`` tells a failure whole, for the record only.
    ``state_update`` is merged into the call's state. ``closing_message`` and ``strict`` belong to a hang-up.
    A new stage's ``text`` is the JSON it was asked for with, until ``stage`` is made of that. ``letter`` is what is
    sent to a thread.
    """

    text: str
    failed: bool = False
    response_type: ResponseType = ResponseType.TOOL_RESPONSE
    reaction: Reaction | None = None
    error_details: str | None = None
    state_update: Mapping[str, Any] | None = None
    closing_message: str = ""
    strict: bool = False
    stage: Stage | None = None
    thread_message: ThreadMessage | None = None


@dataclass(frozen=True, slots=True)
class UserText:
    """Words on the caller's behalf, for a thread."""

    thread: str
    text: str
    urgency: Urgency = Urgency.SOON


@dataclass(frozen=True, slots=True)
class ForcedMessage:
    """Words for a thread's agent to say and tools to use; of some the outcome is ``known``, by invocation."""

    thread: str
    text: str = ""
    urgency: Urgency = Urgency.SOON
    uninterruptible: bool = False
    wants: tuple[ToolRequest, ...] = ()
    known: Mapping[str, ToolOutcome] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ThreadLimits:
    """Bounds on what a thread may use; ``None`` is unbounded. Input counts what is not cached, roughly."""

    output_tokens: int | None = None
    input_tokens: int | None = None
    generations: int | None = None
    generation_output_tokens: int | None = None
    generation_input_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class SpawnThread:
    """A new thread, from a copy of ``parent``'s history and ``messages`` after it.

    ``thread`` is its id. ``replaces``: one of that id that there is gives way; else the spawning is rejected.
    ``allowed``: tools it may use (``None``: all), but for the ``disallowed``.
    """

    thread: str
    parent: str = MAIN_THREAD
    replaces: bool = False
    messages: tuple[UserText | ForcedMessage, ...] = ()
    allowed: tuple[str, ...] | None = None
    disallowed: tuple[str, ...] = ()
    limits: ThreadLimits = ThreadLimits()


ThreadMessage: TypeAlias = UserText | ForcedMessage | SpawnThread


@dataclass(frozen=True, slots=True)
class Posted:
    """A letter on its way. ``before``: its sender's conversation without the tool that it comes from."""

    sender: str
    thread_message: ThreadMessage
    before: tuple[ChatMessage, ...]
