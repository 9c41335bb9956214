"""What the agent's side says to the client during a call. ``wire/`` turns each into JSON.

Source of names and fields: the Ultravox data message protocol; behaviour: docs/protocol.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from antiphon.call.prompt import ToolRequest


class AgentState(StrEnum):
    """What the agent is doing, as the client sees it."""

    IDLE = "idle"
    LISTENING = "listening"
    THINKING = "thinking"
    SPEAKING = "speaking"


class Role(StrEnum):
    """Whose words."""

    USER = "user"
    AGENT = "agent"


class Modality(StrEnum):
    """How the words went: spoken or written (the wire calls this ``medium``)."""

    VOICE = "voice"
    TEXT = "text"


class Severity(StrEnum):
    """How much a call event matters."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class CallStarted:
    """First message of every call."""

    call_id: str


@dataclass(frozen=True, slots=True)
class StateChanged:
    """The agent's state is now ``state``."""

    state: AgentState


@dataclass(frozen=True, slots=True)
class Transcript:
    """Words of one turn: either ``text`` (whole, so far) or ``delta`` (added since), never both."""

    role: Role
    modality: Modality
    ordinal: int
    final: bool
    text: str | None = None
    delta: str | None = None


@dataclass(frozen=True, slots=True)
class PlaybackClearBuffer:
    """The client drops whatever it has not played."""


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to a ping, with the same timestamp."""

    timestamp: float


@dataclass(frozen=True, slots=True)
class Debug:
    """Something worth knowing while developing."""

    message: str


@dataclass(frozen=True, slots=True)
class ToolsWanted:
    """For debugging: tools are about to be used. ``forced``: not the model wants it, but the program around the call.

    ``thread`` is the side thread that wants it, ``None`` for the call itself.
    """

    requests: tuple[ToolRequest, ...]
    forced: bool = False
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came of one use of a tool. The ordinals are those of its two messages; a side thread's have none."""

    request: ToolRequest
    text: str
    error_details: str | None = None
    call_ordinal: int | None = None
    result_ordinal: int | None = None


@dataclass(frozen=True, slots=True)
class ToolsAnswered:
    """For debugging: all tools that were under way have answered."""

    answers: tuple[ToolAnswer, ...]
    thread: str | None = None


@dataclass(frozen=True, slots=True)
class CallEvent:
    """Something worth knowing afterwards; also recorded (``GET /api/calls/{id}/events``)."""

    severity: Severity
    type: str
    text: str
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class InvokingTool:
    """A tool begins to run."""

    tool_name: str
    invocation: str


@dataclass(frozen=True, slots=True)
class ToolUsed:
    """A tool has run, well or not."""

    tool_name: str
    invocation: str


@dataclass(frozen=True, slots=True)
class UserStartedSpeaking:
    """The caller has started to speak, by voice activity alone."""


@dataclass(frozen=True, slots=True)
class UserStoppedSpeaking:
    """The caller has stopped speaking, by voice activity alone."""


@dataclass(frozen=True, slots=True)
class ThreadSpawned:
    """A side thread has begun."""

    thread: str


@dataclass(frozen=True, slots=True)
class ThreadRejected:
    """A side thread was wanted and is not begun."""

    thread: str
    reason: str


@dataclass(frozen=True, slots=True)
class ThreadTerminated:
    """A side thread is over."""

    thread: str
    reason: str


@dataclass(frozen=True, slots=True)
class SideGenerationDelta:
    """The next words that a side thread's model has written."""

    thread: str
    delta: str


@dataclass(frozen=True, slots=True)
class SideGenerationCompleted:
    """All that a side thread's model has written in one go."""

    thread: str
    text: str
    tool_calls: tuple[ToolRequest, ...] = ()


Message: TypeAlias = (
    CallStarted
    | StateChanged
    | Transcript
    | PlaybackClearBuffer
    | Pong
    | Debug
    | ToolsWanted
    | ToolsAnswered
    | CallEvent
    | InvokingTool
    | ToolUsed
    | UserStartedSpeaking
    | UserStoppedSpeaking
    | ThreadSpawned
    | ThreadRejected
    | ThreadTerminated
    | SideGenerationDelta
    | SideGenerationCompleted
)
