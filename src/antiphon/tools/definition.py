"""What a tool is: as somebody defined it, as a call selected it, and as that call uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from antiphon.call.prompt import Reaction, ToolSpec

DEFAULT_TIMEOUT_S = 2.5
MAX_TIMEOUT_S = 40.0


class Location(StrEnum):
    """Where in a request a parameter goes. Client and data connection tools have a body only."""

    QUERY = "query"
    PATH = "path"
    HEADER = "header"
    BODY = "body"


class KnownValue(StrEnum):
    """What the server knows; the names are the API's, without ``KNOWN_PARAM_``."""

    CALL_ID = "CALL_ID"
    CONVERSATION_HISTORY = "CONVERSATION_HISTORY"
    OUTPUT_SAMPLE_RATE = "OUTPUT_SAMPLE_RATE"
    CALL_STATE = "CALL_STATE"
    CALL_STAGE_ID = "CALL_STAGE_ID"
    THREAD_ID = "THREAD_ID"
    THREAD_STATES = "THREAD_STATES"
    CALL_METADATA = "CALL_METADATA"


@dataclass(frozen=True, slots=True)
class DynamicParameter:
    """Filled in by the model. ``schema`` is its JSON schema."""

    name: str
    location: Location
    schema: Mapping[str, Any]
    required: bool = False


@dataclass(frozen=True, slots=True)
class StaticParameter:
    """Always sent, with this value."""

    name: str
    location: Location
    value: Any


@dataclass(frozen=True, slots=True)
class AutomaticParameter:
    """Sent with what the server knows at that time."""

    name: str
    location: Location
    known_value: KnownValue


Parameter: TypeAlias = DynamicParameter | StaticParameter | AutomaticParameter


@dataclass(frozen=True, slots=True)
class HttpImplementation:
    """One HTTP request; ``{name}`` in the path or the query of ``url_pattern`` is replaced by that parameter."""

    url_pattern: str
    method: str


@dataclass(frozen=True, slots=True)
class ClientImplementation:
    """Done by the client."""


@dataclass(frozen=True, slots=True)
class DataConnectionImplementation:
    """Done by whoever is at the other end of the data connection."""


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """Done by the server itself; ``name`` is the tool's own, whatever the call names it."""

    name: str


Implementation: TypeAlias = HttpImplementation | ClientImplementation | DataConnectionImplementation | BuiltIn


class TokenPlace(StrEnum):
    """The three ways to show a token."""

    QUERY = "query"
    HEADER = "header"
    AUTHORIZATION = "authorization"


@dataclass(frozen=True, slots=True)
class TokenRequirement:
    """The token called ``token`` goes to ``place``; ``name`` is the query key, the header, or the scheme."""

    token: str
    place: TokenPlace
    name: str


@dataclass(frozen=True, slots=True)
class SecurityOption:
    """Tokens that together authenticate. ``call_token``: needs a token of Ultravox's own, which there is none of."""

    tokens: tuple[TokenRequirement, ...]
    call_token: bool = False


@dataclass(frozen=True, slots=True)
class Definition:
    """A tool as defined, before any call."""

    name: str
    description: str
    implementation: Implementation
    dynamic: tuple[DynamicParameter, ...] = ()
    static: tuple[StaticParameter, ...] = ()
    automatic: tuple[AutomaticParameter, ...] = ()
    security: tuple[SecurityOption, ...] = ()
    required_overrides: tuple[str, ...] = ()
    timeout_s: float = DEFAULT_TIMEOUT_S
    precomputable: bool = False
    reaction: Reaction = Reaction.SPEAKS
    static_response: str | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """All of them, whoever fills them in."""
        return (*self.dynamic, *self.static, *self.automatic)


@dataclass(frozen=True, slots=True)
class Selected:
    """A tool as a call asks for it: exactly one of ``tool_id``, ``tool_name`` and ``temporary``, and what differs."""

    tool_id: str | None = None
    tool_name: str | None = None
    temporary: Definition | None = None
    name: str | None = None
    description: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict, repr=False)
    overrides: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Credential:
    """A token in its place. ``value`` is a secret and stays out of what is shown."""

    place: TokenPlace
    name: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CallTool:
    """A tool of one call. ``spec`` is all that the model and the core know of it."""

    spec: ToolSpec
    implementation: Implementation
    dynamic: tuple[DynamicParameter, ...] = ()
    static: tuple[StaticParameter, ...] = ()
    automatic: tuple[AutomaticParameter, ...] = ()
    credentials: tuple[Credential, ...] = ()
    tool_id: str | None = None
    """Of the durable tool that it is, else ``None``."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What automatic parameters are filled from, all of it as JSON has it.

    ``conversation_history``: messages as REST shows them. ``thread_states``: an entry for each thread but the
    call's own, ``{"state": "IDLE", "lastResponse": "..."}``.
    """

    call_id: str
    stage_id: str = ""
    call_state: Mapping[str, Any] = field(default_factory=dict)
    conversation_history: Sequence[Mapping[str, Any]] = ()
    output_sample_rate: int = 48_000
    metadata: Mapping[str, str] = field(default_factory=dict)
    thread_id: str = "UI"
    thread_states: Mapping[str, Any] = field(default_factory=dict)

    def value(self, known: KnownValue) -> Any:
        """The value of one automatic parameter, as JSON."""
        match known:
            case KnownValue.CALL_ID:
                return self.call_id
            case KnownValue.CONVERSATION_HISTORY:
                return [dict(message) for message in self.conversation_history]
            case KnownValue.OUTPUT_SAMPLE_RATE:
                return self.output_sample_rate
            case KnownValue.CALL_STATE:
                return dict(self.call_state)
            case KnownValue.CALL_STAGE_ID:
                return self.stage_id
            case KnownValue.THREAD_ID:
                return self.thread_id
            case KnownValue.THREAD_STATES:
                return dict(self.thread_states)
            case KnownValue.CALL_METADATA:
                return dict(self.metadata)
