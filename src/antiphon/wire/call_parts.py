"""The smaller parts of ``ultravox.v1.StartCallRequest``."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, Strict, StringConstraints, model_validator

from antiphon.wire import fields
from antiphon.wire.fields import (
    Duration,
    Flag,
    HeaderMap,
    HttpUrl,
    Int32,
    JsonObject,
    Number,
    PositiveDuration,
    SampleRate,
    Text,
    WebSocketUrl,
    WireModel,
    wrong,
)
from antiphon.wire.medium import DataMessages

MessageMedium = Literal["MESSAGE_MEDIUM_VOICE", "MESSAGE_MEDIUM_TEXT"]
MessageRole = Literal["MESSAGE_ROLE_USER", "MESSAGE_ROLE_AGENT", "MESSAGE_ROLE_TOOL_CALL", "MESSAGE_ROLE_TOOL_RESULT"]


class VadSettings(WireModel):
    """When the caller's turn begins and ends; the defaults are the API's."""

    turn_endpoint_delay: Duration = 0.384
    minimum_turn_duration: Duration = 0.0
    minimum_interruption_duration: Duration = 0.09
    frame_activation_threshold: Annotated[Number, Field(ge=0.1, le=1)] = 0.1


class FallbackGreeting(WireModel):
    """What the agent says when the user was to speak first and does not."""

    delay: Duration | None = None
    text: Text | None = None
    prompt: Text | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fields.exactly_one(self, ("text", "prompt"), at_most=True)
        return self


class UserGreeting(WireModel):
    """The user speaks first."""

    fallback: FallbackGreeting | None = None


class AgentGreeting(WireModel):
    """The agent speaks first."""

    uninterruptible: Flag = False
    text: Text | None = None
    prompt: Text | None = None
    delay: Duration | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        fields.exactly_one(self, ("text", "prompt"), at_most=True)
        return self


class FirstSpeakerSettings(WireModel):
    """At most one of two; neither means the agent."""

    user: UserGreeting | None = None
    agent: AgentGreeting | None = None

    @model_validator(mode="after")
    def _one_speaker(self) -> Self:
        fields.exactly_one(self, ("user", "agent"), at_most=True)
        return self


class TimedMessage(WireModel):
    """What the agent says after ``duration`` more of silence."""

    duration: PositiveDuration
    message: Text = ""
    end_behavior: Literal["END_BEHAVIOR_HANG_UP_SOFT", "END_BEHAVIOR_HANG_UP_STRICT"] | None = None


MAX_TIMESPAN_S = 7 * 86_400.0
"""A call of another server may have been longer than any of ours."""

_Moment: TypeAlias = Annotated[fields.AnyDuration, AfterValidator(fields.at_most(MAX_TIMESPAN_S))]


class Timespan(WireModel):
    """A stretch of an earlier call."""

    start: _Moment | None = None
    end: _Moment | None = None


class InitialMessage(WireModel):
    """``ultravox.v1.Message``, as the conversation to start from. What only an earlier call knew is kept."""

    role: MessageRole
    text: Text = ""
    invocation_id: Text | None = None
    tool_name: Text | None = None
    error_details: Text | None = None
    medium: MessageMedium | None = None
    call_stage_message_index: Int32 | None = None
    call_stage_id: Text | None = None
    call_state: JsonObject | None = None
    timespan: Timespan | None = None
    wall_clock_timespan: Timespan | None = None
    metadata: JsonObject | None = None


class DataConnectionAudio(WireModel):
    """Audio for the data connection."""

    sample_rate: SampleRate = 16_000
    channel_mode: Literal["CHANNEL_MODE_MIXED", "CHANNEL_MODE_SEPARATED"] = "CHANNEL_MODE_SEPARATED"


def _dialled(value: str) -> str:
    """What a URL needs beside its beginning, so that it can be dialled. Never shown: it may hold a password."""
    try:
        parts = urlsplit(value)
        fine = parts.hostname is not None and parts.port != 0 and not parts.fragment
        parts.netloc.encode("idna" if not parts.netloc.isascii() else "ascii")
    except ValueError:
        fine = False
    if not fine:
        raise wrong("expected a host, a port from 1 to 65535 if any, and no fragment")
    if parts.username is not None and parts.password is None:
        raise wrong("a user name needs a password")
    return value


def _sendable(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if name.lower() in _HANDSHAKE:
            raise wrong("is set by the server", name)
    return value


_HANDSHAKE = frozenset(
    (
        *("connection", "content-length", "host", "sec-websocket-accept", "sec-websocket-extensions"),
        *("sec-websocket-key", "sec-websocket-version", "transfer-encoding", "upgrade"),
    )
)
"""Headers that make a request a WebSocket's; others are the user's to choose."""

SharedSecret: TypeAlias = Annotated[str, Strict(), StringConstraints(min_length=16, max_length=127)]
"""Signs what the server requests of others. Never shown again."""


class DataConnection(WireModel):
    """A WebSocket the server opens for a further participant."""

    websocket_url: Annotated[WebSocketUrl, AfterValidator(_dialled)]
    audio_config: DataConnectionAudio | None = None
    data_messages: DataMessages = DataMessages()
    headers: Annotated[HeaderMap, AfterValidator(_sendable)] | None = None


class Callback(WireModel):
    """One URL to be told of an event of the call."""

    url: HttpUrl
    secrets: list[Text] | None = None


class Callbacks(WireModel):
    """Who is told of the call's life."""

    joined: Callback | None = None
    ended: Callback | None = None
    billed: Callback | None = None
