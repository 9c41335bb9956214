"""What the store hands out and takes in: frozen records, never database rows.

All instants are aware datetimes and come back in UTC. All positions in a call are seconds since the join.
Field meanings follow the REST shapes ``Call``, ``CallStage``, ``CallEvent``, ``ultravox.v1.Message``, ``Tool``,
``CallTool`` and ``APIKey``.
Text is stored as Unicode: NUL and lone surrogates, which PostgreSQL cannot hold, come back as U+FFFD.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from antiphon.call.ends import EndReason
from antiphon.call.history import Span
from antiphon.call.messages import Modality, Severity

Json = dict[str, Any]

SERVER_STOPPED = "server_stopped"
"""Type of the event in each call that ends because its server does."""


def new_id() -> str:
    """A fresh random UUID, in the form all ids of the store have."""
    return str(uuid.uuid4())


class MessageRole(StrEnum):
    """Whose message: a person's, the agent's, or a tool's use and its result."""

    USER = "user"
    AGENT = "agent"
    TOOL_CALL = "tool_call"
    TOOL_RESULT = "tool_result"


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call, from creation to end and after.

    ``request`` is the canonical StartCallRequest JSON (durations as strings, absent fields left out); its
    ``metadata`` can be searched by. ``join_token_hash`` is a hash of the secret in the join URL, which serves
    until ``join_deadline``. ``claimed`` is when a client used it, ``joined`` when the call began.
    ``agent`` is the REST shape AgentBasic, ``sip_details`` is CallSipDetails. ``error_count`` is of the whole call.
    ``greeting_prompt``: the model is nudged to greet. ``durable_tools`` are those that the request selects, as they
    were at its creation: place in ``selectedTools`` → ``{"toolId", "definition"}``. ``latest`` are the settings of the
    call's last stage where that is not its first, whose settings are the request's.
    """

    call_id: str
    created: datetime
    request: Json
    model: str
    join_token_hash: str
    join_deadline: datetime
    voice: str | None = None
    voice_id: str | None = None
    recording_enabled: bool = False
    claimed: datetime | None = None
    joined: datetime | None = None
    ended: datetime | None = None
    end_reason: EndReason | None = None
    client_version: str | None = None
    current_stage_id: str | None = None
    summary: str | None = None
    short_summary: str | None = None
    error_count: int = 0
    agent_id: str | None = None
    agent: Json | None = None
    sip_details: Json | None = None
    greeting_prompt: bool = True
    durable_tools: Json | None = None
    latest: Json | None = None

    @property
    def metadata(self) -> dict[str, str]:
        """The metadata of the request; empty where there was none."""
        return dict(self.request.get("metadata") or {})

    @property
    def live(self) -> bool:
        """Joined and not ended."""
        return self.joined is not None and self.ended is None


@dataclass(frozen=True, slots=True)
class StageRecord:
    """A stretch of a call with one prompt, tool set and voice. ``index`` counts a call's stages from 0.

    ``settings`` is canonical JSON of what CallStage shows (systemPrompt, temperature, languageHint, voice,
    externalVoice, voiceOverrides, inactivityMessages, timeExceededMessage, experimentalSettings, initialState,
    selectedTools). ``voice`` is the name of the voice that speaks, also where nobody asked for one.
    """

    stage_id: str
    call_id: str
    index: int
    created: datetime
    model: str
    settings: Json = field(default_factory=dict)
    initial_token_count: int | None = None
    latest_token_count: int | None = None
    error_count: int = 0


@dataclass(frozen=True, slots=True)
class MessageRecord:
    """One message, at place ``stage_index`` of its stage; storing that place again replaces it.

    ``ordinal`` is the message's place among what was said in the call, and ``None`` for a stage's initial
    messages, which also have no spans. For tool messages ``text`` holds the arguments or the result.
    ``call_state`` is the call's new state where the message changed it.
    """

    call_id: str
    stage_id: str
    stage_index: int
    role: MessageRole
    text: str
    modality: Modality | None = None
    ordinal: int | None = None
    audio_span: Span | None = None
    wall_span: Span | None = None
    invocation_id: str | None = None
    tool_name: str | None = None
    error_details: str | None = None
    call_state: Json | None = None
    metadata: Json | None = None


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something worth knowing about a call. ``type`` has at most 50 characters.

    ``audio_s`` is the place on the caller's audio clock, ``wall_s`` on the wall clock. ``event_id`` makes
    storing the same event twice harmless.
    """

    call_id: str
    stage_id: str | None
    severity: Severity
    type: str
    text: str
    audio_s: float = 0.0
    wall_s: float | None = None
    extras: Json | None = None
    event_id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class ToolRecord:
    """A durable tool: ``definition`` is the JSON of a BaseToolDefinition. ``public`` ones come with the server."""

    tool_id: str
    name: str
    created: datetime
    definition: Json
    public: bool = False

    @property
    def description(self) -> str:
        """What the tool is said to do; empty where nothing is said."""
        return str(self.definition.get("description") or "")


@dataclass(frozen=True, slots=True)
class CallToolRecord:
    """A tool as a stage of a call has it. ``index`` is its place among the stage's tools.

    ``tool_id`` is ``None`` for a temporary tool. ``name`` is what the model sees. ``definition`` is the JSON of
    ``ultravox.v1.CallTool``, which holds no secrets.
    """

    call_tool_id: str
    call_id: str
    stage_id: str
    tool_id: str | None
    name: str
    definition: Json
    index: int = 0


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call that had a tool, and how many of its uses failed there."""

    call: CallRecord
    error_count: int


@dataclass(frozen=True, slots=True)
class ApiKeyRecord:
    """An API key as it is kept: ``key_hash`` instead of the secret. ``prefix`` names it and is unique."""

    prefix: str
    key_hash: str
    name: str
    created: datetime
    creator: str | None = None
    expiry: datetime | None = None
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class VoiceTaken:
    """The voice that a call speaks with from now on. Both are ``None`` for one that it brought along."""

    name: str | None
    voice_id: str | None


@dataclass(frozen=True, slots=True)
class CallChanges:
    """What may change on a call while it runs. ``None`` leaves a field as it is."""

    client_version: str | None = None
    current_stage_id: str | None = None
    voice: VoiceTaken | None = None
    summary: str | None = None
    short_summary: str | None = None
    error_count: int | None = None
    sip_details: Json | None = None


@dataclass(frozen=True, slots=True)
class StageChanges:
    """What may change on a stage while it runs. ``None`` leaves a field as it is."""

    initial_token_count: int | None = None
    latest_token_count: int | None = None
    error_count: int | None = None


class JoinClaim(StrEnum):
    """What became of an attempt to use a join URL."""

    JOINED = "joined"
    UNKNOWN = "unknown"
    WRONG_TOKEN = "wrong_token"
    USED = "used"
    ENDED = "ended"
    EXPIRED = "expired"


RecordT = TypeVar("RecordT")


@dataclass(frozen=True, slots=True)
class Page(Generic[RecordT]):
    """One page of a listing. ``next`` and ``previous`` are cursors, ``None`` where there is nothing more.

    ``total`` counts all that match, on every page.
    """

    results: tuple[RecordT, ...]
    next: str | None
    previous: str | None
    total: int
