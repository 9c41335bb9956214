"""What an agent can do besides talking, as the core sees it: what a tool is like, a wish to use it, what came of it.

How a tool is carried out (HTTP, the client, built in) is not the core's business.
"""

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


class ResponseType(StrEnum):
    """What a tool's answer is, besides a text for the model."""

    TOOL_RESPONSE = "tool-response"
    HANG_UP = "hang-up"
    NEW_STAGE = "new-stage"
    SEND_TO_THREAD = "send-to-thread"


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
class ToolOutcome:
    """What came of an invocation. ``text`` is what the model sees, short even of a failure.

    ``reaction`` ``None`` leaves it to the tool. ``error_details`` tells a failure whole, for the record only.
    ``state_update`` is merged into the call's state. ``closing_message`` and ``strict`` belong to a hang-up.
    """

    text: str
    failed: bool = False
    response_type: ResponseType = ResponseType.TOOL_RESPONSE
    reaction: Reaction | None = None
    error_details: str | None = None
    state_update: Mapping[str, Any] | None = None
    closing_message: str = ""
    strict: bool = False
