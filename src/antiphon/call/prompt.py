"""What a language model is shown: the conversation so far, and the tools it may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Reaction(StrEnum):
    """What the agent does once a tool has answered."""

    SPEAKS = "speaks"
    LISTENS = "listens"
    SPEAKS_ONCE = "speaks-once"
    """Speaks unless it spoke just before the tool was used."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the model sees it and as the core treats it.

    ``parameters`` is the JSON schema (an object's) of what the model fills in. ``precomputable``: may be started
    before the words that come with it are heard, its result dropped with them. ``static_response``: the model has
    this answer at once, whatever the tool does.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    precomputable: bool = False
    static_response: str | None = None
    reaction: Reaction = Reaction.SPEAKS
    timeout_s: float = 2.5


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """One wish to use a tool. ``invocation`` is unique in the call; ``arguments`` is what the model filled in.

    ``problem``: why the arguments cannot be used at all (no JSON object), else ``None``.
    """

    invocation: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    problem: str | None = None


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
    ``messages`` alternates strictly: neighbours of one role are already joined. ``output_tokens`` bounds what is
    written; ``None``: the engine's own bound. ``background``: nobody waits for it with a telephone in the hand; it
    gives way to what somebody waits for, where an engine can make it.
    """

    conversation: str
    system: str
    messages: tuple[ChatMessage, ...]
    temperature: float = 0.0
    language: str | None = None
    tools: tuple[ToolSpec, ...] = ()
    output_tokens: int | None = None
    background: bool = False
